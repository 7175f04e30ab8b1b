"""Protobuf: records of one message type of a schema, as source text or descriptor, local or from a registry."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from google.protobuf.descriptor import FieldDescriptor as Field

from streamguard.errors import ConfigError
from streamguard.formats.base import Change, Column, Form, Leaf
from streamguard.formats.protobuf.comments import comments_of
from streamguard.formats.protobuf.derive import derived
from streamguard.formats.protobuf.files import (
    compile_files,
    descriptor_of,
    is_known,
    pool_of,
    runtime_pool,
)
from streamguard.formats.protobuf.known import DEEPEST
from streamguard.formats.protobuf.leaves import leaves_of
from streamguard.formats.protobuf.plain import lifting, lowering
from streamguard.formats.protobuf.print import printed
from streamguard.formats.protobuf.read import Unreadable, reader
from streamguard.formats.protobuf.wire import nests_deeper
from streamguard.formats.protobuf.write import writer
from streamguard.policy.paths import Path
from streamguard.policy.problems import did_you_mean


class ProtobufForm(Form):
    """One message type of a Protobuf schema.

    `text` is .proto source, or the base64 of a serialized FileDescriptorProto. `references` are the files that it
    imports, by the names in its imports and in either form; Google's well-known types and Confluent's need none.
    `message` is the full or short name of the message type, or its position in the file as Confluent's framing has it
    (``[1, 0]`` is the first message inside of the second); by default it is the file's first.

    Raises ConfigError for what does not compile, is not there, is too large or too deep, or names no message.
    """

    name: ClassVar[str] = "protobuf"
    failures: ClassVar[tuple[type[Exception], ...]] = (Unreadable,)

    def __init__(
        self,
        text: str,
        references: Mapping[str, str] | None = None,
        message: str | Sequence[int] | None = None,
    ) -> None:
        self._text = text
        self._references = dict(references or {})
        self._files = compile_files(text, self._references)
        # Messages live as long as the pool that made their types.
        self._pool = runtime_pool(self._files)
        self._descriptor = _message(self._pool.FindFileByName(self._files[-1].name), message)
        self._leaves = tuple(leaves_of(self._descriptor, self._comments()))
        self.decode: Callable[[Any], Any] = reader(self._descriptor, self._unchecked)
        self.encode: Callable[[Any], bytes] = writer(self._descriptor)
        self.record_name = str(self._descriptor.full_name)
        self.index = _position(self._descriptor)
        self.imports = tuple(name for name in self._files[-1].dependency if not is_known(name))

    @property
    def text(self) -> str:
        return self._text

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return self._leaves

    @cached_property
    def is_closed(self) -> bool:
        return not any(leaf.free for leaf in self._leaves)

    def reason(self, value: bytes) -> str:
        """``unknown`` for a field, or the number of an enum, that the schema does not declare; the others as always."""
        try:
            self.decode(value)
        except Unreadable as error:
            return "depth" if nests_deeper(value, self._descriptor, DEEPEST) else error.reason
        return "syntax"

    def lift(self, path: Path) -> Column | None:
        return lifting(self._descriptor, path)

    def lower(self, path: Path) -> Column | None:
        return lowering(self._descriptor, path)

    def changed(self, changes: Mapping[Path, Change]) -> ProtobufForm:
        """The form of what leaves. Raises ConfigError for a change that no Protobuf field can hold."""
        result = derived(self._files, self._descriptor, changes)
        if result is None:
            return self
        file, comments = result
        pool_of([*self._files[:-1], file])
        if descriptor_of(self._text) is None:
            text = printed([*self._files[:-1], file], comments)
        else:
            text = base64.b64encode(file.SerializeToString()).decode()
        return ProtobufForm(text, self._references, self.record_name)

    def _comments(self) -> dict[str, str]:
        return {
            name[1:]: " ".join(text.split())
            for file in self._files
            for name, text in comments_of(file).items()
        }

    @property
    def _unchecked(self) -> frozenset[str]:
        """The text fields of files in which the parser may not check UTF-8: all but those of proto3."""
        waiting = [
            (message, f"{file.package}.{message.name}".lstrip("."))
            for file in self._files
            if file.syntax != "proto3"
            for message in file.message_type
        ]
        found = set()
        while waiting:
            message, name = waiting.pop()
            found |= {f"{name}.{field.name}" for field in message.field if field.type == Field.TYPE_STRING}
            waiting += [(nested, f"{name}.{nested.name}") for nested in message.nested_type]
        return frozenset(found)


def _position(descriptor: Any) -> tuple[int, ...]:
    """The position of a message type in its file, as Confluent's framing writes it in Java."""
    steps: list[int] = []
    while descriptor is not None:
        outer = descriptor.containing_type
        siblings = _inside(outer) if outer else list(descriptor.file.message_types_by_name.values())
        steps.append([one.full_name for one in siblings].index(descriptor.full_name))
        descriptor = outer
    return tuple(reversed(steps))


def _message(file: Any, wanted: str | Sequence[int] | None) -> Any:
    """A message type of a file, by its name or position."""
    messages = list(file.message_types_by_name.values())
    if not messages:
        raise ConfigError("The Protobuf schema declares no message.", "A record is one message.")
    if wanted is None:
        return messages[0]
    if not isinstance(wanted, str):
        return _at(messages, wanted)
    named = dict(_named(messages))
    found = (
        [named[wanted]] if wanted in named else [named[name] for name in named if name.endswith(f".{wanted}")]
    )
    if len(found) != 1:
        near = did_you_mean(wanted, named)
        raise ConfigError(
            f"The Protobuf schema has {'several messages' if found else 'no message'} called '{wanted}'.",
            "Give its full name." if found else near[:1].upper() + near[1:],
        )
    return found[0]


def _at(messages: list[Any], position: Sequence[int]) -> Any:
    """The message at a position. Java counts declared messages only, Python and Go the entries of maps as well."""
    found = {
        one.full_name: one for count in (_inside, _all_inside) if (one := _follow(messages, position, count))
    }
    if not found:
        raise ConfigError(
            "The Protobuf schema has no message at the position that the record names.",
            "The record was written with another schema than it says.",
        )
    if len(found) > 1:
        raise ConfigError(
            "The position in the record means one message of the Protobuf schema to Java and another one to Python.",
            "Name the message in the policy.",
        )
    return next(iter(found.values()))


def _follow(messages: list[Any], position: Sequence[int], count: Callable[[Any], list[Any]]) -> Any:
    found = None
    for step in position:
        if not 0 <= step < len(messages):
            return None
        found = messages[step]
        messages = count(found)
    return None if found is None or found.GetOptions().map_entry else found


def _all_inside(message: Any) -> list[Any]:
    return list(message.nested_types)


def _inside(message: Any) -> list[Any]:
    return [one for one in message.nested_types if not one.GetOptions().map_entry]


def _named(messages: list[Any]) -> Iterator[tuple[str, Any]]:
    for message in messages:
        if not message.GetOptions().map_entry:
            yield message.full_name, message
            yield from _named(message.nested_types)
