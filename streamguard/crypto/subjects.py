"""A data key for each person: destroy it, and everything that was encrypted for that person is unreadable.

The keys are random. One is found by the HMAC of its subject, so the store does not say whose it is. It is wrapped under
the pinned key of the subjects' element rather than by the KMS itself: a person seen for the first time costs no
question to the KMS, and another master key wraps one key anew instead of millions.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from streamguard.crypto.cache import Cache
from streamguard.crypto.datakey import DataKey, new_id
from streamguard.errors import KeyMissingError, KeysUnavailableError
from streamguard.store.subjects import SubjectRow

if TYPE_CHECKING:
    from streamguard.crypto.keyring import Keyring
    from streamguard.store.store import Store

CACHED_FOR: Final = 60.0
"""Seconds for which a subject's key stays in memory: how long one that is destroyed can still be used."""

CACHED_MOST: Final = 50_000
"""Subjects whose keys are in memory at most: about 20 MB."""

PREFIX: Final = "subject:"
"""How the elements of the pinned keys behind subjects begin."""

_MASTER: Final = "key:"
_ID_LENGTH: Final = 16  # 95 bits: there may be as many as there are people


def subject_element(element: str) -> str:
    """The element of the pinned key behind the subjects of `element`."""
    return PREFIX + element


@dataclass(frozen=True, slots=True)
class _Book:
    """What one version of the pinned key does: it names subjects (HMAC-SHA-256) and wraps their keys (AES-256-SIV)."""

    pinned: DataKey
    names: HMAC
    wraps: AESSIV

    @classmethod
    def of(cls, pinned: DataKey) -> _Book:
        names = HMAC(pinned.subkey("subject"), SHA256())
        return cls(pinned, names, AESSIV(pinned.subkey("wrap", 64)))

    def reference(self, subject: str) -> bytes:
        mac = self.names.copy()
        mac.update(subject.encode("utf-8", "surrogatepass"))
        return mac.finalize()

    def wrap(self, key: DataKey) -> bytes:
        return self.wraps.encrypt(key.secret, self._bound(key.id))

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        return self.wraps.decrypt(wrapped, self._bound(key_id))

    def _bound(self, key_id: str) -> list[bytes]:
        return [b"sg1|subject", key_id.encode(), self.pinned.element.encode()]


class Subjects:
    """The subjects' keys that this process uses: `Keyring.subjects`. Thread-safe.

    `element` is that of the policy's subject field. Subjects are texts; a number is written in decimal digits, so that
    12 and "12" are one person. Every method raises `KeysUnavailableError` when the KMS or the store cannot answer now.
    """

    def __init__(
        self, keyring: Keyring, store: Store, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._now = now
        self._books: dict[str, _Book] = {}  # by the id of the pinned key
        self._by_reference: Cache[bytes, DataKey] = Cache(CACHED_FOR, CACHED_MOST, clock)
        self._by_id: Cache[str, DataKey] = Cache(CACHED_FOR, CACHED_MOST, clock)

    def keys(self, element: str, subjects: Sequence[str]) -> list[DataKey]:
        """The key of each subject, in their order; made where there is none, and then on disk before it is returned.

        One query for all that are not in memory, and two statements more when some of them are new. All processes that
        share the store get the same keys.
        """
        book = self._book(self._keyring.pinned(subject_element(element)))
        references = {subject: book.reference(subject) for subject in set(subjects)}
        keys = self._by_reference.get_many(references.values())
        wanted = [reference for reference in references.values() if reference not in keys]
        while wanted:
            rows = self._store.subjects.by_reference(wanted)
            for reference, row in rows.items():
                keys[reference] = self._remember(row, self._open(row))
            wanted = [reference for reference in wanted if reference not in rows]
            if wanted:
                self._store.subjects.add(self._mint(book, reference) for reference in wanted)
        return [keys[references[subject]] for subject in subjects]

    def find(self, key_id: str) -> DataKey:
        """The key that a token names. Raises `KeyMissingError` when there is none, or when it was destroyed."""
        found = self.find_many([key_id])
        if key_id in found:
            return found[key_id]
        if self._store.subjects.by_id([key_id]):
            raise KeyMissingError(
                "The key of this person was destroyed: the value cannot be revealed any more."
            )
        raise KeyMissingError(
            "The key of this person is not in this store.",
            "Name the store of the service that made the token.",
        )

    def find_many(self, key_ids: Iterable[str]) -> dict[str, DataKey]:
        """The keys with these ids; what is not there, or was destroyed, is left out. One query."""
        asked = set(key_ids)
        keys = self._by_id.get_many(asked)
        wanted = asked - keys.keys()
        rows = self._store.subjects.by_id(wanted) if wanted else {}
        for row in rows.values():
            if row.wrapped is not None:
                with suppress(KeyMissingError):  # what wraps it is gone, and so is it
                    keys[row.id] = self._remember(row, self._open(row))
        return keys

    def references(self, element: str, subject: str) -> list[bytes]:
        """What a subject is known by: one HMAC for each version of the pinned key. None where there is no such key."""
        return [book.reference(subject) for book in self._all_books(element)]

    def destroy(self, element: str, subjects: Iterable[str]) -> int:
        """Destroy the keys of these subjects, here and in the store; returns how many lived."""
        books = self._all_books(element)
        return self.destroy_references(book.reference(subject) for subject in subjects for book in books)

    def destroy_references(self, references: Iterable[bytes]) -> int:
        """The same for subjects who are known by their references only: an erasure list that is applied again."""
        gone = set(references)
        destroyed = self._store.subjects.destroy(gone, self._now())
        for reference in gone:
            self._by_reference.pop(reference)
        for key_id in destroyed:
            self._by_id.pop(key_id)
        return len(destroyed)

    def _all_books(self, element: str) -> list[_Book]:
        rows = self._store.keys.versions(subject_element(element))
        return [self._book(self._keyring.find(row.id)) for row in rows if row.wrapped is not None]

    def _book(self, pinned: DataKey) -> _Book:
        book = self._books.get(pinned.id)
        if book is None:
            book = self._books[pinned.id] = _Book.of(pinned)
        return book

    def _mint(self, book: _Book, reference: bytes) -> SubjectRow:
        key_id = new_id(_ID_LENGTH)
        key = DataKey(key_id, book.pinned.element, secrets.token_bytes(32))
        return SubjectRow(
            key_id, reference, key.element, book.wrap(key), _MASTER + book.pinned.id, self._now()
        )

    def _open(self, row: SubjectRow) -> DataKey:
        pinned_id = row.master.removeprefix(_MASTER)
        book = self._books.get(pinned_id) or self._book(self._keyring.find(pinned_id))
        try:
            secret = book.unwrap(row.id, row.wrapped or b"")
        except (InvalidTag, ValueError):
            raise KeysUnavailableError(
                "A person's key in the store is damaged: it does not unwrap.",
                "Restore the store from a backup.",
            ) from None
        return DataKey(row.id, row.element, secret)

    def _remember(self, row: SubjectRow, key: DataKey) -> DataKey:
        self._by_id.put(row.id, key)
        if row.reference is not None:
            self._by_reference.put(row.reference, key)
        return key
