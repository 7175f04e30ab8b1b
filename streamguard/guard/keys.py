"""Keys that name their schema in a registry: read for the transform, and written as text in the same format."""

from __future__ import annotations

from typing import Any, Final

from streamguard.errors import ConfigError, SchemaMissingError
from streamguard.formats import framing
from streamguard.formats.base import Form
from streamguard.formats.framing import Fault
from streamguard.formats.open import form_of, registered_form
from streamguard.formats.registry import Kind, Registry
from streamguard.formats.subjects import subject_name
from streamguard.guard.batch import Batch, Headers
from streamguard.guard.frame import UNFRAMED, frame_of
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy, RegistryUse, Value

UNREADABLE: Final = Finding(
    "decode.key", "envelope", "the key is not framed, or not of the schema that it names", "$key"
)
# What a transform makes of a key is a text, in each format.
_TEXTS: Final[dict[str, tuple[Kind, Any, str]]] = {
    "avro": ("AVRO", "string", '"string"'),
    "json": (
        "JSON",
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"},
        '{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"string"}',
    ),
}


class RegisteredKeys:
    """The keys of one policy's topic."""

    def __init__(self, policy: Policy, registry: Registry) -> None:
        self._value = Value(format=policy.key_format)
        self._topic = policy.clean_topic
        self._framing = (policy.value.registry or RegistryUse()).framing
        self._registry = registry
        self._forms: dict[framing.Frame, Form | None] = {}
        self._out: Form | None = None
        self._frame = UNFRAMED

    @property
    def headers(self) -> Headers:
        """The header of a protected key, where that names its schema."""
        return list(self._frame.headers)

    def read(self, batch: Batch, rows: list[int]) -> list[Any]:
        """The keys of some rows; one that cannot be read is rejected. Raises RegistryUnavailableError."""
        keys = [batch.keys[row] or b"" for row in rows]
        headers = [batch.headers[row] for row in rows]
        frames, payloads = framing.read(keys, headers, framing.KEY_HEADER)
        return [
            self._read(batch, row, frame, payload)
            for row, frame, payload in zip(rows, frames, payloads, strict=True)
        ]

    def write(self, text: str) -> bytes:
        """A protected key, framed. Raises RegistryUnavailableError."""
        if self._out is None:
            self._publish()
        assert self._out is not None  # noqa: S101 - just made
        return self._frame.prefix + self._out.encode(text)

    def _read(self, batch: Batch, row: int, frame: framing.Frame | Fault, payload: bytes) -> Any:
        form = None if isinstance(frame, Fault) else self._form(frame)
        if form is not None:
            failures: tuple[type[Exception], ...] = (*form.failures, ValueError)
            try:
                key = form.decode(payload)
                if form.passes(key):
                    return form.plain(key)
            except failures:
                pass
        batch.reject(row, UNREADABLE)
        return ""

    def _form(self, frame: framing.Frame) -> Form | None:
        if frame not in self._forms:
            try:
                registered = self._registry.schema(frame.schema)
                self._forms[frame] = registered_form(self._value, self._registry, registered)
            except SchemaMissingError:
                return None  # it may be registered in a moment
            except ConfigError:
                self._forms[frame] = None
        return self._forms[frame]

    def _publish(self) -> None:
        kind, schema, text = _TEXTS[self._value.format]
        found = self._registry.register(subject_name("topic", self._topic, is_key=True), kind, text)
        self._frame = frame_of(found, self._framing, framing.KEY_HEADER)
        self._out = form_of(self._value, schema)
