"""Documents to Protobuf messages, as fast as Python can.

One call of the message's constructor does it, which takes nested dicts. Only what stands in documents in another form
(times, wrapped values, JSON; `read` has the list) is turned back before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import EncodeError
from google.protobuf.message_factory import GetMessageClass

from streamguard.formats.protobuf.known import (
    BILLION,
    DURATION,
    JSON,
    TIMESTAMP,
    VALUE,
    WRAPPERS,
    Convert,
    is_map,
)


def writer(descriptor: Any) -> Callable[[Any], bytes]:
    """A function from documents to the bytes of a message, the same ones for equal documents. It raises ValueError."""
    message = GetMessageClass(descriptor)
    serialize: Callable[..., bytes] = message.SerializeToString
    prepare = _Writers().message(descriptor)

    def write(document: Any) -> bytes:
        try:
            if prepare is not None:
                prepare(document)
            return serialize(message(**document), deterministic=True)
        except (TypeError, ValueError, OverflowError, EncodeError):
            raise ValueError("the document is not one of the schema's") from None

    return write


class _Writers:
    """For each message type the function that makes its document what the constructor takes; None where it is that."""

    def __init__(self) -> None:
        self.found: dict[str, Convert | None] = {}

    def message(self, descriptor: Any) -> Convert | None:
        name = descriptor.full_name
        if name not in self.found:
            self.found[name] = None
            if not _holds_special(descriptor):
                return None
            steps: list[tuple[str, Convert, bool]] = []

            def prepare(document: Any) -> Any:
                get = _dict(document).get
                for key, step, takes_null in steps:
                    value = get(key)
                    if value is not None or (takes_null and key in document):
                        document[key] = step(value)
                return document

            self.found[name] = prepare
            steps += [
                (field.name, step, _takes_null(field))
                for field in descriptor.fields
                if (step := self._field(field)) is not None
            ]
        return self.found[name]

    def _field(self, field: Any) -> Convert | None:
        if is_map(field):
            item = self._value(field.message_type.fields_by_name["value"])
            return (
                None
                if item is None
                else lambda entries: {key: item(one) for key, one in _dict(entries).items()}
            )
        one = self._value(field)
        if one is None or not field.is_repeated:
            return one
        return lambda values: list(map(one, values))

    def _value(self, field: Any) -> Convert | None:
        descriptor = field.message_type
        if descriptor is None:
            return None
        special = _special_writer(descriptor)
        return special if special is not None else self.message(descriptor)


def _holds_special(descriptor: Any) -> bool:
    """Whether anything below a message stands in documents in another form than its own."""
    seen = {descriptor.full_name}
    waiting = [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                if _special_writer(inner) is not None:
                    return True
                seen.add(inner.full_name)
                waiting.append(inner)
    return False


def _takes_null(field: Any) -> bool:
    """Whether null is a value of a field; all others it leaves out."""
    return bool(field.message_type.full_name == VALUE and not field.is_repeated)


def _special_writer(descriptor: Any) -> Convert | None:
    name = descriptor.full_name
    if name in JSON:
        return _Json(descriptor).writers[name]
    if name in WRAPPERS:
        return _wrap
    if not descriptor.fields:
        return _nothing
    return {TIMESTAMP: _instant, DURATION: _span}.get(name)


def _dict(value: Any) -> dict[Any, Any]:
    if type(value) is not dict:
        raise TypeError
    return value


def _instant(value: Any) -> dict[str, int]:
    seconds, nanos = divmod(_whole(value), BILLION)
    return {"seconds": seconds, "nanos": nanos}


def _span(value: Any) -> dict[str, int]:
    seconds, nanos = divmod(abs(_whole(value)), BILLION)
    sign = -1 if value < 0 else 1
    return {"seconds": sign * seconds, "nanos": sign * nanos}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _wrap(value: Any) -> dict[str, Any]:
    return {"value": value}


def _nothing(value: Any) -> dict[str, Any]:
    if value is not True and value != {}:  # the latter when all its fields were dropped
        raise TypeError
    return {}


class _Json:
    """Makes messages of JSON. Their constructors take a dict for JSON in one place, and for fields in another."""

    def __init__(self, descriptor: Any) -> None:
        file = descriptor.file
        self.struct_of, self.array_of, self.value_of = (
            GetMessageClass(file.message_types_by_name[name]) for name in ("Struct", "ListValue", "Value")
        )
        self.writers: dict[str, Convert] = {
            "google.protobuf.Struct": self.struct,
            "google.protobuf.ListValue": self.array,
            VALUE: self.value,
        }

    def struct(self, members: Any) -> Any:
        return self.struct_of(fields={name: self.value(one) for name, one in _dict(members).items()})

    def array(self, elements: Any) -> Any:
        if type(elements) is not list:
            raise TypeError
        return self.array_of(values=list(map(self.value, elements)))

    def value(self, value: Any) -> Any:
        if value is None:
            return self.value_of(null_value=0)
        if isinstance(value, bool):
            return self.value_of(bool_value=value)
        if isinstance(value, dict):
            return self.value_of(struct_value=self.struct(value))
        if isinstance(value, list):
            return self.value_of(list_value=self.array(value))
        return self.value_of(**{"string_value" if isinstance(value, str) else "number_value": value})
