"""Protobuf messages to documents, as fast as Python can.

For each message type one function is written as source text and compiled, as the standard library's dataclasses do: a
loop over fields takes half as long again.

========================  =============================================================================
in a message              in the document
========================  =============================================================================
absent field              absent; so is a field without presence that holds its zero
enum                      the name of the value; a number without a name is `Unreadable` (``unknown``)
map                       dict, with keys of their own type
message without fields    True
``Timestamp, Duration``   int: nanoseconds (since 1970-01-01T00:00:00Z)
``Struct``, ``Value`` …   what they hold as JSON
``StringValue`` …         the value
all other messages        dict
========================  =============================================================================
"""

from __future__ import annotations

import keyword
from math import copysign
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from streamguard.formats.protobuf.known import (
    BILLION,
    DURATION,
    FIRST,
    LAST,
    LONGEST,
    TIMESTAMP,
    VALUE,
    WRAPPERS,
    Convert,
    enum_names,
    is_map,
)

_FLOATS: Final = (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE)


class Unreadable(ValueError):
    """Bytes that are not a message of their type. `reason` as in `Form.reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a message of the schema: {reason}")
        self.reason = reason


def reader(descriptor: Any, lax: frozenset[str]) -> Convert:
    """A function from the bytes of a message to its document. It raises `Unreadable`.

    `lax` are the full names of the text fields whose bytes the parser does not hold against UTF-8.
    """
    parse: Convert = GetMessageClass(descriptor).FromString
    convert = _Readers(lax).message(descriptor)

    def read(value: Any) -> Any:
        try:
            return convert(parse(value))
        except KeyError:  # of a table of enum values; nothing else is looked up
            raise Unreadable("unknown") from None
        except (DecodeError, TypeError, UnicodeDecodeError):
            raise Unreadable("syntax") from None

    return read


class _Readers:
    """The functions from messages of each type to documents, by the names that they have in each other's source."""

    def __init__(self, lax: frozenset[str]) -> None:
        self.lax = lax
        self.scope: dict[str, Any] = {
            "unreadable": Unreadable, "unknown": UnknownFieldSet, "copysign": copysign, "text": _text,
            # A field called HasField hides the method of that name; the class's own it does not.
            "has": FileDescriptorProto.HasField,
        }  # fmt: skip
        self.names: dict[str, str] = {}

    def message(self, descriptor: Any) -> Convert:
        return self.scope[self._function(descriptor)]  # type: ignore[no-any-return]

    def _function(self, descriptor: Any) -> str:
        """The name of the function for a message type, written when it is first asked for."""
        name = self.names.get(descriptor.full_name)
        if name is None:
            name = self.names[descriptor.full_name] = f"message_{len(self.names)}"
            lines = [line for field in descriptor.fields for line in self._lines(field)]
            source = "\n ".join(
                [
                    f"def {name}(m):",
                    "if len(unknown(m)): raise unreadable('unknown')",
                    "d = {}",
                    *lines,
                    "return d",
                ]
            )
            exec(source, self.scope)  # noqa: S102 - names in it are ours, or quoted
        return name

    def _lines(self, field: Any) -> list[str]:
        """What puts a field of the message ``m`` into the document ``d``."""
        name = repr(field.name)
        value = f"m.{field.name}" if _is_plain(field.name) else f"getattr(m, {name})"
        if is_map(field):
            key, item = (self._of_value(part) for part in field.message_type.fields)
            if key or item:
                entries = f"{{{_call(key, 'k')}: {_call(item, 'x')} for k, x in v.items()}}"
            else:
                entries = "dict(v.items())"
            return [f"if v := {value}: d[{name}] = {entries}"]
        of_value = self._of_value(field)
        if field.is_repeated:
            return [f"if v := {value}: d[{name}] = {f'list(map({of_value}, v))' if of_value else 'list(v)'}"]
        put = f"d[{name}] = {_call(of_value, value)}"
        if field.is_required:
            return [f"if not has(m, {name}): raise unreadable('syntax')", put]
        if field.has_presence and (field.message_type or field.enum_type or field.default_value):
            return [f"if has(m, {name}): {put}"]
        put = f"d[{name}] = {_call(of_value, 'v')}"
        if field.has_presence:  # what is not empty is there, and asking takes time
            return [f"if (v := {value}) or has(m, {name}): {put}"]
        if field.cpp_type in _FLOATS:
            return [f"if (v := {value}) or copysign(1.0, v) < 0: {put}"]  # -0.0 is no zero on the wire
        return [f"if v := {value}: {put}"]

    def _of_value(self, field: Any) -> str:
        """The function for one value of a field; empty where the library's own value is what documents hold."""
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.message_type is None:
            return "text" if field.full_name in self.lax else ""
        special = _SPECIAL_READERS.get(field.message_type.full_name)
        if special is None and not field.message_type.fields:
            special = _empty
        if special is None:
            return self._function(field.message_type)
        self.scope[special.__name__] = special
        return special.__name__

    def _enum(self, enum: Any) -> str:
        name = self.names.setdefault(enum.full_name, f"enum_{len(self.names)}")
        self.scope[name] = enum_names(enum).__getitem__
        return name


def _is_plain(name: str) -> bool:
    return (
        name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
    )


def _call(function: str, value: str) -> str:
    return f"{function}({value})" if function else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # what the library gives for a text that is not UTF-8
        raise Unreadable("syntax")
    return value  # type: ignore[no-any-return]


def _known(message: Any) -> Any:
    if len(UnknownFieldSet(message)):
        raise Unreadable("unknown")
    return message


def _empty(message: Any) -> bool:
    return _known(message) is not None


def _timestamp(message: Any) -> int:
    seconds, nanos = _known(message).seconds, message.nanos
    if not (0 <= nanos < BILLION and FIRST <= seconds <= LAST):
        raise Unreadable("syntax")
    return seconds * BILLION + nanos  # type: ignore[no-any-return]


def _duration(message: Any) -> int:
    seconds, nanos = _known(message).seconds, message.nanos
    if abs(nanos) >= BILLION or abs(seconds) > LONGEST or seconds * nanos < 0:
        raise Unreadable("syntax")
    return seconds * BILLION + nanos  # type: ignore[no-any-return]


def _wrapped(message: Any) -> Any:
    return _known(message).value


def _struct(message: Any) -> dict[str, Any]:
    return {name: _json(value) for name, value in _known(message).fields.items()}


def _array(message: Any) -> list[Any]:
    return [_json(value) for value in _known(message).values]


def _json(message: Any) -> Any:
    kind = _known(message).WhichOneof("kind")
    if kind is None or (kind == "null_value" and message.null_value):
        raise Unreadable("syntax")  # struct.proto calls the first an error, and knows no other null than 0
    value = getattr(message, kind)
    if kind == "struct_value":
        return _struct(value)
    if kind == "list_value":
        return _array(value)
    return None if kind == "null_value" else value


_SPECIAL_READERS: Final[dict[str, Convert]] = {
    TIMESTAMP: _timestamp,
    DURATION: _duration,
    **dict.fromkeys(WRAPPERS, _wrapped),
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _array,
    VALUE: _json,
}
