"""Avro's logical types: numbers and bytes that stand for dates, times, decimals and UUIDs, as texts and back.

Source: Apache Avro 1.12.0 Specification, "Logical Types"; texts are those of ISO 8601 and RFC 9562. Both directions are
exact: what has no text (a date beyond the year 9999), or a text that the type cannot hold, is a ValueError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = date(1970, 1, 1).toordinal()
_MIDNIGHT: Final = datetime(1970, 1, 1)  # noqa: DTZ001  of a time zone that the text names, or none
_DAY: Final = 86_400  # seconds
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)(?:\.(\d{1,40}))?", re.ASCII)
_INSTANT: Final = re.compile(r"([\d-]+)T([\d:.]+)(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII)
_DECIMAL: Final = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DIGITS: Final = 1_000  # of a decimal; with more, which nobody has, it stays bytes
# Per second, and the number of decimals of a second's fraction.
_UNITS: Final = {"millis": (10**3, 3), "micros": (10**6, 6), "nanos": (10**9, 9)}

Convert = Callable[[Any], Any]
"""One value to another one. Raises ValueError, TypeError or OverflowError for what it cannot take."""


@dataclass(frozen=True, slots=True)
class Logical:
    """How values of one logical type become texts of `format` (`lift`) and how those become values again (`lower`).

    Both are None where the value is a text already. `format` holds for every value, or is empty.
    """

    format: str
    lift: Convert | None = None
    lower: Convert | None = None


def logical_of(kind: str, schema: dict[str, Any]) -> Logical | None:
    """The logical type of a definition. None when there is none, or none that transforms should see as another type."""
    name = schema.get("logicalType")
    if not isinstance(name, str):
        return None
    if name == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(schema, schema["size"] if kind == "fixed" else None)
    if name == "uuid" and kind == "fixed" and schema["size"] == 16:
        return Logical("uuid", _uuid_text, _uuid_bytes)
    return _SIMPLE.get((kind, name))


def _date_text(days: int) -> str:
    return date.fromordinal(days + _EPOCH).isoformat()


def _days(text: str) -> int:
    if not _DATE.fullmatch(text):
        raise ValueError
    return date.fromisoformat(text).toordinal() - _EPOCH


def _since_midnight(text: str, per_second: int, digits: int) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError
    hour, minute, second, fraction = found.groups("")
    if int(hour) > 23 or fraction[digits:].strip("0"):
        raise ValueError
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    return seconds * per_second + int(fraction[:digits].ljust(digits, "0"))


def _time(unit: str) -> Logical:
    per_second, digits = _UNITS[unit]

    def lift(value: int) -> str:
        second, part = divmod(value, per_second)
        if not 0 <= second < _DAY:
            raise ValueError
        minute, second = divmod(second, 60)
        return f"{minute // 60:02}:{minute % 60:02}:{second:02}.{part:0{digits}}"

    return Logical("time", lift, lambda text: _since_midnight(text, per_second, digits))


def _timestamp(unit: str, *, utc: bool) -> Logical:
    per_second, digits = _UNITS[unit]
    fraction = f".%0{digits}d{'Z' if utc else ''}"

    def lift(value: int) -> str:
        seconds, part = divmod(value, per_second)
        return (_MIDNIGHT + timedelta(0, seconds)).isoformat() + fraction % part

    def lower(text: str) -> int:
        found = _INSTANT.fullmatch(text)
        if not found:
            raise ValueError
        day, rest, zone = found.groups("")
        if bool(zone) != utc:
            raise ValueError
        value = _days(day) * per_second * _DAY + _since_midnight(rest, per_second, digits)
        if len(zone) > 1:
            minutes = int(zone[1:3]) * 60 + int(zone[4:])
            value -= int(f"{zone[0]}{minutes}") * 60 * per_second
        if not -(2**63) <= value < 2**63:
            raise ValueError
        return value

    return Logical("date-time", lift, lower)


def _decimal(schema: dict[str, Any], size: int | None) -> Logical | None:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision <= _DIGITS:
        return None
    if precision < 1 or (size is not None and precision > math.floor(math.log10(2) * (8 * size - 1))):
        return None

    def lift(value: bytes) -> str:
        if not value:
            raise ValueError
        number = int.from_bytes(value, "big", signed=True)
        digits = f"{abs(number):0{scale + 1}}"
        sign = "-" if number < 0 else ""
        return (
            f"{sign}{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}"
            if scale
            else sign + digits
        )

    def lower(text: str) -> bytes:
        found = _DECIMAL.fullmatch(text)
        if not found:
            raise ValueError
        sign, whole, fraction = found.groups("")
        if fraction[scale:].strip("0"):
            raise ValueError
        digits = (whole + fraction[:scale].ljust(scale, "0")).lstrip("0")
        if len(digits) > precision:
            raise ValueError
        number = int(f"{sign}{digits or 0}")
        length = (number if number >= 0 else ~number).bit_length() // 8 + 1
        return number.to_bytes(length if size is None else size, "big", signed=True)

    return Logical("decimal", lift, lower)


def _uuid_text(value: bytes) -> str:
    if len(value) != 16:
        raise ValueError
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _uuid_bytes(text: str) -> bytes:
    if not _UUID.fullmatch(text):
        raise ValueError
    return bytes.fromhex(text.replace("-", ""))


_SIMPLE: Final = {
    ("int", "date"): Logical("date", _date_text, _days),
    ("int", "time-millis"): _time("millis"),
    ("long", "time-micros"): _time("micros"),
    ("string", "uuid"): Logical(""),  # nothing in Avro makes such a text be a UUID
    **{
        ("long", f"{prefix}timestamp-{unit}"): _timestamp(unit, utc=not prefix)
        for prefix in ("", "local-")
        for unit in _UNITS
    },
}
