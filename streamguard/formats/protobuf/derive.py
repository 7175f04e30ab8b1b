"""The Protobuf schema of what leaves: fields get the types that transforms make, and dropped ones are reserved.

A field keeps its name, number and label. A message type that stands in several places and is changed differently there
becomes several: the first keeps its name, the others are called ``Name_2`` and so on. Message types of imported files
cannot change where they are, so their changed versions are declared in the schema's own file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2

from streamguard.errors import ConfigError
from streamguard.formats.base import Change
from streamguard.formats.protobuf.comments import comments_of
from streamguard.formats.protobuf.files import untagged
from streamguard.formats.protobuf.known import WRAPPERS
from streamguard.formats.protobuf.print import symbols
from streamguard.policy.paths import Path, Segment, Wild
from streamguard.policy.problems import listed

_Field: Final = descriptor_pb2.FieldDescriptorProto
_Features: Final = descriptor_pb2.FeatureSet

Below = frozenset[tuple[tuple[Segment, ...], Change]]
"""What changes below a place, by the steps that lead there."""

_KINDS: Final = {
    frozenset({"string"}): _Field.TYPE_STRING,
    frozenset({"integer"}): _Field.TYPE_INT64,
    frozenset({"number"}): _Field.TYPE_DOUBLE,
    frozenset({"integer", "number"}): _Field.TYPE_DOUBLE,
    frozenset({"boolean"}): _Field.TYPE_BOOL,
    frozenset({"bytes"}): _Field.TYPE_BYTES,
}
# Integers stay the kind they are, with room for sums and noise.
_WIDER: Final = {
    _Field.TYPE_INT32: _Field.TYPE_INT64, _Field.TYPE_INT64: _Field.TYPE_INT64,
    _Field.TYPE_SINT32: _Field.TYPE_SINT64, _Field.TYPE_SINT64: _Field.TYPE_SINT64,
    _Field.TYPE_UINT32: _Field.TYPE_UINT64, _Field.TYPE_UINT64: _Field.TYPE_UINT64,
    _Field.TYPE_FIXED32: _Field.TYPE_FIXED64, _Field.TYPE_FIXED64: _Field.TYPE_FIXED64,
    _Field.TYPE_SFIXED32: _Field.TYPE_SFIXED64, _Field.TYPE_SFIXED64: _Field.TYPE_SFIXED64,
}  # fmt: skip
_WRAPPER_OF: Final = {
    _Field.TYPE_STRING: "StringValue", _Field.TYPE_INT64: "Int64Value", _Field.TYPE_DOUBLE: "DoubleValue",
    _Field.TYPE_BOOL: "BoolValue", _Field.TYPE_BYTES: "BytesValue",
}  # fmt: skip
_UNSIGNED: Final = {".google.protobuf.UInt32Value", ".google.protobuf.UInt64Value"}
_MESSAGES: Final = (_Field.TYPE_MESSAGE, _Field.TYPE_GROUP)
# Options and features that say how a value of one type is held or written.
_OF_TYPE: Final = ("packed", "ctype", "jstype", "lazy", "unverified_lazy")
_FEATURES_OF_TYPE: Final = ("message_encoding", "repeated_field_encoding", "utf8_validation", "enum_type")


def derived(
    files: list[Any], descriptor: Any, changes: Mapping[Path, Change]
) -> tuple[Any, dict[str, str]] | None:
    """The last of `files` with the message type changed, and the comments on its parts; None when nothing changes.

    `changes` are what transforms make, by paths in that message. Raises ConfigError for what no field can hold.
    """
    derivation, name = _Derivation(files), f".{descriptor.full_name}"
    below = frozenset(
        (path.segments, change)
        for path, change in changes.items()
        if not change.keeps and derivation.matters(name, path.segments, change)
    )
    derivation.version(name, below)
    derivation.import_all()
    if derivation.file == derivation.before:
        return None
    return derivation.file, derivation.comments


class _Derivation:
    def __init__(self, files: list[Any]) -> None:
        main = files[-1]
        self.before = _copy(main)
        self.before.ClearField("source_code_info")
        self.file = _copy(self.before)
        self.comments = {name: text for file in files for name, text in comments_of(file).items()}
        self.files = {name: file for file in files for name in symbols(file)}
        self.originals = {name: message for file in files for name, message in _messages(file)}
        self.own = dict(_messages(self.file))
        self.taken = set(self.files)
        self.versions: dict[tuple[str, Below], str] = {}
        self.imported = {file.name: file for file in files}
        self.homes: set[str] = set()

    def version(self, name: str, below: Below) -> str:
        """The name of the version of a message type in which `below` is changed, made when first asked for."""
        if not below and name not in self.own:
            return name
        found = self.versions.get((name, below))
        if found is None:
            first = name in self.own and name not in self.versions.values()
            found = self.versions[name, below] = name if first else self._new_name(name)
            target = self.own[name] if first else self._another(name, found)
            self._change(target, name, found, below)
        return found

    def _new_name(self, name: str) -> str:
        scope, _, last = name.rpartition(".")
        new, number = name, 2
        if name not in self.own:
            scope = f".{self.file.package}" if self.file.package else ""
            new = f"{scope}.{last}"
        while new in self.taken:
            new, number = f"{scope}.{last}_{number}", number + 1
        self.taken.add(new)
        return new

    def _another(self, name: str, new: str) -> Any:
        """A copy of a message type under a new name, without what is declared inside of it but its maps' entries."""
        home = self.files[name]
        if name not in self.own and (home.syntax, home.edition, home.options.features) != (
            self.file.syntax, self.file.edition, self.file.options.features,
        ):  # fmt: skip
            raise ConfigError(
                f"The message '{name[1:]}' would change, and stands in an imported Protobuf file of another syntax.",
                "Write both files in the same syntax or edition, or declare the message in the schema's own file.",
            )
        if any(field.type == _Field.TYPE_GROUP for field in self.originals[name].field):
            raise _group_error(name[1:])
        self.homes.add(home.name)
        scope, _, last = new.rpartition(".")
        siblings = self.own[scope].nested_type if scope in self.own else self.file.message_type
        target = siblings.add()
        target.CopyFrom(self.originals[name])
        target.name = last
        entries = [nested for nested in target.nested_type if nested.options.map_entry]
        for part in ("nested_type", "enum_type", "extension"):
            target.ClearField(part)
        target.nested_type.extend(entries)
        for part in ("", *(f".{one.name}" for one in (*target.field, *target.oneof_decl))):
            if name + part in self.comments:
                self.comments[new + part] = self.comments[name + part]
        return target

    def matters(self, name: str, steps: tuple[Segment, ...], change: Change) -> bool:
        """Whether a change makes any difference to the field at the end of its steps: many texts stay texts."""
        if not steps:
            raise ConfigError(
                "A Protobuf record is a message.", "Protect its fields, or choose the format 'bytes'."
            )
        message = self.originals[name]
        field = next((field for field in message.field if field.name == steps[0]), None)
        if field is None:
            return steps[0] is Wild.ANY
        entry = next((one for one in message.nested_type if f"{name}.{one.name}" == field.type_name), None)
        value, rest = field, steps[1:]
        if field.label == _Field.LABEL_REPEATED and rest:
            value = entry.field[1] if entry is not None and entry.options.map_entry else field
            rest = rest[1:]
        elif field.label == _Field.LABEL_REPEATED or (not rest and not change.types and not change.nulls):
            return True
        if rest:
            return value.type_name in self.originals and self.matters(value.type_name, rest, change)
        trial, holder = _copy(value), _copy(field)
        self._value(trial, frozenset({((), change)}), field.name, holder if len(steps) > 1 else None)
        _untag(holder)
        return trial != value or holder != field  # type: ignore[no-any-return]

    # -- one message -------------------------------------------------------------------------------------------------

    def _change(self, target: Any, name: str, new: str, below: Below) -> None:
        """Carry `below` out on `target`, which is a copy of the message type `name` and now called `new`."""
        entries = {f"{name}.{one.name}": one for one in target.nested_type if one.options.map_entry}
        fields = []
        for field in target.field:
            changes = _after(below, field.name) | _after(below, Wild.ANY)
            place, whole, entry = f"{name[1:]}.{field.name}", _whole(changes), entries.get(field.type_name)
            if whole is not None and (entry is not None or field.label == _Field.LABEL_REPEATED):
                # All of a map or a repeated field becomes one value, or nothing.
                if whole.types:
                    field.label = _Field.LABEL_OPTIONAL
                    self._present(field)
                self._retype(field, whole, place, wrapped=False)
                if entry is not None and (whole.types or not whole.nulls):
                    target.nested_type.remove(entry)
            elif entry is not None:
                field.type_name = f"{new}.{entry.name}"
                self._value(entry.field[1], _after(changes, Wild.ANY), place, holder=field)
            elif field.label == _Field.LABEL_REPEATED:
                self._value(field, _after(changes, Wild.EACH), place, holder=field)
            else:
                self._value(field, changes, place)
            if whole is not None and not whole.types and not whole.nulls:
                target.reserved_range.add(start=field.number, end=field.number + 1)
                target.reserved_name.append(field.name)
            else:
                fields.append(_copy(field))
        target.ClearField("field")
        target.field.extend(fields)
        _settle_oneofs(target)

    def _value(self, field: Any, changes: Below, place: str, holder: Any = None) -> None:
        """Change one value of a field; `holder` is the repeated field or the map that it stands in."""
        change = _whole(changes)
        if change is None:
            if field.type in _MESSAGES:
                version = self.version(field.type_name, changes)
                if field.type == _Field.TYPE_GROUP and version != field.type_name:
                    raise _group_error(place)  # a group is called as its field
                field.type_name = version
            return
        if change.nulls and holder is not None:
            raise ConfigError(
                f"'{place}' would hold nulls, and Protobuf has none in lists and maps.",
                "Drop its values instead.",
            )
        if change.nulls:
            _make_optional(field)
        if change.types and field.type in _MESSAGES and holder is None and not _is_wrapper(field):
            self._present(field)
        self._retype(field, change, place)
        _untag(holder if holder is not None else field)

    def _retype(self, field: Any, change: Change, place: str, *, wrapped: bool = True) -> None:
        _untag(field)
        if not change.types:
            return
        kind = _KINDS.get(change.types)
        if kind is None:
            raise ConfigError(
                f"'{place}' would come out as {listed(sorted(change.types))}, and a Protobuf field has one type.",
                "Choose a transform that makes a text of it.",
            )
        if wrapped and _is_wrapper(field):
            field.type_name = _wrapper(field.type_name, kind)
            return
        if kind == _Field.TYPE_INT64:
            kind = _WIDER.get(field.type, kind)
        if field.type == kind:
            return
        field.type = kind
        for part in ("type_name", "default_value"):
            field.ClearField(part)
        for option in _OF_TYPE:
            field.options.ClearField(option)
        for feature in _FEATURES_OF_TYPE:
            field.options.features.ClearField(feature)
        _tidy(field)

    def _present(self, field: Any) -> None:
        """Let absence show, as it did while the field held a message."""
        if field.HasField("oneof_index"):
            return
        if self.file.syntax == "proto3":
            field.proto3_optional = True
        elif self.file.syntax == "editions":
            field.options.features.field_presence = _Features.EXPLICIT

    def import_all(self) -> None:
        """Import the files of what copied messages brought along: types, and the extensions that their options are."""
        files = self.imported
        visible = {self.before.name, *_seen_from(self.before, files)}
        types = (field.type_name for _, message in _messages(self.file) for field in message.field)
        wanted = [self.files[name].name for name in types if name in self.files and name not in self.own]
        for home in sorted(self.homes):
            wanted += [name for name in (home, *_seen_from(files[home], files)) if _extends(files[name])]
        for name in wanted:
            if name not in visible:
                self.file.dependency.append(name)
                visible.add(name)


