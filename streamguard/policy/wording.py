"""What pydantic found wrong with a file, in our words and at its place.

pydantic's own texts never reach a person: they name Python types, print their input and list every member of a union.
A field that takes several shapes carries an `Expected`, which says in one phrase what to write there.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from streamguard.policy.document import Document
from streamguard.policy.expected import Expected, Place
from streamguard.policy.problems import Problem, did_you_mean, listed

_SENTENCES: Final = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must list at least {min_length}",
    "too_long": "must list at most {max_length}",
    "string_pattern_mismatch": "is not in the right form",
    "time_delta_type": "must be a duration such as 14d, 12h, 90s or 250ms",
    "time_delta_parsing": "must be a duration such as 14d, 12h, 90s or 250ms",
    "datetime_type": "must be a time such as 2026-01-31T12:00:00Z",
}
_CONTAINERS: Final = (dict, list, tuple)
_QUOTED: Final = re.compile(r"'([^']*)'")
_SHAPES: Final = ("literal_error", "_type", "_parsing", "_mismatch", "_from_float")
"""Endings of the errors that say: something else was expected here. Each member of a union gives one."""


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, place: Place = ()
) -> list[Problem]:
    """Every error as a problem of `document`, in which `model` was read at `place`."""
    grouped: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        grouped.setdefault(_written(document, place, detail["loc"]), []).append(detail)
    found: list[Problem] = []
    for at, details in grouped.items():
        # A member of a union that fails deeper down is the one that was meant; the others' refusals are noise. A list
        # whose entries fail counts as empty for pydantic.
        deeper = any(other != at and other[: len(at)] == at for other in grouped)
        meant = [d for d in details if not (deeper and d["type"].endswith((*_SHAPES, "too_short")))]
        found += _explain(meant, at, model, document, place)
    # A key that is misspelt need not be called missing as well.
    advice = {problem.suggestion for problem in found}
    return [p for p in found if f"did you mean {p.message.removesuffix(' is missing')}?" not in advice]


def places_of(error: ValidationError, document: Document) -> list[Place]:
    """Where in `document` something is wrong or missing: the place to change for each error."""
    places: dict[Place, None] = {}
    for detail in error.errors(include_url=False, include_input=False):
        at = _written(document, (), detail["loc"])
        if detail["type"] == "missing":
            at = (*at, detail["loc"][-1])
        elif detail["type"] == "refused":
            at = (*at, *detail["ctx"]["at"])
        places[at] = None
    return list(places)


def _explain(
    details: Sequence[ErrorDetails], at: Place, model: type[BaseModel], document: Document, root: Place
) -> Iterator[Problem]:
    spot = _spot(model, at[len(root) :], _value(document.data, root))
    shapes = [detail for detail in details if detail["type"].endswith(_SHAPES)]
    if shapes:
        yield _misshapen(shapes, at, spot.phrase, document)
    for detail in details:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == "missing":
            phrase = _spot(model, (*at[len(root) :], detail["loc"][-1]), _value(document.data, root)).phrase
            advice = f"write {phrase}" if phrase else ""
            message = f"'{detail['loc'][-1]}' is missing"
            where: Literal["key", "value"] = "key" if isinstance(_value(document.data, at), dict) else "value"
            yield document.problem(at, message, code="missing", suggestion=advice, on=where)
        elif kind == "extra_forbidden":
            known = list(_fields(spot.parent)) if spot.parent else []
            there_are = f"known here: {listed(known, 'and')}" if known else "nothing is known here"
            advice = did_you_mean(str(at[-1]), known) or there_are
            message = f"unknown key '{at[-1]}'"
            yield document.problem(at, message, code="unknown_key", suggestion=advice, on="key")
        elif kind == "refused":
            yield _refusal(context, at, document)
        elif kind == "value_error":
            yield document.problem(at, str(context["error"]), code="wrong_value")
        elif detail not in shapes:
            sentence = _SENTENCES.get(kind, "is not a value that can stand here").format(**context)
            yield document.problem(at, f"{_subject(at)} {sentence}", code="wrong_value")


def _misshapen(shapes: Sequence[ErrorDetails], at: Place, phrase: str, document: Document) -> Problem:
    """One problem for a value of the wrong kind, however many kinds would have been right."""
    if not phrase:
        sentences = [_sentence(detail) for detail in shapes]
        options = [s.removeprefix("must be ") for s in dict.fromkeys(sentences) if s.startswith("must be ")]
        phrase = listed(options)
    sentence = f"must be {phrase}" if phrase else _sentence(shapes[0])
    of_type = all(detail["type"].endswith("_type") for detail in shapes)
    return document.problem(
        at,
        f"{_subject(at)} {sentence}",
        code="wrong_type" if of_type else "wrong_value",
        suggestion=_word_advice(document, at, shapes) or _quote_advice(document, at, shapes),
    )


def _sentence(detail: ErrorDetails) -> str:
    if words := _words(detail):
        return f"must be {listed(words)}"
    return _SENTENCES.get(detail["type"], "is not a value that can stand here").format(
        **detail.get("ctx", {})
    )


def _refusal(context: Mapping[str, Any], at: Place, document: Document) -> Problem:
    """What a validator of ours raised with `refused`."""
    below = (*at, *context["at"])
    on: Literal["key", "value"] = "key" if context["at"] else "value"
    message = f"{_subject(below)} {context['message']}"
    return document.problem(below, message, code=context["code"], suggestion=context["suggestion"], on=on)


def _written(document: Document, place: Place, location: tuple[int | str, ...]) -> Place:
    """The part of pydantic's location that the file has: without names of union members and of what is missing."""
    for step in location:
        if document.has((*place, step)):
            place = (*place, step)
    return place


