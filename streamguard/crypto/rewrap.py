"""Every data key from the master keys of before to the one that wraps now. No data is touched, and nobody waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.wrapped import master_of
from streamguard.errors import KeysUnavailableError
from streamguard.store.keys import KeyRow
from streamguard.store.store import Store


@dataclass(slots=True)
class Rewrapped:
    """How far it came. `failed` says, by key id, why a key is still under the master key of before."""

    moved: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def waiting(store: Store, current: str) -> list[KeyRow]:
    """The living keys that another master key than `current` wraps."""
    return [row for row in store.keys.all() if row.wrapped is not None and row.master != current]


def rewrap(store: Store, kms: Kms, progress: Callable[[int, int], object]) -> Rewrapped:
    """Wrap every data key under the current master key; `progress` is told how many are done, and of how many.

    Each key moves by itself, so whatever stops this, the next run goes on where it ended. The new form is opened again
    before it takes the place of the old one. A key that changes meanwhile (somebody destroys it, or another run was
    quicker) is left as it is. Keys that a running service adds meanwhile are done too.

    Raises `KeysUnavailableError` when the key service or the store does not answer.
    """
    done = Rewrapped()
    while rows := [row for row in waiting(store, kms.name) if row.id not in done.failed]:
        before = done.moved + len(done.failed)
        for number, row in enumerate(rows, start=1):
            try:
                done.moved += _move(store, kms, row)
            except KeysUnavailableError as error:
                kms.health()  # either this key alone is in trouble, or everything stops here
                store.health()
                done.failed[row.id] = error.message
            progress(before + number, before + len(rows))
    store.database.forget()
    return done


def _move(store: Store, kms: Kms, row: KeyRow) -> bool:
    secret = kms.unwrap(row.wrapped or b"")
    wrapped = kms.wrap(secret)
    if kms.unwrap(wrapped) != secret:
        raise KeysUnavailableError("The master key does not give back what it wrapped.")
    return store.keys.rewrap(row, wrapped, master_of(wrapped))
