"""Protobuf schemas for tests, messages built by the library's own means, and strategies for documents of any schema."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import strategies as st

RICH = """
syntax = "proto3";
package test.rich;

import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message Rich {
  int32 i32 = 1;
  int64 i64 = 2;
  uint32 u32 = 3;
  uint64 u64 = 4;
  sint32 s32 = 5;
  sint64 s64 = 6;
  fixed32 f32 = 7;
  fixed64 f64 = 8;
  sfixed32 sf32 = 9;
  sfixed64 sf64 = 10;
  float single = 11;
  double real = 12;
  bool flag = 13;
  string text = 14;
  bytes raw = 15;
  Colour colour = 16;

  optional int32 maybe_int = 17;
  optional double maybe_real = 18;
  optional string maybe_text = 19;
  optional Colour maybe_colour = 20;
  optional bool maybe_flag = 21;
  optional bytes maybe_raw = 22;

  repeated int64 ints = 23;
  repeated string texts = 24;
  repeated Colour colours = 25;
  repeated Inner inners = 26;
  repeated double loose = 27 [packed = false];

  map<string, string> labels = 28;
  map<int32, Inner> by_number = 29;
  map<bool, Colour> by_flag = 30;
  map<uint64, bytes> by_id = 31;
  map<string, google.protobuf.Timestamp> times = 32;

  Inner inner = 33;
  Node tree = 34;
  oneof choice {
    string by_text = 35;
    int64 by_int = 36;
    Inner by_inner = 37;
    google.protobuf.Empty by_nothing = 38;
    Colour by_colour = 39;
  }

  google.protobuf.Timestamp at = 40;
  google.protobuf.Duration took = 41;
  repeated google.protobuf.Timestamp ats = 42;
  google.protobuf.Struct attributes = 43;
  google.protobuf.Value anything = 44;
  google.protobuf.ListValue list = 45;
  repeated google.protobuf.Struct structs = 46;
  google.protobuf.Any packed = 47;
  google.protobuf.FieldMask mask = 48;
  google.protobuf.Empty nothing = 49;
  repeated google.protobuf.Empty nothings = 50;
  google.protobuf.StringValue w_text = 51;
  google.protobuf.BytesValue w_raw = 52;
  google.protobuf.BoolValue w_flag = 53;
  google.protobuf.DoubleValue w_real = 54;
  google.protobuf.FloatValue w_single = 55;
  google.protobuf.Int32Value w_i32 = 56;
  google.protobuf.Int64Value w_i64 = 57;
  google.protobuf.UInt32Value w_u32 = 58;
  google.protobuf.UInt64Value w_u64 = 59;
  repeated google.protobuf.StringValue w_texts = 60;
  map<string, google.protobuf.Int64Value> w_map = 61;

  // Names that Python or the library's messages have a use for.
  string from = 62;
  int32 HasField = 63;
  optional string SerializeToString = 64;
  string FromString = 65;
  string self = 66;
  int32 items = 67;
  string __class__ = 68;

  enum Colour {
    option allow_alias = true;
    NONE = 0;
    RED = 1;
    CRIMSON = 1;
    BLUE = -2;
  }
  message Inner {
    string name = 1;
    optional int32 size = 2;
    google.protobuf.Timestamp since = 3;
  }
}

message Node {
  string name = 1;
  repeated Node children = 2;
  Node next = 3;
  google.protobuf.Duration took = 4;
}
"""

OLD = """
syntax = "proto2";
package test.old;

message Old {
  required string id = 1;
  optional int32 size = 2 [default = 7];
  optional string text = 3 [default = "so"];
  optional Level level = 4 [default = HIGH];
  repeated int32 numbers = 5;
  repeated int32 dense = 6 [packed = true];
  optional group Part = 7 {
    optional string name = 1;
    repeated double weights = 2;
  }
  repeated group Row = 8 {
    optional int64 cell = 1;
  }
  map<string, string> labels = 9;
  repeated string texts = 10;
  optional bytes raw = 11;
  optional bool flag = 12 [default = true];
  optional float ratio = 13;
  extensions 100 to 199;
  enum Level {
    LOW = 1;
    HIGH = 2;
  }
}

