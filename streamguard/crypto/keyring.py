"""Data keys: minted here, wrapped by the KMS, kept in the store before the first use.

Envelope encryption: a 32-byte random data key per use, encrypted ("wrapped") under the KMS's master key. Keys for
randomized encryption belong to one process and are replaced by age and by count; NIST SP 800-38D allows 2^32 random
nonces under one key, and 2^30 stays well inside without any coordination among processes.
"""

from __future__ import annotations

import os
import secrets
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streamguard import logs
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeyMissingError
from streamguard.store.keys import KeyRow
from streamguard.store.store import Store, open_store

MAX_AGE: Final = 12 * 3600.0
"""Seconds after which a key for randomized encryption is replaced."""

MAX_USES: Final = 2**30
"""Values after which a key for randomized encryption is replaced."""

FOUND_FOR: Final = 60.0
"""Seconds for which a key that was read stays in memory: how long one that is destroyed elsewhere can still be used."""

log = logs.get(__name__)

_FOUND_MOST: Final = 10_000
_ID_LETTERS: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key in the clear, for as short as possible. `secret` is 32 bytes and never printed."""

    id: str
    element: str
    secret: bytes = field(repr=False)

    def subkey(self, kind: str, length: int = 32) -> bytes:
        """`length` bytes for one kind of use: HKDF-SHA256 (RFC 5869), no salt, info ``sg1|kind|element``."""
        return HKDF(SHA256(), length, None, f"sg1|{kind}|{self.element}".encode()).derive(self.secret)


class _Lease:
    """A key of this process, with what is left of its time and uses."""

    __slots__ = ("expires", "key", "left", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.key: DataKey | None = None
        self.expires = 0.0
        self.left = 0


class Keyring:
    """All data keys that this process uses. Thread-safe; nothing is minted before it is asked for.

    `clock` gives seconds that only grow, `now` the time of day; tests pass their own. Every method raises
    `KeysUnavailableError` when the KMS or the store cannot answer now.
    """

    def __init__(
        self,
        store: Store,
        kms: Kms,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._kms = kms
        self._clock = clock
        self._now = now
        self._leases: dict[tuple[object, ...], _Lease] = {}
        self._pinned: dict[str, DataKey] = {}
        self._found: dict[str, tuple[float, DataKey]] = {}

    @classmethod
    def in_memory(cls) -> Keyring:
        """A keyring whose master key and store live in memory: what it protects can be read by this object alone."""
        return cls(open_store("sqlite://"), LocalKms([generate()]))

    def fresh(self, policy: str, element: str, uses: int) -> DataKey:
        """The key for the next `uses` randomized encryptions of an element; cheap while it stays the same."""
        clock = self._clock()
        slot = ("randomized", policy, element)
        return self._lease(slot, uses, clock, clock + MAX_AGE, lambda: self._mint(element, "randomized"))

    def quarantine(self, policy: str, retain: timedelta, uses: int = 1) -> DataKey:
        """The key for the next `uses` originals of a policy's violations.

        One per UTC day, destroyed `retain` after that day has ended.
        """
        now = self._now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        slot = ("quarantine", policy, retain)

        def mint() -> DataKey:
            return self._mint(f"quarantine:{policy}", "quarantine", destroy_after=midnight + retain)

        return self._lease(slot, uses, now.timestamp(), midnight.timestamp(), mint)

    def pinned(self, element: str) -> DataKey:
        """The key for deterministic uses of an element: the same one for every process that shares the store."""
        key = self._pinned.get(element)
        if key is None:
            key = self._pinned[element] = self._pin(element)
        return key

    @property
    def store(self) -> Store:
        """Where the keys are, wrapped, and what else must outlive the process."""
        return self._store

    @property
    def is_shared(self) -> bool:
        """Whether other hosts use the same keys; otherwise what is pinned here is pinned here only."""
        return self._store.database.shared

    @property
    def pinned_elements(self) -> list[str]:
        """The elements of which this process has a pinned key in use."""
        return sorted(self._pinned)

    def find(self, key_id: str) -> DataKey:
        """The key that a token names. Raises `KeyMissingError` when there is none, or when it was destroyed."""
        clock = self._clock()
        until, key = self._found.get(key_id, (0.0, None))
        if key is not None and clock < until:
            return key
        row = self._store.keys.get(key_id)
        if row is None:
            raise KeyMissingError(
                "The key of a token is not in this store.",
                "Name the store of the service that made the token.",
            )
        if row.wrapped is None:
            self._found.pop(key_id, None)
            raise KeyMissingError("The key of a token was destroyed: its value cannot be revealed any more.")
        key = self._open(row, row.wrapped)
        if len(self._found) >= _FOUND_MOST:
            self._found.clear()
        self._found[key_id] = (clock + FOUND_FOR, key)
        return key

    def destroy_expired(self) -> int:
        """Destroy every key whose time to be kept is over, here and in the store; returns how many."""
        destroyed = set(self._store.keys.destroy_expired(self._now()))
        for key_id in destroyed:
            self._found.pop(key_id, None)
        for lease in list(self._leases.values()):
            with lease.lock:
                if lease.key is not None and lease.key.id in destroyed:
                    lease.key = None
        if destroyed:
            log.info("keys.destroyed", count=len(destroyed))
        return len(destroyed)

    def health(self) -> None:
        """Raises `KeysUnavailableError` unless the KMS and the store answer now."""
        self._kms.health()
        self._store.health()

    def _lease(
        self, slot: tuple[object, ...], uses: int, now: float, until: float, mint: Callable[[], DataKey]
    ) -> DataKey:
        # The process id is part of the name: a key that came along through a fork belongs to the parent.
        name = (os.getpid(), *slot)
        lease = self._leases.get(name) or self._leases.setdefault(name, _Lease())
        with lease.lock:
            if lease.key is None or now >= lease.expires or lease.left < uses:
                lease.key, lease.expires, lease.left = mint(), until, MAX_USES
            lease.left -= uses
            return lease.key

    def _pin(self, element: str) -> DataKey:
        # Whoever inserts first decides; everyone, the winner too, uses what is read back.
        while True:
            row = self._store.keys.pinned(element)
            if row is not None and row.wrapped is not None:
                return self._open(row, row.wrapped)
            self._try_mint(element, "deterministic", version=1 if row is None else (row.version or 0) + 1)

    def _mint(self, element: str, purpose: str, destroy_after: datetime | None = None) -> DataKey:
        while True:
            key = self._try_mint(element, purpose, destroy_after=destroy_after)
            if key is not None:
                return key

    def _try_mint(
        self, element: str, purpose: str, *, version: int | None = None, destroy_after: datetime | None = None
    ) -> DataKey | None:
        """A new key, stored; None when its id was taken, or when another process pinned this version first."""
        key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        key = DataKey(key_id, element, secrets.token_bytes(32))
        row = KeyRow(
            id=key_id,
            element=element,
            purpose=purpose,
            version=version,
            wrapped=self._kms.wrap(key.secret),
            master=self._kms.name,
            created_at=self._now(),
            destroy_after=destroy_after,
        )
        if not self._store.keys.add(row):
            return None
        log.info("key.minted", key_id=key_id, element=element)
        return key

    def _open(self, row: KeyRow, wrapped: bytes) -> DataKey:
        return DataKey(row.id, row.element, self._kms.unwrap(wrapped))
