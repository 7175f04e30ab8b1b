"""Protobuf descriptors as source text that compiles to the same descriptors: what a derived schema is registered as.

Names of types are written as short as they can be without meaning another one where they stand. Options are written
with their extensions, which are looked up among the files that the printed one imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_encoding

_Field: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    _Field.TYPE_DOUBLE: "double", _Field.TYPE_FLOAT: "float", _Field.TYPE_INT64: "int64",
    _Field.TYPE_UINT64: "uint64", _Field.TYPE_INT32: "int32", _Field.TYPE_FIXED64: "fixed64",
    _Field.TYPE_FIXED32: "fixed32", _Field.TYPE_BOOL: "bool", _Field.TYPE_STRING: "string",
    _Field.TYPE_BYTES: "bytes", _Field.TYPE_UINT32: "uint32", _Field.TYPE_SFIXED32: "sfixed32",
    _Field.TYPE_SFIXED64: "sfixed64", _Field.TYPE_SINT32: "sint32", _Field.TYPE_SINT64: "sint64",
}  # fmt: skip
_LABELS: Final = {
    _Field.LABEL_OPTIONAL: "optional ",
    _Field.LABEL_REQUIRED: "required ",
    _Field.LABEL_REPEATED: "repeated ",
}
_MOST: Final = 2**29
"""One more than the largest field number."""
_MOST_ENUM: Final = 2**31 - 1


def printed(files: list[Any], comments: Mapping[str, str] | None = None) -> str:
    """The source text of the last of `files` (``FileDescriptorProto``), which hold all that it imports.

    `comments` are those to write, by the full names of the parts they stand before.
    """
    return "\n".join(_Printer(files, comments or {}).lines()) + "\n"


class _Printer:
    def __init__(self, files: list[Any], comments: Mapping[str, str]) -> None:
        self.comments = comments
        self.symbols = frozenset(name for file in files for name in symbols(file))
        # Options are parsed again with the extensions that these files declare, which are unknown fields otherwise.
        pool = descriptor_pool.DescriptorPool()
        names = {file.name for file in files}
        if "google/protobuf/descriptor.proto" not in names:
            pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
        for file in files:
            pool.Add(file)
        found = pool.FindMessageTypeByName("google.protobuf.FileDescriptorProto")
        self.file = message_factory.GetMessageClass(found).FromString(files[-1].SerializeToString())
        self.simple = self.file.syntax == "proto3"

    def lines(self) -> Iterator[str]:
        file = self.file
        if file.syntax == "editions":
            yield f'edition = "{descriptor_pb2.Edition.Name(file.edition).removeprefix("EDITION_")}";'
        else:
            yield f'syntax = "{file.syntax or "proto2"}";'
        if file.package:
            yield f"package {file.package};"
        kinds = dict.fromkeys(file.public_dependency, "public ") | dict.fromkeys(
            file.weak_dependency, "weak "
        )
        for index, name in enumerate(file.dependency):
            yield f"import {kinds.get(index, '')}{_quoted(name)};"
        for name in getattr(file, "option_dependency", ()):
            yield f"import option {_quoted(name)};"
        scope = f".{file.package}" if file.package else ""
        yield from self._options(file, scope)
        for enum in file.enum_type:
            yield ""
            yield from self._enum(enum, scope)
        siblings = _Siblings(file.message_type, file.extension, scope)
        for message in siblings.free():
            yield ""
            yield from self._message(message, scope)
        yield from self._extensions(file.extension, siblings, scope)
        for service in file.service:
            yield ""
            yield from self._service(service, scope)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _message(self, message: Any, scope: str) -> Iterator[str]:
        name = f"{scope}.{message.name}"
        yield from self._comment(name)
        visibility = _visibility(message)
        yield f"{visibility}message {message.name} {{"
        yield from _indented(self._body(message, name))
        yield "}"

    def _body(self, message: Any, name: str) -> Iterator[str]:
        yield from self._options(message, name)
        for enum in message.enum_type:
            yield from self._enum(enum, name)
        # Records name a message by its position among its siblings, which fields of their own messages count into.
        siblings = _Siblings(message.nested_type, (*message.field, *message.extension), name)
        yield from self._messages(siblings.free(), name)
        written: set[int] = set()
        for field in message.field:
            if not field.HasField("oneof_index") or field.proto3_optional:
                yield from self._field(field, siblings, name)
            elif field.oneof_index not in written:
                written.add(field.oneof_index)
                yield from self._oneof(message, field.oneof_index, siblings, name)
            yield from self._messages(siblings.free(), name)
        for part in message.extension_range:
            options = self._bracketed(part.options, name)
            yield f"extensions {_range(part.start, part.end - 1, _MOST - 1)}{options};"
        yield from self._extensions(message.extension, siblings, name)
        if message.reserved_range:
            ranges = (_range(part.start, part.end - 1, _MOST - 1) for part in message.reserved_range)
            yield f"reserved {', '.join(ranges)};"
        yield from self._reserved_names(message)

    def _messages(self, messages: Iterable[Any], scope: str) -> Iterator[str]:
        for message in messages:
            yield from self._message(message, scope)

    def _reserved_names(self, part: Any) -> Iterator[str]:
        if part.reserved_name:
            quoted = self.file.syntax != "editions"
            yield f"reserved {', '.join(_quoted(name) if quoted else name for name in part.reserved_name)};"

    def _oneof(self, message: Any, index: int, siblings: _Siblings, name: str) -> Iterator[str]:
        oneof = message.oneof_decl[index]
        yield from self._comment(f"{name}.{oneof.name}")
        yield f"oneof {oneof.name} {{"
        yield from _indented(self._options(oneof, name))
        for field in message.field:
            if field.HasField("oneof_index") and field.oneof_index == index:
                yield from _indented(self._field(field, siblings, name, label=""))
        yield "}"

    def _field(self, field: Any, siblings: _Siblings, scope: str, label: str | None = None) -> Iterator[str]:
        own = siblings.take(field)
        if label is None:
            label = self._label(field)
        yield from self._comment(f"{scope}.{field.name}")
        end = f"= {field.number}{self._bracketed(field.options, scope, field)}"
        if own is None:
            yield f"{label}{self._type(field, scope)} {field.name} {end};"
        elif own.options.map_entry:
            key, value = (self._type(part, scope) for part in own.field)
            yield f"map<{key}, {value}> {field.name} {end};"
        else:
            yield f"{label}group {own.name} {end} {{"
            yield from _indented(self._body(own, f"{scope}.{own.name}"))
            yield "}"

    def _label(self, field: Any) -> str:
        if field.label == _Field.LABEL_OPTIONAL and self.file.syntax in ("proto3", "editions"):
            return "optional " if field.proto3_optional else ""
        return _LABELS[field.label]

    def _type(self, field: Any, scope: str) -> str:
        return _SCALARS.get(field.type) or self._short(field.type_name, scope)

    def _enum(self, enum: Any, scope: str) -> Iterator[str]:
        yield from self._comment(f"{scope}.{enum.name}")
        yield f"{_visibility(enum)}enum {enum.name} {{"
        yield from _indented(self._options(enum, scope))
        for value in enum.value:
            yield from _indented(self._comment(f"{scope}.{enum.name}.{value.name}"))
            yield f"  {value.name} = {value.number}{self._bracketed(value.options, scope)};"
        if enum.reserved_range:
            yield f"  reserved {', '.join(_range(one.start, one.end, _MOST_ENUM) for one in enum.reserved_range)};"
        yield from _indented(self._reserved_names(enum))
        yield "}"

    def _extensions(self, fields: Iterable[Any], siblings: _Siblings, scope: str) -> Iterator[str]:
        for field in fields:
            yield f"extend {self._short(field.extendee, scope)} {{"
            yield from _indented(self._field(field, siblings, scope))
            yield "}"
            yield from self._messages(siblings.free(), scope)

    def _service(self, service: Any, scope: str) -> Iterator[str]:
        yield f"service {service.name} {{"
        yield from _indented(self._options(service, scope))
        for method in service.method:
            takes, gives = (
                f"({'stream ' if streaming else ''}{self._short(name, scope)})"
                for name, streaming in (
                    (method.input_type, method.client_streaming),
                    (method.output_type, method.server_streaming),
                )
            )
            options = list(self._options(method, scope))
            yield f"  rpc {method.name} {takes} returns {gives}{' {' if options else ';'}"
            if options:
                yield from _indented(_indented(options))
                yield "  }"
        yield "}"

    def _comment(self, name: str) -> Iterator[str]:
        for line in self.comments.get(name, "").rstrip().splitlines():
            yield f"//{line}".rstrip()

    # -- options -----------------------------------------------------------------------------------------------------

    def _options(self, part: Any, scope: str) -> Iterator[str]:
        for text in self._settings(part.options, scope):
            yield f"option {text};"

    def _bracketed(self, options: Any, scope: str, field: Any = None) -> str:
        settings = list(self._settings(options, scope))
        if field is not None and field.HasField("default_value"):
            quoted = field.type in (_Field.TYPE_STRING, _Field.TYPE_BYTES)
            escaped = (
                field.default_value if field.type == _Field.TYPE_BYTES else _escaped(field.default_value)
            )
            settings.insert(0, "default = " + (f'"{escaped}"' if quoted else field.default_value))
        if field is not None and field.HasField("json_name") and field.json_name != _json_name(field.name):
            settings.append(f"json_name = {_quoted(field.json_name)}")
        return f" [{', '.join(settings)}]" if settings else ""

    def _settings(self, options: Any, scope: str, prefix: str = "") -> Iterator[str]:
        """``name = value`` for each option that is set."""
        for field, value in options.ListFields():
            if field.name == "map_entry" and not field.is_extension:
                continue
            name = f"({self._short(f'.{field.full_name}', scope)})" if field.is_extension else field.name
            if prefix + name == "features" or prefix.startswith("features."):
                inner = field.message_type is not None
                yield from (
                    self._settings(value, scope, f"{prefix}{name}.")
                    if inner
                    else (f"{prefix}{name} = {_value(field, value)}",)
                )
            elif field.is_repeated:
                yield from (f"{prefix}{name} = {_value(field, one)}" for one in value)
            else:
                yield f"{prefix}{name} = {_value(field, value)}"

    # -- names -------------------------------------------------------------------------------------------------------

    def _short(self, name: str, scope: str) -> str:
        """`name` (with its leading dot) relative to `scope`, and never so short that it would mean something else."""
        parts, around = name.split(".")[1:], scope.split(".")[1:]
        shared = 0
        while shared < min(len(parts) - 1, len(around)) and parts[shared] == around[shared]:
            shared += 1
        for start in range(shared, -1, -1):
            if self._meaning(parts[start:], around) == name:
                return ".".join(parts[start:])
        return name

    def _meaning(self, parts: list[str], around: list[str]) -> str:
        """What a relative name means: its first part is searched for from the innermost scope outwards."""
        for depth in range(len(around), -1, -1):
            outer = "".join(f".{part}" for part in around[:depth])
            if f"{outer}.{parts[0]}" in self.symbols:
                return ".".join([outer, *parts])
        return ""


class _Siblings:
    """The messages of one scope, in their order: those with a statement of their own, and those that a field makes.

    The latter are the entries of maps and groups.
    """

    def __init__(self, messages: Iterable[Any], fields: Iterable[Any], scope: str) -> None:
        self.waiting = [(f"{scope}.{message.name}", message) for message in messages]
        groups = {field.type_name for field in fields if field.type == _Field.TYPE_GROUP}
        self.made = {
            name: message for name, message in self.waiting if message.options.map_entry or name in groups
        }

    def free(self) -> Iterator[Any]:
        """The messages before the next one that a field makes."""
        while self.waiting and self.waiting[0][0] not in self.made:
            yield self.waiting.pop(0)[1]

    def take(self, field: Any) -> Any:
        """The message that a field makes; None for most."""
        own = self.made.get(field.type_name)
        if own is None or not (own.options.map_entry or field.type == _Field.TYPE_GROUP):
            return None
        del self.made[field.type_name]
        self.waiting = [(name, message) for name, message in self.waiting if message is not own]
        return own


def symbols(file: Any) -> Iterator[str]:
    """The full names of all that a file declares, packages, fields and values included."""
    steps = file.package.split(".") if file.package else []
    for depth in range(1, len(steps) + 1):
        yield "".join(f".{step}" for step in steps[:depth])
    scope = "".join(f".{step}" for step in steps)
    waiting = [(message, scope) for message in file.message_type]
    for part in (*file.extension, *file.service):
        yield f"{scope}.{part.name}"
    for enum in file.enum_type:
        yield from (f"{scope}.{part.name}" for part in (enum, *enum.value))
    while waiting:
        message, outer = waiting.pop()
        name = f"{outer}.{message.name}"
        yield name
        for part in (*message.field, *message.extension, *message.oneof_decl):
            yield f"{name}.{part.name}"
        for enum in message.enum_type:
            yield from (f"{name}.{part.name}" for part in (enum, *enum.value))
        waiting += [(nested, name) for nested in message.nested_type]


def _visibility(part: Any) -> str:
    words = {1: "local ", 2: "export "}  # of edition 2024
    return words.get(getattr(part, "visibility", 0), "")


def _value(field: Any, value: Any) -> str:
    """An option's value, one element of it where it is repeated."""
    if field.message_type is not None:
        return f"{{ {', '.join(_members(value))} }}" if value.ListFields() else "{}"
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else str(known.name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str | bytes) else repr(value)


def _members(message: Any) -> Iterator[str]:
    """The fields of a message in the text format (https://protobuf.dev/reference/protobuf/textformat-spec/)."""
    for field, value in message.ListFields():
        name = f"[{field.full_name}]" if field.is_extension else field.name
        if field.type == _Field.TYPE_GROUP:
            name = field.message_type.name
        if not field.is_repeated:
            yield f"{name}: {_value(field, value)}"
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, item = field.message_type.fields
            entries = (
                f"{{ key: {_value(key, one)}, value: {_value(item, value[one])} }}" for one in sorted(value)
            )
            yield f"{name}: [{', '.join(entries)}]"
        else:
            yield f"{name}: [{', '.join(_value(field, one) for one in value)}]"


def _range(first: int, last: int, most: int) -> str:
    return str(first) if first == last else f"{first} to {'max' if last == most else last}"


def _json_name(name: str) -> str:
    """As protoc makes it: the letter after each underscore in capitals."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _quoted(text: str | bytes) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str | bytes) -> str:
    """`text` is bytes where proto2 has what is not UTF-8: its literals can spell any bytes."""
    return str(text_encoding.CEscape(text.encode() if isinstance(text, str) else text, as_utf8=False))


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
