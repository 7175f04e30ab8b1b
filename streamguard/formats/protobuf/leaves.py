"""What a Protobuf message type declares: its leaves, their types, and the tags in its options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field

from streamguard.errors import ConfigError
from streamguard.formats.base import MAX_PLACES, Leaf
from streamguard.formats.protobuf.files import TAGS, confluent_meta, too_deep
from streamguard.formats.protobuf.known import (
    ANY,
    DEEPEST,
    DURATION,
    JSON,
    TIMESTAMP,
    WRAPPERS,
    enum_names,
    is_map,
)
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
    """The leaves of a message type. `comments` are their descriptions, by the full names of fields.

    Raises ConfigError for a schema that is too large or too deep.
    """
    return _Leaves(comments).of_message(descriptor, Path(()), frozenset(), ())


def type_of(field: Any) -> str:
    """The type of a field that is no message."""
    return "bytes" if field.type == Field.TYPE_BYTES else _TYPES.get(field.cpp_type, "integer")


class _Leaves:
    """The walk through a schema. It counts the places it comes to: few types, used in each other, can make billions."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.comments = comments
        self.places = 0

    def of_message(
        self, descriptor: Any, path: Path, tags: frozenset[str], above: tuple[str, ...]
    ) -> Iterator[Leaf]:
        """`tags` hold for all of the message; `above` are the types that it stands in."""
        self.places += len(descriptor.fields)
        if self.places > MAX_PLACES:
            raise ConfigError(
                f"The schema declares more than {MAX_PLACES:,} places.", "Split it into smaller messages."
            )
        if len(above) >= DEEPEST:
            raise too_deep()
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
