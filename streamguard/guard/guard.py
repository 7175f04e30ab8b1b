"""A policy, compiled: bytes in, protected bytes or findings out. No I/O but what the keyring and the registry do."""

from __future__ import annotations

from typing import Any, Final, Protocol

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.errors import UnavailableError
from streamguard.formats.open import form_of
from streamguard.guard.batch import Batch
from streamguard.guard.corridor import Bare, Corridor, out_form
from streamguard.guard.envelope import Keys
from streamguard.guard.explain import Explain
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy

_log = logs.get(__name__)

FAILED: Final = Finding(
    "guard.failed", "guard", "StreamGuard, or a transform of another package, failed on this record"
)
SLICE: Final = 256
"""Rows per batch that measured best: fewer waste calls, more miss the CPU's caches and wake the garbage collector."""


class Corridors(Protocol):
    """Where records find their corridor when each names its own schema."""

    def sorted(self, batch: Batch) -> list[tuple[list[int], Corridor | Finding]]:
        """The live rows with a value, by corridor; a finding stands for a schema whose records cannot be guarded.

        Fills `batch.payloads`, and rejects what is not framed as it should be. Raises UnavailableError.
        """


class Guard:
    """The compiled policy.

    `policy` must have passed `check`; what is wrong with it here raises ConfigError all the same. `schema` is the
    parsed schema of the policy's format (for Protobuf, the text of its file), or None when the policy's own paths are
    the whole declaration. Where records name their own schemas, `corridors` knows those, and `schema` counts for
    nothing; otherwise `form` is that of the records, and `out` that of the clean ones. `keys` reads and writes
    keys that are more than text.
    """

    def __init__(
        self,
        policy: Policy,
        schema: Any,
        keyring: Keyring,
        corridors: Corridors | None = None,
        keys: Keys | None = None,
    ) -> None:
        self.policy = policy
        self.name = policy.name
        self.version = policy.version
        self.keyring = keyring
        self.explain = Explain(policy, keyring)
        self._corridors = corridors
        if corridors is None:
            self.form = form_of(policy.value, schema)
            # A schema of plain JSON is nobody's to read: nothing has to be derived from it.
            plain = policy.value.format == "json"
            self.out = self.form if plain else out_form(policy, self.form, keyring)
            self._corridor = Corridor(policy, self.form, keyring, self.out, keys=keys)
        self._bare = Bare(policy, keyring, keys)

    @property
    def rooms(self) -> list[Any]:
        """The rooms of the one corridor there is."""
        return self._corridor.rooms

    def process(self, batch: Batch) -> None:
        """Take a batch through every room.

        Afterwards `batch.live` holds the rows whose out columns may leave, `batch.findings` the others. Raises
        UnavailableError when keys or schemas cannot be had now: nothing has left, and a new batch of the same records
        will do.
        """
        told = {row: list(found) for row, found in batch.findings.items()}
        try:
            if self._corridors is None:
                self._corridor.process(batch)
            else:
                self._route(batch, self._corridors)
        except (UnavailableError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in a library's Rust is no Exception
            self._isolate(batch, told, error)

    def _route(self, batch: Batch, corridors: Corridors) -> None:
        """Take each record through the corridor of its own schema. Almost always there is one for all."""
        groups = corridors.sorted(batch)
        batch.refresh()
        if len(groups) == 1 and isinstance(groups[0][1], Corridor) and len(groups[0][0]) == len(batch.values):
            groups[0][1].process(batch)
            return
        parts: list[tuple[list[int], Batch]] = []
        for rows, corridor in groups:
            if isinstance(corridor, Finding):
                batch.reject_all(rows, corridor)
                continue
            part = batch.part(rows)
            corridor.process(part)
            parts.append((rows, part))
        tombstones = [row for row in batch.live if batch.values[row] is None]
        if tombstones:
            part = batch.part(tombstones)
            self._bare.process(part)
            parts.append((tombstones, part))
        batch.merge(parts)

    def _isolate(self, batch: Batch, told: dict[int, list[Finding]], error: BaseException) -> None:
        """Something failed that must not: take every row by itself, so that one record spoils no other.

        Rows with findings from before the guard (`told`) keep those. The row on which it fails again becomes
        ``guard.failed``: a crash would come back with its record for ever.
        """
        _log.error("guard.failed", policy=self.name, error=error)
        if len(batch.values) == 1:
            batch.findings = {0: [FAILED]}
            batch.live = []
            return
        parts = [([row], batch.part([row])) for row in range(len(batch.values)) if row not in told]
        for _, one in parts:
            self.process(one)
        batch.findings = told
        batch.merge(parts)
