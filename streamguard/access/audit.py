"""Writing the audit trail: entries chained, the head signed and published, before anything is revealed.

No value and no token is ever in it. What was revealed is named by keyed references: the first 16 bytes of the
HMAC-SHA-256 of each token, under a key that only holders of the master key can have. So `streamguard audit list
--token` finds who revealed a token that is known, and the trail alone tells of none.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from streamguard.access.chain import FIRST, entry_hash, head_message
from streamguard.access.errors import LimitExceeded
from streamguard.crypto.datakey import TRAIL, DataKey
from streamguard.crypto.keyring import Keyring
from streamguard.errors import KeysUnavailableError
from streamguard.store.audit import AuditRow, HeadRow

REFERENCE_BYTES: Final = 16
"""Of each reference. A trail of 2^40 tokens meets two alike by chance with a probability of 2^-49."""

GIVEN: Final = ("revealed", "masked")
"""Decisions with which values leave: what limits count."""

_PER_ENTRY: Final = 1_000
"""References in one entry at most."""


class Publisher(Protocol):
    """Takes signed heads out of reach of whoever owns the store's database."""

    def publish(self, head: HeadRow) -> None:
        """Return once the head is there to stay. Raises `AuditUnavailableError` when it is not."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is about to happen, or was refused, with values of one element. `tokens` is what was handed in.

    `attempts` counts what has no tokens: credentials that were not even looked at.
    """

    who: str
    action: str
    decision: str
    element: str | None = None
    tokens: Sequence[str] = ()
    purpose: str | None = None
    reason: str | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many values for one person within a sliding window."""

    values: int
    per: timedelta


class Trail:
    """Appends to the trail of a keyring's store. Thread-safe, and safe among any number of processes and hosts.

    Every method raises `KeysUnavailableError` when store or KMS are away, and `AuditUnavailableError` when the head
    cannot be published: the caller must then reveal nothing.
    """

    def __init__(
        self,
        keyring: Keyring,
        publisher: Publisher | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keyring = keyring
        self._publisher = publisher
        self._now = now

    def record(self, events: Sequence[Event], limit: Limit | None = None) -> None:
        """Put events on the trail; when this returns they are on disk, and the head on its topic.

        With a `limit`, what `GIVEN` events give to their `who` is counted, in the same transaction, together with what
        all processes gave before. Beyond it nothing is given: the events are recorded as refused, and `LimitExceeded`
        is raised.
        """
        if not events:
            return
        key = self._key()
        rest: timedelta | None = None
        with self._keyring.store.audit.appending() as end:
            now = self._now()
            if limit is not None:
                given = sum(len(event.tokens) for event in events if event.decision in GIVEN)
                spent = end.spent(events[0].who, GIVEN, now - limit.per)
                rest = wait_for(given, spent, limit, now)
                if rest is not None:
                    events = [_refused(event) for event in events]
            last = end.last()
            rows = _chained(last, [part for event in events for part in _parts(event)], key, now)
            head = _signed(rows[-1], key, now)
            end.add(rows, head)
        if self._publisher is not None:
            self._publisher.publish(head)
        if rest is not None:
            raise LimitExceeded(rest)

    def _key(self) -> DataKey:
        if self._keyring.store.keys.pinned(TRAIL) is None:
            self._see_that_the_master_key_fits()
        return self._keyring.pinned(TRAIL)

    def _see_that_the_master_key_fits(self) -> None:
        """The first entry makes the trail's key: under another master key than the store's, it would lock the trail."""
        living = [row for row in self._keyring.store.keys.all() if row.wrapped is not None]
        refusal: KeysUnavailableError | None = None
        for key_id in {row.master: row.id for row in living}.values():
            try:
                self._keyring.find(key_id)
                return
            except KeysUnavailableError as error:
                refusal = error
        if refusal is not None:
            raise refusal


def wait_for(
    asked: int, spent: Iterable[tuple[datetime, int]], limit: Limit, now: datetime
) -> timedelta | None:
    """How long until `asked` more values are within the limit; None when they are now.

    More than the whole limit never is: then the wait is the whole window.
    """
    spent = list(spent)
    over = sum(count for _, count in spent) + asked - limit.values
    if asked == 0 or over <= 0:
        return None
    for at, count in spent:
        over -= count
        if over <= 0:
            return max(at + limit.per - now, timedelta(seconds=1))
    return limit.per


def references(tokens: Sequence[str], key: DataKey) -> bytes:
    """The references of tokens, one behind the other."""
    secret = key.subkey("audit-reference")
    return b"".join(
        hmac.digest(secret, token.encode(errors="surrogatepass"), "sha256")[:REFERENCE_BYTES]
        for token in tokens
    )


def names(entry: bytes | None, reference: bytes) -> bool:
    """Whether a token's reference is among those of an entry."""
    found = entry or b""
    return any(
        found[start : start + REFERENCE_BYTES] == reference for start in range(0, len(found), REFERENCE_BYTES)
    )


def trail_keys(keyring: Keyring) -> list[DataKey]:
    """Every version of the trail's key that can still be used, oldest first."""
    newest = keyring.store.keys.pinned(TRAIL)
    versions = range(1, (newest.version or 0) + 1) if newest else ()
    rows = [keyring.store.keys.pinned(TRAIL, version) for version in versions]
    return [keyring.find(row.id) for row in rows if row is not None and row.wrapped is not None]


def public_key(key: DataKey) -> Ed25519PublicKey:
    """With which the heads that were signed under a key are verified."""
    return _private_key(key).public_key()


def _private_key(key: DataKey) -> Ed25519PrivateKey:
    # Any 32 bytes are an Ed25519 key (RFC 8032, section 5.1.5): this one is kept, wrapped, as data keys are.
    return Ed25519PrivateKey.from_private_bytes(key.subkey("audit-head"))


def _parts(event: Event) -> Iterable[Event]:
    """The event, cut into pieces that one entry holds."""
    starts = range(0, max(len(event.tokens), 1), _PER_ENTRY)
    return [replace(event, tokens=event.tokens[start : start + _PER_ENTRY]) for start in starts]


def _refused(event: Event) -> Event:
    return replace(event, decision="refused", reason="limit") if event.decision in GIVEN else event


def _chained(last: AuditRow | None, events: Iterable[Event], key: DataKey, now: datetime) -> list[AuditRow]:
    seq, previous = (last.seq, last.hash) if last else (0, FIRST)
    rows = []
    for event in events:
        seq += 1
        row = AuditRow(
            seq=seq,
            at=now,
            who=event.who,
            action=event.action,
            element=event.element,
            count=len(event.tokens) or event.attempts,
            purpose=event.purpose,
            decision=event.decision,
            reason=event.reason,
            reference_hmac=references(event.tokens, key) or None,
            previous_hash=previous,
            hash=b"",
        )
        previous = entry_hash(row)
        rows.append(replace(row, hash=previous))
    return rows


def _signed(row: AuditRow, key: DataKey, now: datetime) -> HeadRow:
    signature = _private_key(key).sign(head_message(row.seq, row.hash, now))
    return HeadRow(row.seq, row.hash, signature, now)