extend Old {
  optional string note = 100;
}
"""

_WRAPPERS = {
    "BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value",
    "UInt64Value",
}  # fmt: skip
_JSON = {"Struct", "Value", "ListValue"}
_BITS = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TEXT = st.text(max_size=6)
_STRUCTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def documents(descriptor: Any, depth: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of a message type, as `decode` makes them."""
    return st.composite(_document)(descriptor, depth)


def _document(draw: Any, descriptor: Any, depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    alone = {draw(st.sampled_from(list(oneof.fields))).name for oneof in descriptor.oneofs if oneof.fields}
    fields = [field for field in descriptor.fields if field.containing_oneof is None or field.name in alone]
    # Few of many fields: otherwise the first thing that Hypothesis finds is how slow a large document is.
    wanted = draw(st.sets(st.sampled_from([field.name for field in fields]), max_size=8)) if fields else set()
    for field in fields:
        if not field.is_required and field.name not in wanted:
            continue
        if depth == 0 and field.message_type is not None and field.message_type.fields:
            continue
        value = draw(_field(field, depth))
        if (
            field.has_presence
            or value not in (0, False, "", b"", [], {}, _zero(field))
            or _is_minus_zero(value)
        ):
            document[field.name] = value
    return document


def _zero(field: Any) -> Any:
    return (
        field.enum_type.values_by_number[0].name
        if field.enum_type is not None and not field.is_repeated
        else 0
    )


def _is_minus_zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0 and math.copysign(1, value) < 0


def _field(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, item = field.message_type.fields
        return st.dictionaries(_one(key, depth), _one(item, depth - 1), max_size=3)
    one = _one(field, depth - 1)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: Any, depth: int) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    descriptor = field.message_type
    if descriptor is not None:
        _, _, name = descriptor.full_name.rpartition("google.protobuf.")
        if not name or "." in name:
            name = ""
        if name == "Timestamp":
            return st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9 + 999_999_999)
        if name == "Duration":
            return st.integers(-315_576_000_000 * 10**9, 315_576_000_000 * 10**9)
        if name in _WRAPPERS:
            return _one(descriptor.fields_by_name["value"], depth)
        if name == "Struct":
            return st.dictionaries(_TEXT, _STRUCTS, max_size=3)
        if name == "ListValue":
            return st.lists(_STRUCTS, max_size=3)
        if name == "Value":
            return _STRUCTS
        return st.just(True) if not descriptor.fields else documents(descriptor, max(depth, 0))
    if field.enum_type is not None:
        return st.sampled_from(
            sorted({_first_name(field.enum_type, one.number) for one in field.enum_type.values})
        )
    if field.cpp_type in _BITS:
        return st.integers(*_BITS[field.cpp_type])
    if field.cpp_type == Field.CPPTYPE_FLOAT:
        return st.floats(width=32, allow_nan=False)
    if field.cpp_type == Field.CPPTYPE_DOUBLE:
        return st.floats(allow_nan=False)
    if field.cpp_type == Field.CPPTYPE_BOOL:
        return st.booleans()
    return st.binary(max_size=6) if field.type == Field.TYPE_BYTES else _TEXT


def _first_name(enum: Any, number: int) -> str:
    return next(value.name for value in enum.values if value.number == number)


def message_of(descriptor: Any, document: dict[str, Any]) -> Any:
    """The message that a document stands for, made field by field with the library's setters."""
    message = message_factory.GetMessageClass(descriptor)()
    _fill(message, document)
    return message


def _fill(message: Any, document: dict[str, Any]) -> None:
    for name, value in document.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        descriptor = field.message_type
        if descriptor is not None and descriptor.GetOptions().map_entry:
            item = descriptor.fields_by_name["value"]
            for key, one in value.items():
                if item.message_type is not None:
                    _set_message(getattr(message, name)[key], one)
                else:
                    getattr(message, name)[key] = _scalar(item, one)
        elif field.is_repeated:
            for one in value:
                if descriptor is not None:
                    _set_message(getattr(message, name).add(), one)
                else:
                    getattr(message, name).append(_scalar(field, one))
        elif descriptor is not None:
            getattr(message, name).SetInParent()
            _set_message(getattr(message, name), value)
        else:
            setattr(message, name, _scalar(field, value))


