"""Mending before judging: `clean` steps bring what producers write into the shape that the schema asks for.

Steps run in the order they are written, on whole columns. They never fail: what a step cannot mend stays as it is, and
the validation that follows says what is wrong with it. A coercion happens only where nothing is lost by it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import repeat
from typing import Any, Final

import orjson

from streamguard.errors import ConfigError
from streamguard.formats.base import SCALAR_TYPES
from streamguard.guard.batch import Batch
from streamguard.policy.models import CleanStep
from streamguard.policy.paths import Path, Segment, Wild, parse_path

Types = Mapping[Path, frozenset[str]]
Step = Callable[[list[Any]], list[Any]]
"""A column of any values, `_MISSING` among them, to a column of the same length."""

_MISSING: Final = object()
_TEXT: Final = {str}
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_BOOLEANS: Final = {"true": True, "false": False}


class Clean:
    """The clean steps of a policy, compiled. Raises ConfigError for a step that cannot be.

    `types` holds the schema's types by path: what a bare ``coerce`` coerces to.
    """

    stage = "clean"

    def __init__(self, clean: Mapping[str, Sequence[CleanStep]], types: Types | None = None) -> None:
        self.columns = [
            (path.segments, [_compile(step, path, types or {}) for step in steps])
            for text, steps in clean.items()
            for path in [parse_path(text)]
        ]

    def apply(self, batch: Batch) -> None:
        """Change the documents of live rows in place."""
        documents = batch.live_documents
        for (*above, last), steps in self.columns:
            holders, keys, values = _gather(_nodes(documents, above), last)
            cleaned = values
            for step in steps:
                cleaned = step(cleaned)
            for holder, key, before, after in zip(holders, keys, values, cleaned, strict=False):
                if after is not before:
                    holder[key] = after


def _nodes(documents: list[Any], above: Sequence[Segment]) -> list[Any]:
    """What stands at a path. Other shapes are passed over: judging them is the validation's business."""
    nodes = documents
    for step in above:
        if isinstance(step, str):
            nodes = [node[step] for node in nodes if isinstance(node, dict) and step in node]
        else:
            _, _, nodes = _gather(nodes, step)
    return nodes


def _gather(nodes: list[Any], step: Segment) -> tuple[list[Any], Iterable[Any], list[Any]]:
    """Containers, their keys, and the values there, `_MISSING` where an object lacks the name."""
    if isinstance(step, str):
        objects = [node for node in nodes if isinstance(node, dict)]
        return objects, repeat(step), [node.get(step, _MISSING) for node in objects]
    places: list[tuple[Any, Any]]
    if step is Wild.EACH:
        places = [(node, index) for node in nodes if isinstance(node, list) for index in range(len(node))]
    else:
        places = [(node, name) for node in nodes if isinstance(node, dict) for name in node]
    return [node for node, _ in places], [key for _, key in places], [node[key] for node, key in places]


def _compile(step: CleanStep, path: Path, types: Types) -> Step:
    """One step for one path. Raises ConfigError with the place and what may be written there."""
    if isinstance(step, str):
        if step == "coerce":
            return _coerce_to(_declared_type(path, types), path)
        return _TEXT_STEPS[step]
    if len(step) != 1:
        raise ConfigError(
            f"clean '{path}': a step is one word or one of coerce, default, map with its value."
        )
    ((verb, value),) = step.items()
    if verb == "coerce":
        return _coerce_to(value, path)
    if verb == "default":
        if value is not None and not isinstance(value, str | int | float):
            raise ConfigError(f"clean '{path}': a default is a text, a number, true or false.")
        return partial(_default, value)
    if verb == "map":
        if not isinstance(value, dict) or not all(isinstance(new, _MAPPED) for new in value.values()):
            raise ConfigError(
                f"clean '{path}': map takes single values to single values: {{map: {{y: true}}}}."
            )
        return partial(_map, {_written(old): new for old, new in value.items()})
    raise ConfigError(
        f"clean '{path}': unknown step '{verb}'.",
        f"Known are {', '.join(_TEXT_STEPS)}, coerce, default and map.",
    )


def _coerce_to(name: Any, path: Path) -> Step:
    if not isinstance(name, str) or name not in _COERCIONS:
        raise ConfigError(f"clean '{path}': coerce takes one of {', '.join(_COERCIONS)}.")
    return partial(_each, _COERCIONS[name])


def _declared_type(path: Path, types: Types) -> str:
    declared = types.get(path, frozenset())
    if len(declared) == 1 and declared <= SCALAR_TYPES:
        return next(iter(declared))
    raise ConfigError(
        f"clean '{path}': the schema does not declare a single simple type here.",
        "Name one: {coerce: integer}.",
    )


def _each(function: Callable[[Any], Any], column: list[Any]) -> list[Any]:
    return [function(value) for value in column]


def _text(function: Callable[[str], str]) -> Step:
    """A step that changes texts and leaves everything else."""

    def step(column: list[Any]) -> list[Any]:
        if set(map(type, column)) == _TEXT:
            return list(map(function, column))
        return [function(value) if isinstance(value, str) else value for value in column]

    return step


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _default(default: Any, column: list[Any]) -> list[Any]:
    return [default if value is None or value is _MISSING else value for value in column]


def _map(table: dict[str, Any], column: list[Any]) -> list[Any]:
    return [table.get(_written(value), value) if isinstance(value, _MAPPED) else value for value in column]


def _written(value: Any) -> str:
    """A single value as a policy writes it: ``{map: {1: true}}`` is for 1 and for "1", and not for true."""
    return value if isinstance(value, str) else json.dumps(value)


def _to_integer(value: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value) and -(2**63) <= (number := int(value)) < 2**64:
        return number
    if isinstance(value, float) and abs(value) <= 2**53 and value.is_integer():
        return int(value)
    return value


def _to_number(value: Any) -> Any:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    if _INTEGER.fullmatch(value):
        return _to_integer(value)
    number = float(value)
    # A float that does not say exactly what the text said (0.1 does; 20 digits or 1e999 do not) is a loss.
    return number if Decimal(repr(number)) == Decimal(value) else value


def _to_boolean(value: Any) -> Any:
    return _BOOLEANS.get(value, value) if isinstance(value, str) else value


def _to_string(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, int | float) else value


_MAPPED: Final = (str, int, float, bool, type(None))
_TEXT_STEPS: Final[Mapping[str, Step]] = {
    "trim": _text(str.strip),
    "lower": _text(str.lower),
    "upper": _text(str.upper),
    "nfc": _text(partial(unicodedata.normalize, "NFC")),
    "nfkc": _text(partial(unicodedata.normalize, "NFKC")),
    "collapse": _text(_collapse),
}
_COERCIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "string": _to_string,
}
