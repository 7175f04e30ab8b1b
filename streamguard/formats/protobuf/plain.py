"""Values of Protobuf documents as transforms take them, and back: times as text, whole subtrees as plain data."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

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
        return _column(_plain_message(descriptor, {}))
    field, single = field_at(descriptor, path)
    if field is None:
        return None
    if single and field.message_type is None:
        return None
    if single and field.message_type.full_name in WRAPPERS:
        return None
    plain = _plain(field, {}) if single else _plain_all(field, {})
    return None if plain is None else _column(plain)


def lowering(descriptor: Any, path: Path) -> Column | None:
    """The reverse for single values that documents hold in another form: times."""
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
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise ValueError("not a value of the schema's type") from None

    return convert


# -- whole subtrees --------------------------------------------------------------------------------------------------


def _plain(field: Any, known: dict[str, Convert]) -> Convert | None:
    """How one value of a field becomes plain data; None where it is."""
    descriptor = field.message_type
    if descriptor is None:
        return _base64 if field.type == Field.TYPE_BYTES else None
    name = descriptor.full_name
    if name in WRAPPERS:
        return _base64 if WRAPPERS[name] == "bytes" else None
    if name in JSON or not descriptor.fields:
        return None
    return _TEXTS.get(name) or _plain_message(descriptor, known)


def _plain_all(field: Any, known: dict[str, Convert]) -> Convert | None:
    """The same for all values of a repeated field or a map, whose keys become texts."""
    if is_map(field):
        item = _plain(field.message_type.fields_by_name["value"], known) or _same
        return lambda entries: {_key(key): item(one) for key, one in entries.items()}
    one = _plain(field, known)
    return None if one is None else lambda values: list(map(one, values))


def _plain_message(descriptor: Any, known: dict[str, Convert]) -> Convert:
    if descriptor.full_name not in known:
        steps: dict[str, Convert] = {}

        def plain(document: Any) -> Any:
            return {
                name: steps[name](value) if name in steps and value is not None else value
                for name, value in document.items()
            }

        known[descriptor.full_name] = plain
        for field in descriptor.fields:
            step = _plain_all(field, known) if field.is_repeated else _plain(field, known)
            if step is not None:
                steps[field.name] = step
    return known[descriptor.full_name]


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _key(key: Any) -> str:
    """A map's key as the name of a JSON object's member."""
    return str(key).lower() if isinstance(key, bool) else str(key)


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


_TEXTS: Final[dict[str, Callable[[Any], str]]] = {TIMESTAMP: _date_time, DURATION: _duration}
_PARSERS: Final[dict[str, Callable[[Any], int]]] = {
    TIMESTAMP: _nanos_of_date_time,
    DURATION: _nanos_of_duration,
}