# -- parts of descriptors --------------------------------------------------------------------------------------------


def _after(below: Below, step: Segment) -> Below:
    """What changes below the next place."""
    return frozenset((steps[1:], change) for steps, change in below if steps and steps[0] == step)


def _whole(below: Below) -> Change | None:
    """The change of a place itself."""
    return next((change for steps, change in below if not steps), None)


def _group_error(place: str) -> ConfigError:
    return ConfigError(
        f"'{place}' has a group in a Protobuf message that changes differently in several places.",
        "Declare the group as a message.",
    )


def _is_wrapper(field: Any) -> bool:
    return field.type_name[1:] in WRAPPERS


def _make_optional(field: Any) -> None:
    if field.label == _Field.LABEL_REQUIRED:
        field.label = _Field.LABEL_OPTIONAL
    if field.options.features.field_presence == _Features.LEGACY_REQUIRED:
        field.options.features.field_presence = _Features.EXPLICIT


def _wrapper(name: str, kind: int) -> str:
    """The wrapper for a type of value, of the same sign where that can be."""
    unsigned = kind == _Field.TYPE_INT64 and name in _UNSIGNED
    return f".google.protobuf.{'UInt64Value' if unsigned else _WRAPPER_OF[kind]}"


def _untag(field: Any) -> None:
    """Take a protected field's tags off: what they said of its values no longer holds."""
    raw = field.options.SerializeToString()
    if raw:
        field.options.ParseFromString(untagged(raw))
        _tidy(field)


