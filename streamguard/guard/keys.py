"""Keys that name their schema in a registry: read for the transform, and written as text in the same format."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from streamguard import logs
from streamguard.crypto.cache import Cache
from streamguard.errors import ConfigError, SchemaMissingError
from streamguard.formats import framing
from streamguard.formats.base import Form
from streamguard.formats.framing import Fault
from streamguard.formats.open import form_of, registered_form
from streamguard.formats.registry import UNKNOWN_FOR, UNKNOWN_MOST, Allowance, Kind, Registry
from streamguard.formats.subjects import subject_name
from streamguard.guard.batch import Batch, Headers
from streamguard.guard.frame import UNFRAMED, frame_of
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy, RegistryUse, Value

UNREADABLE: Final = Finding(
    "decode.key", "envelope", "the key is not framed, or not of the schema that it names", "$key"
)
INCOMPATIBLE: Final = Finding(
    "schema.incompatible",
    "envelope",
    "the schema of protected keys, a text, does not follow the clean subject's",
    "$key",
)
# What a transform makes of a key is a text, in each format; in JSON Schema, of the draft that all registries compare.
_TEXTS: Final[dict[str, tuple[Kind, Any, str]]] = {
    "avro": ("AVRO", "string", '"string"'),
    "json": (
        "JSON",
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"},
        '{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}',
    ),
}


_log = logs.get(__name__)


class RegisteredKeys:
    """The keys of one policy's topic. `clock` is for tests.

    What the registry does not have, or refuses, is asked again after half a minute, as for values.
    """

    def __init__(
        self, policy: Policy, registry: Registry, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy.name
        self._value = Value(format=policy.key_format)
        self._framing = (policy.value.registry or RegistryUse()).framing
        self._registry = registry
        self._clock = clock
        self._forms: dict[framing.Frame, Form] = {}
        self._refused: Cache[framing.Frame | str, framing.Frame | str] = Cache(
            UNKNOWN_FOR, UNKNOWN_MOST, clock
        )
        self._subject = subject_name("topic", policy.clean_topic, is_key=True)
        self._out: Form | None = None
        self._frame = UNFRAMED

    @property
    def headers(self) -> Headers:
        """The header of a protected key, where that names its schema."""
        return list(self._frame.headers)

    def read(self, batch: Batch, rows: list[int]) -> list[Any]:
        """The keys of some rows; one that cannot be read is rejected. Raises RegistryUnavailableError.

        All are when the registry refuses the schema that they would be written in.
        """
        if self._out is None and rows and not self._publish():
            batch.reject_all(rows, INCOMPATIBLE)
        keys = [batch.keys[row] or b"" for row in rows]
        headers = [batch.headers[row] for row in rows]
        frames, payloads = framing.read(keys, headers, framing.KEY_HEADER)
        allowance = Allowance(self._clock)
        return [
            self._read(batch, row, self._form(frame, allowance), payload)
            for row, frame, payload in zip(rows, frames, payloads, strict=True)
        ]

    def write(self, text: str) -> bytes:
        """A protected key, framed; after some were read."""
        assert self._out is not None  # noqa: S101 - else all of them were rejected
        return self._frame.prefix + self._out.encode(text)

    def _read(self, batch: Batch, row: int, form: Form | None, payload: bytes) -> Any:
        if form is not None:
            failures: tuple[type[Exception], ...] = (*form.failures, ValueError, ConfigError)
            try:
                key = form.decode(payload)
                if form.passes(key):
                    return form.plain(key)
            except failures:
                pass
        batch.reject(row, UNREADABLE)
        return ""

    def _form(self, frame: framing.Frame | Fault, allowance: Allowance) -> Form | None:
        if isinstance(frame, Fault):
            return None
        form = self._forms.get(frame)
        if form is None and self._refused.get(frame) is None:
            allowance.spend()
            try:
                registered = self._registry.schema(frame.schema)
                form = self._forms[frame] = registered_form(self._value, self._registry, registered)
            except (ConfigError, SchemaMissingError):
                self._refused.put(frame, frame)
        return form

    def _publish(self) -> bool:
        """Register what protected keys are written in; whether the registry took it."""
        if self._refused.get(self._subject) is not None:
            return False
        kind, schema, text = _TEXTS[self._value.format]
        try:
            found = self._registry.register(self._subject, kind, text)
            self._frame = frame_of(found, self._framing, framing.KEY_HEADER)
        except ConfigError as error:
            _log.warning("keys.refused", policy=self._policy, code=INCOMPATIBLE.code, error=error)
            self._refused.put(self._subject, self._subject)
            return False
        self._out = form_of(self._value, schema)
        return True
