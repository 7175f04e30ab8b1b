"""What a Protobuf message type declares: its leaves, their types, and the tags in its options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field

from streamguard.formats.base import Leaf
from streamguard.formats.protobuf.files import TAGS, confluent_meta
from streamguard.formats.protobuf.known import ANY, DURATION, JSON, TIMESTAMP, WRAPPERS, enum_names, is_map
from streamguard.policy.paths import Path, Wild

_TYPES: Final = {
    Field.CPPTYPE_BOOL: "boolean",
    Field.CPPTYPE_DOUBLE: "number",
    Field.CPPTYPE_FLOAT: "number",
    Field.CPPTYPE_ENUM: "string",
    Field.CPPTYPE_STRING: "string",
}
_TIMES: Final = {TIMESTAMP: "date-time", DURATION: "duration"}


def leaves_of(descriptor: Any, comments: Mapping[str, str]) -> Iterator[Leaf]:
    """The leaves of a message type. `comments` are their descriptions, by the full names of fields."""
    return _Leaves(comments).of_message(descriptor, Path(()), frozenset(), ())


def type_of(field: Any) -> str:
    """The type of a field that is no message."""
    return "bytes" if field.type == Field.TYPE_BYTES else _TYPES.get(field.cpp_type, "integer")


class _Leaves:
    def __init__(self, comments: Mapping[str, str]) -> None:
        self.comments = comments

    def of_message(
        self, descriptor: Any, path: Path, tags: frozenset[str], above: tuple[str, ...]
    ) -> Iterator[Leaf]:
        """`tags` hold for all of the message; `above` are the types that it stands in."""
        tags |= _tags(descriptor)
        for field in descriptor.fields:
            own, at, value = tags | _tags(field), path.child(field.name), field
            if is_map(field):
                value = field.message_type.fields_by_name["value"]
                at = at.child(Wild.ANY)
            elif field.is_repeated:
                at = at.child(Wild.EACH)
            comment = self.comments.get(field.full_name, "")
            if value.message_type is None:
                enum = tuple(enum_names(value.enum_type).values()) if value.enum_type is not None else ()
                yield Leaf(at, frozenset({type_of(value)}), enum, description=comment, tags=own)
            else:
                yield from self._of_inner(
                    value.message_type, at, own, (*above, descriptor.full_name), comment
                )

    def _of_inner(
        self, inner: Any, path: Path, tags: frozenset[str], above: tuple[str, ...], comment: str
    ) -> Iterator[Leaf]:
        name = inner.full_name
        types, free = frozenset({"object"}), False
        if name in JSON:
            types, free = JSON[name], True
        elif name == ANY or name in above:
            free = True
        elif name in WRAPPERS:
            types = frozenset({WRAPPERS[name]})
        elif name in _TIMES:
            types = frozenset({"string"})
        elif not inner.fields:
            types = frozenset({"boolean"})
        else:
            yield from self.of_message(inner, path, tags, above)
            return
        tags |= _tags(inner)
        yield Leaf(path, types, format=_TIMES.get(name, ""), free=free, description=comment, tags=tags)


def _tags(part: Any) -> frozenset[str]:
    """The tags of a field or message type."""
    options = part.GetOptions()
    raw = options.SerializeToString()
    if not raw:
        return frozenset()
    meta = confluent_meta(options.DESCRIPTOR.name, raw)
    own = meta.params.get(TAGS, "")
    return frozenset(meta.tags) | frozenset(re.findall(r"[^\s,]+", own))
