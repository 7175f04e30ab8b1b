"""Data keys: minted here, wrapped by the KMS, kept in the store before the first use.

Envelope encryption: a 32-byte random data key per use, encrypted ("wrapped") under the KMS's master key. Keys for
randomized encryption belong to one process and are replaced by age and by count; NIST SP 800-38D allows 2^32 random
nonces under one key, and 2^30 stays well inside without any coordination among processes.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from streamguard import logs
from streamguard.crypto.cache import Cache
from streamguard.crypto.datakey import DataKey, new_id
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.crypto.kms.wrapped import master_of
from streamguard.crypto.subjects import Subjects
from streamguard.errors import ConfigError, KeyMissingError, KeysUnavailableError
from streamguard.store.keys import KeyRow
from streamguard.store.store import Store, open_store

__all__ = ["DataKey", "Keyring"]

MAX_AGE: Final = 12 * 3600.0
"""Seconds after which a key for randomized encryption is replaced."""

MAX_USES: Final = 2**30
"""Values after which a key for randomized encryption is replaced."""

FOUND_FOR: Final = 60.0
"""Seconds for which a key that was read stays in memory: how long one that is destroyed elsewhere can still be used."""

CONFIRMED_FOR: Final = 60.0
"""Seconds after which keys in use are held against the store: were they replaced, or destroyed, elsewhere?"""

USED_ON_FOR: Final = MAX_AGE
"""Seconds for which keys in use stay in use while the store does not answer that question."""

_ASK_AGAIN_AFTER: Final = 30.0

log = logs.get(__name__)

_FOUND_MOST: Final = 10_000
_ID_LENGTH: Final = 10


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
        self._found: Cache[str, DataKey] = Cache(FOUND_FOR, _FOUND_MOST, clock)
        self._confirmed_at = self._clock()
        self._confirm_at = self._confirmed_at + CONFIRMED_FOR
        self._confirming = threading.Lock()
        self.subjects = Subjects(self, store, clock, now)

    @classmethod
    def in_memory(cls) -> Keyring:
        """A keyring whose master key and store live in memory: what it protects can be read by this object alone."""
        return cls(open_store("sqlite://"), LocalKms([generate()]))

    def fresh(self, policy: str, element: str, uses: int) -> DataKey:
        """The key for the next `uses` randomized encryptions of an element; cheap while it stays the same."""
        clock = self._stay_confirmed()
        slot = ("randomized", policy, element)
        return self._lease(slot, uses, clock, clock + MAX_AGE, lambda: self._mint(element, "randomized"))

    def quarantine(self, policy: str, retain: timedelta, uses: int = 1) -> DataKey:
        """The key for the next `uses` originals of a policy's violations.

        One per UTC day, destroyed `retain` after that day has ended.
        """
        self._stay_confirmed()
        now = self._now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        slot = ("quarantine", policy, retain)

        def mint() -> DataKey:
            return self._mint(f"quarantine:{policy}", "quarantine", destroy_after=midnight + retain)

        return self._lease(slot, uses, now.timestamp(), midnight.timestamp(), mint)

    def pinned(self, element: str) -> DataKey:
        """The key for deterministic uses of an element: the same one for every process that shares the store.

        After `rotate`, here or elsewhere, it is another one within a minute.
        """
        self._stay_confirmed()
        key = self._pinned.get(element)
        if key is None:
            key = self._pinned[element] = self._pin(element)
        return key

    def rotate(self, element: str) -> KeyRow:
        """Pin another version of an element's key, for all processes; returns it. Older tokens stay readable.

        Of several who rotate at once, one does. Raises `ConfigError` when nothing is pinned for the element.
        """
        before = self._store.keys.pinned(element)
        if before is None:
            raise ConfigError(
                f"No key is pinned for the element '{element}'.",
                "Keys for randomized encryption replace themselves; 'streamguard keys list' shows which are pinned.",
            )
        newest = before
        while newest.version == before.version:
            self._try_mint(element, "deterministic", version=(before.version or 0) + 1)
            newest = self._store.keys.pinned(element) or before
        self._pinned.pop(element, None)
        return newest

    @property
    def now(self) -> datetime:
        """The time of day."""
        return self._now()

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
        key = self._found.get(key_id)
        if key is not None:
            return key
        row = self._store.keys.get(key_id)
        if row is None:
            raise KeyMissingError(
                "The key of a token is not in this store.",
                "Name the store of the service that made the token.",
            )
        if row.wrapped is None:
            self._found.pop(key_id)
            raise KeyMissingError("The key of a token was destroyed: its value cannot be revealed any more.")
        key = self._open(row, row.wrapped)
        self._found.put(key_id, key)
        return key

    def destroy(self, key_ids: Iterable[str]) -> list[str]:
        """Destroy keys, here and in the store; returns the ids of those that lived.

        Whatever they protected is unreadable from now on. Other processes let go of them within a minute.
        """
        destroyed = self._store.keys.destroy(list(key_ids), self._now())
        self._let_go(set(destroyed))
        return destroyed

    def destroy_expired(self) -> int:
        """Destroy every key and every vault entry whose time to be kept is over; returns how many keys."""
        self._store.vault.expire(self._now())
        destroyed = set(self._store.keys.destroy_expired(self._now()))
        self._let_go(destroyed)
        return len(destroyed)

    def use(self, kms: Kms) -> None:
        """From now on this one wraps, and unwraps what is not in memory; what is in use stays in use."""
        self._kms = kms

    def refuse_loss(self, kms: Kms) -> None:
        """Raises `ConfigError` when keys in the store, which can be unwrapped now, could not be with this one."""
        for master in sorted(self._store.keys.masters()):
            if self._kms.opens(master) and not kms.opens(master):
                raise ConfigError(
                    f"Data keys are still wrapped by {master}, which 'keys' does not name any more.",
                    "List it under 'earlier', or run: streamguard keys rewrap",
                )

    def health(self) -> None:
        """Raises `KeysUnavailableError` unless the KMS and the store answer now."""
        self._kms.health()
        self._store.health()

    def confirm(self) -> None:
        """Hold the keys in use against the store: those that were replaced or destroyed elsewhere go out of use.

        Two queries, however many keys there are. A running service calls this by a timer, so that no lane waits for
        it; where nobody does, the next use of a key after a minute does. Raises `KeysUnavailableError` when the store
        does not answer; the keys in use then stay in use for `USED_ON_FOR`.
        """
        clock = self._clock()
        pinned, leases = dict(self._pinned), list(self._leases.values())
        in_use = {key.id for key in (*pinned.values(), *(lease.key for lease in leases)) if key is not None}
        try:
            living = self._store.keys.living(in_use)
            newest = self._store.keys.newest(pinned)
        except KeysUnavailableError:
            self._go_on_without_store(clock)
            raise
        self._let_go(in_use - living)
        for element, key in pinned.items():
            if key.id in living and newest[element] != key.id:
                self._follow(element)
        self._confirmed_at = clock
        self._confirm_at = clock + CONFIRMED_FOR

    def _stay_confirmed(self) -> float:
        """What time it is; and when that is late, `confirm`. One thread does so, the others go on meanwhile."""
        clock = self._clock()
        if clock >= self._confirm_at and self._confirming.acquire(blocking=False):
            try:
                self.confirm()
            except KeysUnavailableError:
                log.warning("keys.unconfirmed")
            finally:
                self._confirming.release()
        return clock

    def _go_on_without_store(self, clock: float) -> None:
        self._confirm_at = clock + _ASK_AGAIN_AFTER
        if clock - self._confirmed_at >= USED_ON_FOR:
            self._pinned.clear()
            self._leases.clear()

    def _follow(self, element: str) -> None:
        """Take up the version that was pinned after ours; while that cannot be unwrapped, ours has to do."""
        try:
            key = self._pinned[element] = self._pin(element)
        except KeysUnavailableError:
            log.warning("key.not_followed", element=element)
        else:
            log.info("key.followed", key_id=key.id, element=element)

    def _let_go(self, gone: set[str]) -> None:
        """Keys that were destroyed leave the memory of this process."""
        if not gone:
            return
        for key_id in gone:
            self._found.pop(key_id)
        for element, key in list(self._pinned.items()):
            if key.id in gone:
                self._pinned.pop(element, None)
        for lease in list(self._leases.values()):
            if lease.key is not None and lease.key.id in gone:
                with lease.lock:
                    lease.key = None
        log.info("keys.destroyed", count=len(gone))

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
        key_id = new_id(_ID_LENGTH)
        key = DataKey(key_id, element, secrets.token_bytes(32))
        wrapped = self._kms.wrap(key.secret)
        row = KeyRow(
            id=key_id,
            element=element,
            purpose=purpose,
            version=version,
            wrapped=wrapped,
            master=master_of(wrapped),
            created_at=self._now(),
            destroy_after=destroy_after,
        )
        if not self._store.keys.add(row):
            return None
        log.info("key.minted", key_id=key_id, element=element)
        return key

    def _open(self, row: KeyRow, wrapped: bytes) -> DataKey:
        return DataKey(row.id, row.element, self._kms.unwrap(wrapped))
