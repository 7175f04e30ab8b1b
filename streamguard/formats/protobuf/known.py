"""What is said of Protobuf's types in more than one place: the well-known ones, maps and enums.

https://protobuf.dev/reference/protobuf/google.protobuf/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Convert = Callable[[Any], Any]
"""From a message to what documents hold, or back."""

TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
WRAPPERS: Final = {
    f"google.protobuf.{name}": kind
    for name, kind in {
        "BoolValue": "boolean", "BytesValue": "bytes", "DoubleValue": "number", "FloatValue": "number",
        "Int32Value": "integer", "Int64Value": "integer", "StringValue": "string", "UInt32Value": "integer",
        "UInt64Value": "integer",
    }.items()
}  # fmt: skip
"""The messages that wrap one value, so that it can be absent, and its type."""
VALUE: Final = "google.protobuf.Value"
JSON: Final = {
    "google.protobuf.Struct": frozenset({"object"}),
    "google.protobuf.ListValue": frozenset({"array"}),
    VALUE: frozenset({"string", "number", "boolean", "object", "array"}),
}
"""The messages that hold JSON of any shape, and its types."""
ANY: Final = "google.protobuf.Any"
SPECIAL: Final = frozenset({TIMESTAMP, DURATION, *WRAPPERS, *JSON})
"""The messages that stand in documents in another form than their fields."""

DEEPEST: Final = 100
"""Levels of messages in messages that Protobuf's own parsers take."""

BILLION: Final = 1_000_000_000
# As timestamp.proto and duration.proto have them: the years 1 to 9999, and 10,000 years in seconds.
FIRST: Final = -62_135_596_800
LAST: Final = 253_402_300_799
LONGEST: Final = 315_576_000_000


def is_map(field: Any) -> bool:
    """Whether a field is a map, which descriptors show as repeated entries."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def enum_names(enum: Any) -> dict[int, str]:
    """The name of each number of an enum: the first where there are several."""
    names: dict[int, str] = {}
    for value in enum.values:
        names.setdefault(value.number, value.name)
    return names