def _scalar(field: Any, value: Any) -> Any:
    return field.enum_type.values_by_name[value].number if field.enum_type is not None else value


def _set_message(message: Any, value: Any) -> None:
    _, _, name = message.DESCRIPTOR.full_name.rpartition("google.protobuf.")
    if name in ("Timestamp", "Duration"):
        message.FromNanoseconds(value)
    elif name in _WRAPPERS:
        message.value = value
    elif name == "Struct":
        for key, one in value.items():
            _set_message(message.fields[key], one)
    elif name == "ListValue":
        for one in value:
            _set_message(message.values.add(), one)
    elif name == "Value":
        _set_json(message, value)
    elif message.DESCRIPTOR.fields:
        _fill(message, value)


def _set_json(message: Any, value: Any) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        _set_message(message.struct_value, value)
    elif isinstance(value, list):
        message.list_value.SetInParent()
        _set_message(message.list_value, value)
    else:
        message.number_value = value


_Proto = descriptor_pb2.FieldDescriptorProto
_SCALAR_TYPES = [number for number in range(1, 19) if number not in (_Proto.TYPE_GROUP, _Proto.TYPE_MESSAGE)]
_KEY_TYPES = [
    number
    for number in _SCALAR_TYPES
    if number not in (_Proto.TYPE_DOUBLE, _Proto.TYPE_FLOAT, _Proto.TYPE_BYTES, _Proto.TYPE_ENUM)
]


@st.composite
def files(draw: Any) -> Any:
    """Descriptors of schemas with a few messages that refer to each other in any way."""
    syntax = draw(st.sampled_from(["proto2", "proto3"]))
    file = descriptor_pb2.FileDescriptorProto(name="random.proto", package="random", syntax=syntax)
    enum = file.enum_type.add(name="Kind")
    enum.value.add(name="KIND_ZERO", number=0)
    enum.value.add(name="KIND_FIVE", number=5)
    names = [f"M{index}" for index in range(draw(st.integers(1, 3)))]
    for name in names:
        message = file.message_type.add(name=name)
        for number in range(1, draw(st.integers(1, 5)) + 1):
            _add_field(draw, message, number, syntax, names)
        _settle(message)
    return file


def _add_field(draw: Any, message: Any, number: int, syntax: str, names: list[str]) -> None:
    kind = draw(st.sampled_from(["plain", "optional", "repeated", "oneof", "map"]))
    field = message.field.add(name=f"f{number}", number=number, label=_Proto.LABEL_OPTIONAL)
    if kind == "map":
        entry = message.nested_type.add(name=f"F{number}Entry")
        entry.options.map_entry = True
        entry.field.add(
            name="key", number=1, label=_Proto.LABEL_OPTIONAL, type=draw(st.sampled_from(_KEY_TYPES))
        )
        _set_type(draw, entry.field.add(name="value", number=2, label=_Proto.LABEL_OPTIONAL), names)
        field.label, field.type = _Proto.LABEL_REPEATED, _Proto.TYPE_MESSAGE
        field.type_name = f".random.{message.name}.{entry.name}"
        return
    _set_type(draw, field, names)
    if kind == "repeated":
        field.label = _Proto.LABEL_REPEATED
    elif kind == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    elif kind == "optional" and syntax == "proto3":
        field.proto3_optional = True


def _set_type(draw: Any, field: Any, names: list[str]) -> None:
    kind = draw(st.sampled_from([*_SCALAR_TYPES, _Proto.TYPE_MESSAGE]))
    field.type = kind
    if kind == _Proto.TYPE_ENUM:
        field.type_name = ".random.Kind"
    elif kind == _Proto.TYPE_MESSAGE:
        field.type_name = f".random.{draw(st.sampled_from(names))}"


def _settle(message: Any) -> None:
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
