"""Values of Protobuf documents as transforms take them, and back: times as text, whole subtrees as plain data."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import FieldDescriptor as Field

from streamguard.formats.base import Column
from streamguard.formats.protobuf.known import (
    BILLION,
    DURATION,
    FIRST,
    JSON,
    LAST,
    LONGEST,
    TIMESTAMP,
    WRAPPERS,
    Convert,
    is_map,
)
from streamguard.policy.paths import Path

_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_DURATION: Final = re.compile(r"(-?)PT(\d{1,12})(?:\.(\d{1,9}))?S", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def lifting(descriptor: Any, path: Path) -> Column | None:
    """How values at a path of a message type become what transforms take; None where they are that already."""
    if not path.segments:
        return _column(_Subtrees(_LIFT).message(descriptor))
    field, single = field_at(descriptor, path)
    if field is None:
        return None
    if single and field.message_type is None:
        return None
    if single and field.message_type.full_name in WRAPPERS:
        return None
    plain = _Subtrees(_LIFT).one(field) if single else _Subtrees(_LIFT).all(field)
    return None if plain is None else _column(plain)


def lowering(descriptor: Any, path: Path) -> Column | None:
    """The reverse for whole documents, and for single values that documents hold in another form: times."""
    if not path.segments:
        return _column(_Subtrees(_LOWER).message(descriptor))
    field, single = field_at(descriptor, path)
    if field is None or field.message_type is None or not single:
        return None
    parse = _PARSERS.get(field.message_type.full_name)
    return None if parse is None else _column(parse)


def field_at(descriptor: Any, path: Path) -> tuple[Any, bool]:
    """The field at a path, or None, and whether the path means one value, not all of a repeated field or map."""
    field: Any = None
    single = True
    for segment in path.segments:
        if isinstance(segment, str):
            field = descriptor.fields_by_name.get(segment) if descriptor is not None and single else None
            single = field is not None and not field.is_repeated
        else:
            if single:
                field = None
            elif is_map(field):
                field = field.message_type.fields_by_name["value"]
            single = True
        if field is None:
            return None, True
        descriptor = field.message_type
    return field, single


def _column(one: Convert) -> Column:
    def convert(values: list[Any]) -> list[Any]:
        try:
            return list(map(one, values))
        except (TypeError, ValueError, AttributeError, OverflowError, KeyError):
            raise ValueError("not a value of the schema's type") from None

    return convert


# -- whole subtrees --------------------------------------------------------------------------------------------------


class _Way(NamedTuple):
    """One direction: what becomes of times, by their types, of bytes, and of a map's key, whose field is given."""

    times: Mapping[str, Convert]
    bytes: Convert
    key: Callable[[Any, Any], Any]


class _Subtrees:
    """How what stands below a field goes one way; None where nothing changes."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self._known: dict[str, Convert] = {}

    def one(self, field: Any) -> Convert | None:
        """One value of a field."""
        descriptor = field.message_type
        if descriptor is None:
            return self._way.bytes if field.type == Field.TYPE_BYTES else None
        name = descriptor.full_name
        if name in WRAPPERS:
            return self._way.bytes if WRAPPERS[name] == "bytes" else None
        if name in JSON or not descriptor.fields:
            return None
        return self._way.times.get(name) or self.message(descriptor)

    def all(self, field: Any) -> Convert | None:
        """All values of a repeated field or a map, whose keys are texts in plain data."""
        if is_map(field):
            entry = field.message_type.fields_by_name
            name, item, key = entry["key"], self.one(entry["value"]) or _same, self._way.key
            return lambda entries: {key(name, each): item(value) for each, value in entries.items()}
        one = self.one(field)
        return None if one is None else lambda values: list(map(one, values))

    def message(self, descriptor: Any) -> Convert:
        """A message."""
        if descriptor.full_name not in self._known:
            steps: dict[str, Convert] = {}

            def convert(document: Any) -> Any:
                return {
                    name: steps[name](value) if name in steps and value is not None else value
                    for name, value in document.items()
                }

            self._known[descriptor.full_name] = convert
            for field in descriptor.fields:
                step = self.all(field) if field.is_repeated else self.one(field)
                if step is not None:
                    steps[field.name] = step
        return self._known[descriptor.full_name]


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    value = base64.b64decode(text, validate=True)
    if _base64(value) != text:
        raise ValueError
    return value


def _key(_: Any, key: Any) -> str:
    """A map's key as the name of a JSON object's member."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _key_of(field: Any, name: str) -> Any:
    """The key that is written so."""
    if field.type == Field.TYPE_STRING:
        return name
    key = {"true": True, "false": False}[name] if field.type == Field.TYPE_BOOL else int(name)
    if _key(field, key) != name:
        raise ValueError
    return key


# -- times -----------------------------------------------------------------------------------------------------------


def _date_time(nanos: int) -> str:
    """RFC 3339 in UTC, with no, 3, 6 or 9 digits of a second."""
    seconds, rest = divmod(nanos, BILLION)
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19] + _fraction(rest) + "Z"


def _duration(nanos: int) -> str:
    """ISO 8601 in seconds: ``PT3.500S``. Negative ones begin with a minus."""
    seconds, rest = divmod(abs(nanos), BILLION)
    return f"{'-' if nanos < 0 else ''}PT{seconds}{_fraction(rest)}S"


def _fraction(nanos: int) -> str:
    digits = f"{nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def _nanos_of_date_time(text: str) -> int:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise ValueError
    date, time, fraction, sign, hours, minutes = found.groups()
    since = datetime.fromisoformat(f"{date}T{time}+00:00") - _EPOCH
    seconds = since.days * 86400 + since.seconds
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    if not FIRST <= seconds <= LAST:
        raise ValueError
    return seconds * BILLION + _nanos(fraction)


def _nanos_of_duration(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None or int(found[2]) > LONGEST:
        raise ValueError
    nanos = int(found[2]) * BILLION + _nanos(found[3])
    return -nanos if found[1] else nanos


def _nanos(fraction: str | None) -> int:
    return int((fraction or "").ljust(9, "0"))


_PARSERS: Final[Mapping[str, Convert]] = {TIMESTAMP: _nanos_of_date_time, DURATION: _nanos_of_duration}
_LIFT: Final = _Way({TIMESTAMP: _date_time, DURATION: _duration}, _base64, _key)
_LOWER: Final = _Way(_PARSERS, _bytes, _key_of)
