"""The form that a policy's value has, by its name and its schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from streamguard.errors import ConfigError, SchemaKindError
from streamguard.formats.base import Form
from streamguard.formats.json import JsonForm
from streamguard.formats.registry import Kind, Registered, Registry
from streamguard.formats.whole import BytesForm, TextForm
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.models import Value

_KINDS: Final[Mapping[str, Kind]] = {"json": "JSON", "avro": "AVRO", "protobuf": "PROTOBUF"}


def form_of(
    value: Value,
    schema: Any,
    references: Mapping[str, Any] | None = None,
    message: str | Sequence[int] | None = None,
) -> Form:
    """A form of the policy's format: of a parsed JSON Schema or Avro schema, or of the text of a .proto file.

    `references` are what it refers to by name, in the same shape; `message` is the message of a .proto file. Raises
    ConfigError when the schema is missing or wrong.
    """
    form = _opened(value, schema, references or {}, message if message is not None else value.message)
    form.max_depth = value.max_depth
    return form


def registered_form(
    value: Value, registry: Registry, registered: Registered, message: tuple[int, ...] | None = None
) -> Form:
    """The form of a registered schema, with what it refers to.

    Raises SchemaKindError when it is of another format than the value, ConfigError when it cannot be used,
    SchemaMissingError when one that it refers to is not there, and RegistryUnavailableError.
    """
    if registered.kind != _KINDS[value.format]:
        raise SchemaKindError(
            f"The registered schema is of the kind {registered.kind}, and the policy's format is {value.format}.",
            "Correct 'value.format', or what the producer registers.",
        )
    read: Callable[[str], Any] = str if registered.kind == "PROTOBUF" else _parsed
    references = {name: read(text) for name, text in registry.references(registered).items()}
    return form_of(value, read(registered.text), references, message)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("The registered schema is not JSON.", "See the registry.") from None


def declared_form(loaded: LoadedPolicy) -> Form:
    """The form of a policy's own schema file; where records name their schemas and there is no file, of nothing."""
    if loaded.policy.value.registry is not None and loaded.schema is None:
        return JsonForm(None)
    return form_of(loaded.policy.value, loaded.schema)


def _opened(
    value: Value, schema: Any, references: Mapping[str, Any], message: str | Sequence[int] | None
) -> Form:
    if value.format == "json":
        return JsonForm(schema, references)
    if value.format == "text":
        return TextForm()
    if value.format == "bytes":
        return BytesForm()
    if schema is None:
        raise ConfigError(
            f"Values in {value.format.capitalize()} cannot be read without their schema.",
            "Name its file with 'schema', or write 'registry: true'.",
        )
    if value.format == "avro":
        from streamguard.formats.avro import AvroForm  # noqa: PLC0415 - only for who needs it

        return AvroForm(schema, references)
    from streamguard.formats.protobuf import ProtobufForm  # noqa: PLC0415 - its libraries are an extra

    return ProtobufForm(schema, references, message)
