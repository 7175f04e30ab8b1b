"""Why bytes could not be parsed: the wire format read by hand, for the records that Protobuf's parser refuses.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_GROUP: Final = 3
_END: Final = 4
_FIXED32: Final = 5


def nests_deeper(value: bytes, descriptor: Any, limit: int) -> bool:
    """Whether messages stand in each other more than `limit` levels deep, in bytes that need not be valid.

    Each level's bytes are gone over once and payloads are skipped, so the time is bounded by length times levels.
    """
    level = [(value, descriptor)]
    for _ in range(limit):
        level = [inner for payload, kind in level for inner in _messages(payload, kind)]
        if not level:
            return False
    return True


def _messages(payload: bytes, descriptor: Any) -> list[tuple[bytes, Any]]:
    """The messages directly inside of a message, as far as its bytes can be read; a group is what follows its start."""
    found: list[tuple[bytes, Any]] = []
    fields = descriptor.fields_by_number if descriptor is not None else {}
    at, end = 0, len(payload)
    try:
        while at < end:
            tag, at = _varint(payload, at)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                _, at = _varint(payload, at)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
            elif kind == _BYTES:
                length, at = _varint(payload, at)
                field = fields.get(number)
                if field is not None and field.type == Field.TYPE_MESSAGE:
                    found.append((payload[at : at + length], field.message_type))
                at += length
            elif kind == _GROUP:
                # Where the group ends is known only after what it holds: the rest counts as inside of it.
                field = fields.get(number)
                found.append((payload[at:], field.message_type if field is not None else None))
                break
            else:
                break
    except IndexError:
        pass
    return found


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint and where it ends. Raises IndexError where the bytes do."""
    result = 0
    for shift in range(0, 70, 7):
        byte = payload[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise IndexError
