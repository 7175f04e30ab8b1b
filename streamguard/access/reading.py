"""Clean records as documents, whatever their format: what `reveal` reads from a topic."""

from __future__ import annotations

from typing import Any, Final

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError, SchemaMissingError, StreamGuardError
from streamguard.formats import framing
from streamguard.formats.base import Form
from streamguard.formats.framing import Fault
from streamguard.formats.open import declared_form, registered_form
from streamguard.formats.registry import Registry
from streamguard.formats.subjects import subject_name
from streamguard.guard.batch import Headers
from streamguard.guard.corridor import out_form
from streamguard.policy.loader import LoadedPolicy

_NOT: Final = {
    "json": "not a JSON document",
    "avro": "not an Avro datum of its schema",
    "protobuf": "not a Protobuf message of its schema",
    "text": "not a text",
    "bytes": "not readable",
}


class UnreadableError(StreamGuardError):
    """A value that is no clean record of the policy."""


def source_form(loaded: LoadedPolicy, registry: Registry | None) -> Form:
    """The form of the policy's source: of its schema's file, or as the registry has it now.

    Raises ConfigError, SchemaMissingError, RegistryUnavailableError.
    """
    if loaded.policy.value.registry is None or loaded.schema is not None or registry is None:
        return declared_form(loaded)
    latest = registry.latest(subject_name("topic", loaded.policy.topic))
    return declared_form(loaded) if latest is None else registered_form(loaded.policy.value, registry, latest)


class Documents:
    """Reads the clean topic of one policy. `registry` is needed where records name their schema."""

    def __init__(self, loaded: LoadedPolicy, keyring: Keyring, registry: Registry | None = None) -> None:
        value = loaded.policy.value
        self._loaded = loaded
        self._registry = registry
        self._message = value.format == "protobuf"
        self._framed = value.registry is not None
        self._forms: dict[framing.Frame, Form] = {}
        if self._framed and registry is None:
            raise ConfigError(
                f"The records of '{loaded.policy.clean_topic}' name schemas in a Schema Registry, and the service file "
                "names none.",
                "Add 'registry: {url: …}'.",
            )
        if not self._framed:
            form = declared_form(loaded)
            self._form = form if value.format == "json" else out_form(loaded.policy, form, keyring)

    def read(self, value: bytes, headers: Headers) -> Any:
        """A value as a document of plain data. Raises UnreadableError, RegistryUnavailableError."""
        form, payload = self._unframed(value, headers) if self._framed else (self._form, value)
        failures: tuple[type[Exception], ...] = (*form.failures, ValueError)
        try:
            return form.plain(form.decode(payload))
        except failures:
            raise UnreadableError(_NOT[form.name]) from None

    def _unframed(self, value: bytes, headers: Headers) -> tuple[Form, bytes]:
        (frame,), (payload,) = framing.read([value], [headers], framing.VALUE_HEADER, message=self._message)
        if isinstance(frame, Fault):
            raise UnreadableError(f"the value {frame.value}")
        if frame not in self._forms:
            self._forms[frame] = self._form_of(frame)
        return self._forms[frame], payload

    def _form_of(self, frame: framing.Frame) -> Form:
        assert self._registry is not None  # noqa: S101 - seen to when this was made
        try:
            registered = self._registry.schema(frame.schema)
            return registered_form(self._loaded.policy.value, self._registry, registered, frame.message)
        except (ConfigError, SchemaMissingError) as error:
            raise UnreadableError(error.message) from None
