"""What pydantic found wrong with a file, in our words and at its place.

pydantic's own texts never reach a person: they name Python types, print their input and list every member of a union.
A field that takes several shapes carries an `Expected`, which says in one phrase what to write there.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Union, get_args, get_origin

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
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "is not in the right form",
    "time_delta_type": "must be a duration such as 14d, 12h, 90s or 250ms",
    "time_delta_parsing": "must be a duration such as 14d, 12h, 90s or 250ms",
    "datetime_type": "must be a time such as 2026-01-31T12:00:00Z",
}
_QUOTED: Final = re.compile(r"'([^']*)'")
_SHAPES: Final = ("_type", "_parsing", "_error", "_mismatch", "_from_float")
"""Endings of the errors that say: something else was expected here."""


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, place: Place = ()
) -> list[Problem]:
    """Every error as a problem of `document`, in which `model` was read at `place`."""
    grouped: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        grouped.setdefault(_written(document, place, detail["loc"]), []).append(detail)
    found: list[Problem] = []
    for at, details in grouped.items():
        # A member of a union that fails deeper down is the one that was meant; the others' refusals are noise.
        deeper = any(other != at and other[: len(at)] == at for other in grouped)
        meant = [detail for detail in details if not (deeper and detail["type"].endswith(_SHAPES))]
        found += _explain(meant, at, model, document, place)
    # A key that is misspelt need not be called missing as well.
    advice = {problem.suggestion for problem in found}
    return [p for p in found if f"did you mean {p.message.removesuffix(' is missing')}?" not in advice]


def _explain(
    details: Sequence[ErrorDetails], at: Place, model: type[BaseModel], document: Document, root: Place
) -> Iterator[Problem]:
    field, parent = _field_at(model, at[len(root) :])
    expected = _expected(field)
    name = str(at[-1]) if at else ""
    for detail in details:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == "missing":
            message = f"'{detail['loc'][-1]}' is missing"
            yield document.problem(
                at, message, code="missing", suggestion=_missing_advice(model, detail), on="key"
            )
        elif kind == "extra_forbidden":
            known = _names(parent) if parent else []
            advice = did_you_mean(name, known) or f"known here: {listed(known, 'and')}"
            yield document.problem(
                at, f"unknown key '{name}'", code="unknown_key", suggestion=advice, on="key"
            )
        elif kind == "refused":
            below = (*at, *context["at"])
            message = f"{_subject(below)} {context['message']}"
            on: Literal["key", "value"] = "key" if context["at"] else "value"
            yield document.problem(
                below, message, code=context["code"], suggestion=context["suggestion"], on=on
            )
        elif kind == "value_error":
            yield document.problem(at, str(context["error"]), code="wrong_value")
        elif expected and kind.endswith(_SHAPES):
            suggestion = _word_advice(document, at, details) or _quote_advice(document, at, details)
            yield document.problem(
                at, f"{_subject(at)} must be {expected}", code="wrong_value", suggestion=suggestion
            )
            return
        elif kind == "literal_error":
            suggestion = _word_advice(document, at, details)
            words = listed(_words(detail))
            yield document.problem(
                at, f"{_subject(at)} must be {words}", code="wrong_value", suggestion=suggestion
            )
        else:
            sentence = _SENTENCES.get(kind, "is not a value that can stand here").format(**context)
            advice = _quote_advice(document, at, details)
            code = "wrong_type" if kind.endswith("_type") else "wrong_value"
            yield document.problem(at, f"{_subject(at)} {sentence}", code=code, suggestion=advice)


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


def _missing_advice(model: type[BaseModel], detail: ErrorDetails) -> str:
    field, _ = _field_at(model, tuple(detail["loc"]))
    expected = _expected(field)
    return f"write {expected}" if expected else ""


def _quote_advice(document: Document, at: Place, details: Sequence[ErrorDetails]) -> str:
    """A number or a boolean where text is wanted only lacks its quotes."""
    wants_text = any(detail["type"] == "string_type" for detail in details)
    return (
        "put it in quotes" if wants_text and isinstance(_value(document.data, at), bool | int | float) else ""
    )


def _value(data: Any, place: Place) -> Any:
    for step in place:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


# -- finding the field of a place in the models ----------------------------------------------------------------------


def _field_at(model: type[BaseModel], place: Place) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The field that a place belongs to, and the model whose keys stand beside it."""
    annotation: Any = model
    field: FieldInfo | None = None
    parent: type[BaseModel] | None = None
    for step in place:
        parent = next(_models(annotation), None)
        fields = _fields(parent) if parent else {}
        field = fields.get(str(step))
        annotation = field.annotation if field else _inside(annotation)
        if field is None and annotation is None:
            break
    return field, parent


def _expected(field: FieldInfo | None) -> str:
    """The phrase of a field's `Expected`, which may also stand at a member of its union."""
    members = [getattr(member, "__metadata__", ()) for member in get_args(field.annotation)] if field else []
    marks = [mark for metadata in (field.metadata if field else [], *members) for mark in metadata]
    return next((mark.phrase for mark in marks if isinstance(mark, Expected)), "")


def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _names(model: type[BaseModel]) -> list[str]:
    return list(_fields(model))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models among the members of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _models(member)


def _inside(annotation: Any) -> Any:
    """The type of the entries of a list or a mapping."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(
            (found for member in get_args(annotation) if (found := _inside(member)) is not None), None
        )
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) in (list, tuple):
        return get_args(annotation)[0]
    return None