def _subject(at: Place) -> str:
    """How a sentence about this place begins."""
    if not at:
        return "the file"
    if isinstance(at[-1], int):
        return f"entry {at[-1] + 1} of '{at[-2]}'" if len(at) > 1 else f"entry {at[-1] + 1}"
    return f"'{at[-1]}'"


def _word_advice(document: Document, at: Place, details: Sequence[ErrorDetails]) -> str:
    """The permitted word that was probably meant."""
    value = _value(document.data, at)
    if not isinstance(value, str) or document.is_secret(at):
        return ""
    return did_you_mean(value, [word for detail in details for word in _words(detail)])


def _words(detail: ErrorDetails) -> list[str]:
    """The words that a `Literal` permits."""
    return _QUOTED.findall(detail["ctx"]["expected"]) if detail["type"] == "literal_error" else []


def _quote_advice(document: Document, at: Place, details: Sequence[ErrorDetails]) -> str:
    """A number or a boolean where text is wanted only lacks its quotes."""
    wants_text = any(detail["type"] == "string_type" for detail in details)
    is_plain = isinstance(_value(document.data, at), bool | int | float)
    return "put it in quotes" if wants_text and is_plain else ""


def _value(data: Any, place: Place) -> Any:
    for step in place:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


# -- finding a place in the models -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Spot:
    """What the models say of a place: its type, the phrase of its `Expected`, the model whose keys it is among."""

    annotation: Any
    phrase: str = ""
    parent: type[BaseModel] | None = None


def _spot(model: type[BaseModel], place: Place, data: Any) -> _Spot:
    spot = _Spot(model)
    for depth, step in enumerate(place):
        members = list(_members(spot.annotation))
        parent = _meant(members, _value(data, place[:depth]))
        if parent and (field := _fields(parent).get(str(step))):
            marks = [mark.phrase for mark in field.metadata if isinstance(mark, Expected)]
            spot = _Spot(field.annotation, next(iter(marks), _phrase(field.annotation)), parent)
        else:
            inside = next(
                (args for m in members if (args := get_args(m)) and get_origin(m) in _CONTAINERS), None
            )
            annotation = inside[-1 if len(inside) == 2 and inside[-1] is not ... else 0] if inside else None
            spot = _Spot(annotation, _phrase(annotation), parent)
    return spot


def _meant(members: Sequence[Any], data: Any) -> type[BaseModel] | None:
    """The model among the members of a union; of several, the one whose word (``provider: vault``) stands there."""
    models = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
    for model in models if isinstance(data, dict) else ():
        words = {
            name: get_args(field.annotation)
            for name, field in _fields(model).items()
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        }
        if words and all(data.get(name) in permitted for name, permitted in words.items()):
            return model
    return models[0] if models else None


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a union is made of, without their annotations; any other type alone."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _phrase(annotation: Any) -> str:
    """The phrase of the `Expected` that a type, or a member of a union, is annotated with."""
    if get_origin(annotation) is Annotated:
        of, *marks = get_args(annotation)
        return next((mark.phrase for mark in marks if isinstance(mark, Expected)), _phrase(of))
    if get_origin(annotation) in (Union, types.UnionType):
        return next((phrase for member in get_args(annotation) if (phrase := _phrase(member))), "")
    return ""


def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}
