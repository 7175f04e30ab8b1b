"""The schema of the records: inferred from them, or the one that they name in a Schema Registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from streamguard.draft.evidence import Evidence, read_values
from streamguard.draft.schema import schema_of
from streamguard.draft.shape import shape_of
from streamguard.errors import ConfigError, SchemaMissingError
from streamguard.formats import framing
from streamguard.formats.base import Form
from streamguard.formats.framing import Frame, Headers
from streamguard.formats.json import JsonForm
from streamguard.formats.open import registered_form
from streamguard.formats.registry import Registered, Registry
from streamguard.policy.models import Value

_FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "JSON": ("json", ".schema.json"),
    "AVRO": ("avro", ".avsc"),
    "PROTOBUF": ("protobuf", ".proto"),
}
_FRAME: Final = 5
"""Bytes that framing puts before a payload at least: a zero, and the schema's id."""


@dataclass(frozen=True, slots=True)
class Described:
    """What records are.

    `form` reads them; `value` is the policy's section of that name, without its file; `text` is that file's, None when
    it cannot stand alone because it refers to others; `suffix` is the ending of its name. `key_format` is the policy's.
    """

    form: Form
    value: Mapping[str, Any]
    text: str | None
    suffix: str = ".schema.json"
    key_format: str = "text"


def inferred(evidence: Evidence) -> Described:
    """A JSON Schema for what the records have in common. Raises ConfigError when a policy could name nothing."""
    schema = schema_of(shape_of(evidence.documents))
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode() + "\n"
    return Described(JsonForm(schema), {"format": "json"}, text)


def is_framed(value: bytes | None, headers: Headers | None = None) -> bool:
    """Whether a value, or its headers, begin as the Schema Registry's serializers write them. No JSON does."""
    if headers is not None and any(name == framing.VALUE_HEADER for name, _ in headers):
        return True
    return value is not None and len(value) > _FRAME and value[0] == 0


def read_registered(
    values: Sequence[bytes | None],
    headers: Sequence[Headers | None],
    keys: Sequence[bytes | None],
    registry: Registry,
) -> tuple[Evidence, Described]:
    """Framed values as evidence, with the schema that most of them name; those of other schemas are left out.

    Raises ConfigError when the schema is wrong or missing, SchemaMissingError, RegistryUnavailableError.
    """
    rows = [row for row, value in enumerate(values) if value is not None]
    present = [values[row] or b"" for row in rows]
    beside = [headers[row] for row in rows]
    frames, payloads = framing.read(present, beside, framing.VALUE_HEADER)
    registered = registry.schema(_most_frequent(frames).schema)
    if registered.kind == "PROTOBUF":
        frames, payloads = framing.read(present, beside, framing.VALUE_HEADER, message=True)
    chosen = _most_frequent(frames)
    mine = [index for index, frame in enumerate(frames) if frame == chosen]
    in_header = any(name == framing.VALUE_HEADER for name, _ in beside[mine[0]] or ())
    described = _described(registry, registry.schema(chosen.schema), chosen, in_header=in_header)
    named = [rows[index] for index in mine]
    key_format, texts = _keys(registry, [keys[row] for row in named], [headers[row] for row in named])
    evidence = read_values([payloads[index] for index in mine], described.form, texts)
    others = len(rows) - len(mine)
    evidence = replace(evidence, tombstones=len(values) - len(rows), others=others)
    return evidence, replace(described, key_format=key_format)


def _keys(
    registry: Registry, keys: list[bytes | None], headers: list[Headers | None]
) -> tuple[str, list[bytes | None]]:
    """The format in which all keys name their schema, and their texts; ``text`` and the keys where they do not."""
    rows = [row for row, key in enumerate(keys) if key is not None]
    beside = [headers[row] for row in rows]
    frames, payloads = framing.read([keys[row] or b"" for row in rows], beside, framing.KEY_HEADER)
    forms = {frame: _form_of_keys(registry, frame) for frame in set(frames)}
    read = [_key(forms[frame], payload) for frame, payload in zip(frames, payloads, strict=True)]
    formats = {name for name, _ in read}
    if len(formats) != 1 or not formats <= {"avro", "json"}:
        return "text", keys
    texts = list(keys)
    for row, (_, text) in zip(rows, read, strict=True):
        texts[row] = text
    return formats.pop(), texts


def _form_of_keys(registry: Registry, frame: Frame | framing.Fault) -> Form | None:
    """What reads keys of a frame; None where nothing does."""
    if not isinstance(frame, Frame):
        return None
    try:
        return _form(registry, registry.schema(frame.schema))
    except (ConfigError, SchemaMissingError, ValueError):
        return None


def _key(form: Form | None, payload: bytes) -> tuple[str, bytes]:
    """The format of a key and its text; no format where it cannot be read as its frame says."""
    if form is None:
        return "", payload
    failures: tuple[type[Exception], ...] = (*form.failures, ConfigError, SchemaMissingError, ValueError)
    try:
        key = form.plain(form.decode(payload))
    except failures:
        return "", payload
    return form.name, key.encode(errors="replace") if isinstance(key, str) else orjson.dumps(key)


def _most_frequent(frames: framing.Frames) -> Frame:
    counted = Counter(frame for frame in frames if isinstance(frame, Frame))
    if not counted:
        raise ConfigError(
            "None of the values names a schema as it should.",
            "See which serializer the topic's producers use.",
        )
    return counted.most_common(1)[0][0]


def _described(registry: Registry, registered: Registered, frame: Frame, *, in_header: bool) -> Described:
    name, suffix = _FORMATS[registered.kind]
    form = _form(registry, registered, frame.message)
    value: dict[str, Any] = {"format": name}
    if frame.message not in (None, framing.FIRST_MESSAGE):
        value["message"] = form.record_name
    value["registry"] = {"framing": "header"} if in_header else True
    text = registered.text if registered.text.endswith("\n") else f"{registered.text}\n"
    return Described(form, value, None if registered.references else text, suffix)


def _form(registry: Registry, registered: Registered, message: tuple[int, ...] | None = None) -> Form:
    name, _ = _FORMATS[registered.kind]
    return registered_form(Value(format=name), registry, registered, message)  # type: ignore[arg-type]  # one of its words