def _tidy(field: Any) -> None:
    """Leave no empty options behind."""
    if field.options.HasField("features") and not field.options.features.ListFields():
        field.options.ClearField("features")
    if not field.options.ByteSize():
        field.ClearField("options")


def _settle_oneofs(message: Any) -> None:
    """Keep the oneofs that have fields left, and give each ``optional`` field of proto3 the one that stands for it."""
    declared = [_copy(oneof) for oneof in message.oneof_decl]
    message.ClearField("oneof_decl")
    places: dict[int, int] = {}
    for field in message.field:
        if field.HasField("oneof_index") and not field.proto3_optional:
            places.setdefault(field.oneof_index, -1)
    for old in sorted(places):
        places[old] = len(message.oneof_decl)
        message.oneof_decl.append(declared[old])
    names = {part.name for part in (*message.field, *message.oneof_decl)}
    for field in message.field:
        if field.proto3_optional:
            name = f"_{field.name}"
            while name in names:
                name = f"X{name}"
            names.add(name)
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=name)
        elif field.HasField("oneof_index"):
            field.oneof_index = places[field.oneof_index]


def _seen_from(file: Any, files: Mapping[str, Any]) -> Iterator[str]:
    """The files whose types a file can name: those that it imports, and what these pass on."""
    waiting = list(file.dependency)
    while waiting:
        name = waiting.pop()
        yield name
        if name in files:
            waiting += [files[name].dependency[index] for index in files[name].public_dependency]


def _extends(file: Any) -> bool:
    """Whether a file declares extensions."""
    return bool(file.extension) or any(message.extension for _, message in _messages(file))


def _messages(file: Any) -> Iterator[tuple[str, Any]]:
    """All messages of a file with their full names."""
    package = f".{file.package}" if file.package else ""
    waiting = [(f"{package}.{message.name}", message) for message in file.message_type]
    while waiting:
        name, message = waiting.pop()
        yield name, message
        waiting += [(f"{name}.{nested.name}", nested) for nested in message.nested_type]


def _copy(part: Any) -> Any:
    copy = type(part)()
    copy.CopyFrom(part)
    return copy
