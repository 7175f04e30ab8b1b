"""Records that name their own schema: each schema of the registry has its corridor, compiled when it is first met.

A schema that the policy does not classify completely, one that is not in the registry, and one whose protected form
would break the clean topic's readers have a finding in its place: their records are quarantined. It is looked at again
after half a minute, so records pass soon after the registry is mended, and at once when the policy is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from streamguard import logs
from streamguard.crypto.cache import Cache
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError, SchemaKindError, SchemaMissingError
from streamguard.formats import framing
from streamguard.formats.base import Form
from streamguard.formats.framing import Fault
from streamguard.formats.open import registered_form
from streamguard.formats.registry import (
    UNKNOWN_FOR,
    UNKNOWN_MOST,
    Allowance,
    Reference,
    Registered,
    Registry,
)
from streamguard.formats.subjects import subject_name
from streamguard.guard.batch import Batch
from streamguard.guard.check import check_against
from streamguard.guard.check.facts import as_clause
from streamguard.guard.corridor import Corridor, out_form
from streamguard.guard.frame import frame_of
from streamguard.guard.keys import RegisteredKeys
from streamguard.guard.violation import Finding
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.models import Policy, RegistryUse
from streamguard.policy.problems import Problem, errors

UNKNOWN: Final = Finding(
    "decode.schema", "decode", "the registry does not have the record's schema, or one that it refers to"
)
OTHER: Final = Finding(
    "decode.schema", "decode", "the record's schema is of another format than the policy's"
)
BROKEN: Final = Finding("decode.schema", "decode", "the record's schema cannot be compiled")
INCOMPATIBLE: Final = Finding(
    "schema.incompatible",
    "decode",
    "the protected form of the record's schema does not follow the clean subject's",
)
MOST: Final = 1_000
"""Schemas whose corridors are kept; the next one lets all of them go."""

_CODES: Final = {
    "unclassified": "schema.unclassified",
    "kept_shape": "schema.shape",
    "open_shape": "schema.shape",
    "wrong_field_type": "schema.field_type",
}
# What a policy says of fields that this version of a schema does not have is no fault of its records.
_HARMLESS: Final = frozenset({"unknown_path", "bad_step", "bad_rule", "subject", "not_kept"})

_log = logs.get(__name__)


class _RefusedError(Exception):
    """A schema whose records cannot be guarded: what they become, and why in full."""

    def __init__(self, finding: Finding, why: ConfigError | None = None) -> None:
        self.finding = finding
        self.why = str(why or finding.message)


class RegisteredCorridors:
    """The corridors of one policy, by the frames of its records.

    `keys` reads and writes keys that are more than text (`registered_keys`). `clock` is for tests.
    """

    def __init__(
        self,
        loaded: LoadedPolicy,
        registry: Registry,
        keyring: Keyring,
        keys: RegisteredKeys | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        use = loaded.policy.value.registry
        self._use = use if use is not None else RegistryUse()
        self._loaded = loaded
        self._registry = registry
        self._keyring = keyring
        self._message = loaded.policy.value.format == "protobuf"
        self._keys = keys
        self._clock = clock
        self._known: dict[framing.Frame, Corridor] = {}
        self._refused: Cache[framing.Frame, Finding] = Cache(UNKNOWN_FOR, UNKNOWN_MOST, clock)

    def sorted(self, batch: Batch) -> list[tuple[list[int], Corridor | Finding]]:
        """The live rows with a value, by corridor. Raises RegistryUnavailableError."""
        rows = [row for row in batch.live if batch.values[row] is not None]
        groups: dict[framing.Frame, list[int]] = {}
        for row, frame in zip(rows, self._read(batch, rows), strict=True):
            if isinstance(frame, Fault):
                batch.reject(row, _fault(frame))
            else:
                groups.setdefault(frame, []).append(row)
        allowance = Allowance(self._clock)
        return [(some, self._corridor(frame, allowance)) for frame, some in groups.items()]

    def _read(self, batch: Batch, rows: list[int]) -> framing.Frames:
        """The frames of some rows; their payloads are put in place."""
        values = [batch.values[row] or b"" for row in rows]
        headers = [batch.headers[row] for row in rows]
        frames, payloads = framing.read(values, headers, framing.VALUE_HEADER, message=self._message)
        batch.payloads = list(batch.values)
        for row, payload in zip(rows, payloads, strict=True):
            batch.payloads[row] = payload
        return frames

    def _corridor(self, frame: framing.Frame, allowance: Allowance) -> Corridor | Finding:
        known = self._known.get(frame) or self._refused.get(frame)
        if known is not None:
            return known
        allowance.spend()
        name = self._loaded.policy.name
        try:
            corridor = self._compiled(frame)
        except SchemaMissingError:
            self._refused.put(frame, UNKNOWN)
            return UNKNOWN
        except _RefusedError as refused:
            code, why = refused.finding.code, refused.why
            _log.warning("corridor.refused", policy=name, schema=str(frame.schema), code=code, message=why)
            self._refused.put(frame, refused.finding)
            return refused.finding
        _log.info("corridor.compiled", policy=name, schema=str(frame.schema))
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[frame] = corridor
        return corridor

    def _compiled(self, frame: framing.Frame) -> Corridor:
        """The corridor of a schema. Raises _RefusedError, SchemaMissingError, RegistryUnavailableError."""
        policy = self._loaded.policy
        try:
            registered = self._registry.schema(frame.schema)
            form = registered_form(policy.value, self._registry, registered, frame.message)
            if problems := refusals(check_against(self._loaded, form)):
                code = _CODES.get(problems[0].code, "schema.refused")
                raise _RefusedError(Finding(code, "decode", problems[0].message))
            out = out_form(policy, form, self._keyring)
        except SchemaKindError as error:
            raise _RefusedError(OTHER, error) from None
        except ConfigError as error:
            raise _RefusedError(BROKEN, error) from None
        try:
            published = self._registry.register(*clean_schema(self._loaded, registered, form, out))
            frame_out = frame_of(published, self._use.framing, framing.VALUE_HEADER, out.index)
        except ConfigError as error:
            raise _RefusedError(INCOMPATIBLE, error) from None
        try:
            return Corridor(policy, form, self._keyring, out, frame_out, self._keys)
        except ConfigError as error:
            raise _RefusedError(Finding("schema.refused", "decode", as_clause(error.message))) from None


def registered_keys(policy: Policy, registry: Registry | None) -> RegisteredKeys | None:
    """What reads and writes the keys of a policy that a transform changes; None when they are plain text."""
    if policy.key_format == "text" or registry is None or policy.key.verb in ("keep", "drop"):
        return None
    return RegisteredKeys(policy, registry)


def clean_schema(
    loaded: LoadedPolicy, registered: Registered, form: Form, out: Form
) -> tuple[str, Any, str, tuple[Reference, ...]]:
    """What is registered for clean records: the subject, the kind, the schema and what it refers to.

    A schema that stays as it is is registered as it was.
    """
    policy = loaded.policy
    strategy = (policy.value.registry or RegistryUse()).subjects
    subject = subject_name(strategy, policy.clean_topic, out.record_name)
    if out is form:
        return subject, registered.kind, registered.text, registered.references
    references = tuple(each for each in registered.references if each.name in out.imports)
    # Without its topic, the record's name is the subject of the producers' own schema.
    return f"{subject}.clean" if strategy == "record" else subject, registered.kind, out.text, references


def refusals(problems: list[Problem]) -> list[Problem]:
    """Those of a policy, checked against a schema, for which that schema's records cannot be guarded."""
    return [problem for problem in errors(problems) if problem.code not in _HARMLESS]


def _fault(fault: Fault) -> Finding:
    return Finding("decode.frame", "decode", f"the value {fault.value}")
