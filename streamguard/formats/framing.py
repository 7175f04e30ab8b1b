"""The wire format of Schema Registries: which schema a value has, said in front of it or in a header.

In front (`prefix`): a byte 0, and the schema's id in 4 bytes, big-endian. In a header (`header`): a byte 1 and the
schema's GUID in 16 bytes, or what would stand in front; the value then stands alone. Protobuf adds which message of the
file it is: the indexes that lead to it from the outside inwards, with their count before them, all of them zigzag
varints. A single byte 0 stands for the first message.

Source: Confluent's documentation, "Formats, Serializers, and Deserializers for Schema Registry", section "Wire format".

Reading goes by columns. A slice of records knows few schemas, so each distinct beginning is read once, and the rows
look theirs up.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID

VALUE_HEADER: Final = "__value_schema_id"
KEY_HEADER: Final = "__key_schema_id"
FIRST_MESSAGE: Final = (0,)
"""The indexes of a Protobuf file's first message."""

_BY_ID: Final = b"\0"
_BY_GUID: Final = b"\1"
_ID_END: Final = 5
_GUID_END: Final = 17
_DEEPEST: Final = 100  # messages within messages; Protobuf's parsers read no more of them
_VARINT: Final = 5  # bytes, for 32 bits


class Frame(NamedTuple):
    """Which schema a value has: its id or its GUID and, of Protobuf, the indexes of its message."""

    schema: int | UUID
    message: tuple[int, ...] | None = None


class Fault(Enum):
    """Why a frame cannot be read, in words that go on after "the value"."""

    SHORT = "is shorter than a schema's id"
    MAGIC = "does not begin with a schema's id"
    MESSAGE = "does not say which message of its schema it is"
    HEADER = "has a header that names no schema, or several"


Frames = list[Frame | Fault]
Headers = Sequence[tuple[str, bytes | None]]


def read_prefix(values: Sequence[bytes], *, message: bool = False) -> tuple[Frames, list[bytes]]:
    """What stands in front of each value, and what follows it. `message` when they are Protobuf.

    Where a frame cannot be read there is a `Fault`, and the value as it is.
    """
    end = _ID_END + message
    beginnings = [value[:end] for value in values]
    read = {beginning: _frame(beginning, message=message) for beginning in set(beginnings)}
    if len(read) == 1:
        ((frame, end),) = read.values()
        if frame is not Fault.MESSAGE:
            return [frame] * len(values), [value[end:] for value in values]
    frames: Frames = []
    payloads: list[bytes] = []
    before: tuple[bytes, Frame | Fault] | None = None
    for value, beginning in zip(values, beginnings, strict=True):
        frame, end = read[beginning]
        if frame is Fault.MESSAGE:  # not the first one: its indexes are longer than the beginning
            if before and value.startswith(before[0]):
                frame, end = before[1], len(before[0])
            else:
                frame, end = _frame(value, message=message)
                before = (value[:end], frame) if end else None
        frames.append(frame)
        payloads.append(value[end:])
    return frames, payloads


def read(
    values: Sequence[bytes], headers: Sequence[Headers | None], name: str, *, message: bool = False
) -> tuple[Frames, list[bytes]]:
    """The same, where the header of this name comes first: as Confluent's deserializers read if nobody tells them."""
    named = [_named(each, name) if each else None for each in headers]
    frames, payloads = read_prefix(values, message=message)
    known = {value: _header(value, message=message) for value in set(named) if value is not None}
    if known:
        for row, value in enumerate(named):
            if value is not None:
                frames[row], payloads[row] = known[value], values[row]
    return frames, payloads


def prefix(schema: int, message: tuple[int, ...] | None = None) -> bytes:
    """What stands in front of a value of this schema."""
    return _BY_ID + schema.to_bytes(4) + _indexes(message)


def header(schema: int | UUID, message: tuple[int, ...] | None = None) -> bytes:
    """What the header of a value of this schema holds."""
    if isinstance(schema, UUID):
        return _BY_GUID + schema.bytes + _indexes(message)
    return prefix(schema, message)


def _frame(value: bytes, *, message: bool) -> tuple[Frame | Fault, int]:
    """The frame in front of a value, and where it ends."""
    if value[:1] not in (_BY_ID, b""):
        return Fault.MAGIC, 0
    if len(value) < _ID_END:
        return Fault.SHORT, 0
    return _with_message(int.from_bytes(value[1:_ID_END]), value, _ID_END, message=message)


def _header(value: bytes, *, message: bool) -> Frame | Fault:
    frame: Frame | Fault = Fault.HEADER
    end = 0
    if value[:1] == _BY_ID:
        frame, end = _frame(value, message=message)
    elif value[:1] == _BY_GUID and len(value) >= _GUID_END:
        frame, end = _with_message(UUID(bytes=value[1:_GUID_END]), value, _GUID_END, message=message)
    return frame if end == len(value) > 0 else Fault.HEADER


def _named(headers: Headers, name: str) -> bytes | None:
    """The header of this name. Where several differ, Java reads the last and Python the first: that is none."""
    found = {value for key, value in headers if key == name and value is not None}
    return found.pop() if len(found) == 1 else b"" if found else None


def _with_message(schema: int | UUID, value: bytes, at: int, *, message: bool) -> tuple[Frame | Fault, int]:
    if not message:
        return Frame(schema), at
    try:
        count, at = _varint(value, at)
        if count == 0:
            return Frame(schema, FIRST_MESSAGE), at
        if not 0 < count <= _DEEPEST:
            return Fault.MESSAGE, 0
        indexes = []
        for _ in range(count):
            index, at = _varint(value, at)
            if index < 0:
                return Fault.MESSAGE, 0
            indexes.append(index)
    except (IndexError, OverflowError):
        return Fault.MESSAGE, 0
    return Frame(schema, tuple(indexes)), at


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint of 32 bits at most, and where it ends (Protocol Buffers, "Encoding")."""
    number = 0
    for position in range(_VARINT):
        byte = value[at + position]
        number |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if number >> 32:
                break
            return (number >> 1) ^ -(number & 1), at + position + 1
    raise OverflowError


def _indexes(message: tuple[int, ...] | None) -> bytes:
    if message is None:
        return b""
    if message == FIRST_MESSAGE:
        return b"\0"
    written = bytearray()
    for number in (len(message), *message):
        rest = 2 * number  # zigzag, of what is never negative
        while rest >= 0x80:
            written.append(rest & 0x7F | 0x80)
            rest >>= 7
        written.append(rest)
    return bytes(written)
