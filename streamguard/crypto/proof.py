"""Proof, before any record comes, that a service's master key and store can be used: `streamguard check --online`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from streamguard.crypto.kms.base import Kms
from streamguard.crypto.setup import open_kms
from streamguard.errors import StreamGuardError
from streamguard.policy.keys import Keys
from streamguard.store.store import Store, is_to_be_made, open_store


@dataclass(frozen=True, slots=True)
class Proof:
    """One part that was tried: a master key by its name, the store by its kind, a schema by its subject."""

    part: Literal["keys", "store", "registry", "schema"]
    name: str
    ok: bool
    message: str
    remedy: str = ""


def prove(keys: Keys, store_url: str) -> list[Proof]:
    """Try the master key, the store, and one data key of every master key that the store's are wrapped by."""
    kms, first = _prove_kms(keys)
    store, second = _prove_store(store_url)
    if kms is None or store is None:
        return [first, second]
    return [first, second, *_prove_masters(kms, store)]


def _prove_kms(keys: Keys) -> tuple[Kms | None, Proof]:
    try:
        kms = open_kms(keys)
        kms.health()
        return kms, Proof("keys", kms.name, ok=True, message="wraps and unwraps")
    except StreamGuardError as error:
        return None, _failed("keys", keys.provider, error)


def _prove_store(url: str) -> tuple[Store | None, Proof]:
    try:
        if is_to_be_made(url):
            return None, Proof("store", url, ok=True, message="is not there yet: the service will make it")
        store = open_store(url, create=False)
        store.health()
        return store, Proof("store", store.database.name, ok=True, message="answers")
    except StreamGuardError as error:
        return None, _failed("store", url.partition(":")[0], error)


def _prove_masters(kms: Kms, store: Store) -> list[Proof]:
    """One data key of each: what `earlier` forgot to name shows here, and not when a token is to be read."""
    try:
        living = [row for row in store.keys.all() if row.wrapped is not None]
    except StreamGuardError as error:
        return [_failed("store", store.database.name, error)]
    proofs = []
    newest = {row.master: row.wrapped or b"" for row in living}
    for master, count in sorted(Counter(row.master for row in living).items()):
        what = "1 data key" if count == 1 else f"{count} data keys"
        try:
            kms.unwrap(newest[master])
            proofs.append(Proof("keys", master, ok=True, message=f"unwraps: {what} in the store"))
        except StreamGuardError as error:
            proofs.append(_failed("keys", master, error))
    return proofs


def _failed(part: Literal["keys", "store"], name: str, error: StreamGuardError) -> Proof:
    return Proof(part, name, ok=False, message=error.message, remedy=error.remedy)
