"""Is the audit trail as it was written? Held against itself, against its signed heads, and against those published.

The chain alone shows every entry that was changed, removed, inserted or moved by somebody who did not compute all later
hashes anew; the heads, which need the trail's key, show those who did. Cutting off the newest entries together with
their heads leaves a shorter trail that is in order: only heads that are out of the database owner's reach show that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature

from streamguard.access.audit import public_key, trail_keys
from streamguard.access.chain import FIRST, entry_hash, head_message
from streamguard.crypto.keyring import Keyring
from streamguard.store.audit import AuditRow, HeadRow

Code = Literal[
    "entry_changed", "entry_missing", "entry_moved", "chain_broken", "entry_unsigned", "entry_unreadable",
    "head_forged", "head_mismatch", "head_missing", "published_mismatch", "published_missing_entry",
    "published_nothing", "published_unsigned",
]  # fmt: skip

SENTENCES: Final[dict[Code, str]] = {
    "entry_changed": "the entry was changed: its hash does not fit what it says",
    "entry_missing": "an entry is missing before this one",
    "entry_moved": "the entry stands where none can: entries count from 1",
    "chain_broken": "the entry does not follow the one before it",
    "entry_unsigned": "entries from here on were not signed: they were added, or their head was removed",
    "entry_unreadable": "what follows this entry cannot be read: it was not written by StreamGuard",
    "head_forged": "the signature of this head is not the trail's",
    "head_mismatch": "the signed head is of another entry than the one that stands here",
    "head_missing": "a signed head is of an entry that is not there: the end was cut off",
    "published_mismatch": "a published head is of another entry than the one that stands here",
    "published_missing_entry": "a published head is of an entry that is not there: the end was cut off",
    "published_unsigned": "a published head is signed by no key of the trail: it is forged, or the key was taken away",
    "published_nothing": "no head of this trail is on the topic: it was emptied, or is another one, and proves nothing",
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was written, at entry `seq`."""

    code: Code
    seq: int

    @property
    def message(self) -> str:
        """In words."""
        return SENTENCES[self.code]


@dataclass(slots=True)
class Verdict:
    """What was found.

    `entries`, `heads` and `published` (heads) are how many were read; `strange` how many records on the topic are no
    heads of this trail; `published_to` the newest entry that a published head covers, None without a topic.
    """

    entries: int = 0
    heads: int = 0
    published: int = 0
    strange: int = 0
    published_to: int | None = None
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.flaws


class Verifier:
    """Verifies the trail of a keyring's store. Raises `KeysUnavailableError` when store or KMS are away."""

    def __init__(self, keyring: Keyring) -> None:
        self._audit = keyring.store.audit
        self._keys = [public_key(key) for key in trail_keys(keyring)]

    def verify(self, published: Iterable[HeadRow | None] | None = None) -> Verdict:
        """Read the whole trail. `published` are the heads on the audit topic; None among them is no head at all."""
        verdict = Verdict()
        witnesses = self._witnesses(published, verdict)
        try:
            self._walk(witnesses, verdict)
        except (ValueError, TypeError, OverflowError):  # of a value that no column of ours has
            verdict.flaws.append(Flaw("entry_unreadable", verdict.entries))
        if verdict.entries and verdict.published_to == 0:
            verdict.flaws.append(Flaw("published_nothing", 1))
        return verdict

    def is_signed(self, head: HeadRow) -> bool:
        """Whether a head carries the signature of this trail."""
        message = head_message(head.seq, head.hash, head.signed_at)
        for key in self._keys:
            try:
                key.verify(head.signature, message)
                return True
            except InvalidSignature:
                continue
        return False

    def _witnesses(
        self, published: Iterable[HeadRow | None] | None, verdict: Verdict
    ) -> dict[int, set[bytes]]:
        """Hashes that published heads say, by entry. Whoever may write to the topic may write nonsense: left out.

        But a head that nothing is wrong with, except that no key here has signed it, is no nonsense: a database owner
        who removes the trail together with its key leaves nothing else behind.
        """
        found: dict[int, set[bytes]] = {}
        unsigned: int | None = None
        for head in published or ():
            verdict.published += 1
            if head is not None and self.is_signed(head):
                found.setdefault(head.seq, set()).add(head.hash)
                continue
            verdict.strange += 1
            if head is not None:
                unsigned = head.seq if unsigned is None else min(unsigned, head.seq)
        if unsigned is not None:
            verdict.flaws.append(Flaw("published_unsigned", unsigned))
        if published is not None:
            verdict.published_to = max(found, default=0)
        return found

    def _walk(self, witnesses: dict[int, set[bytes]], verdict: Verdict) -> None:
        heads = _Heads(self._audit.heads())
        previous, expected, signed_to = FIRST, 1, 0
        # What comes meanwhile is not our business.
        end = max((row.seq for row in self._audit.newest(1)), default=0)
        for row in self._audit.entries(to=end):
            verdict.entries += 1
            verdict.flaws += _entry_flaws(row, previous, expected)
            for head in heads.up_to(row.seq):
                verdict.heads += 1
                verdict.flaws += self._head_flaws(head, row)
                signed_to = max(signed_to, head.seq)
            if witnesses.pop(row.seq, {row.hash}) != {row.hash}:
                verdict.flaws.append(Flaw("published_mismatch", row.seq))
            previous, expected = row.hash, row.seq + 1
        last = expected - 1
        if signed_to < last:
            verdict.flaws.append(Flaw("entry_unsigned", signed_to + 1))
        later = list(heads.up_to(None))
        verdict.flaws += _without_entry(
            later, {row.seq for row in self._audit.entries(after=end)} if later else set()
        )
        verdict.flaws += [Flaw("published_missing_entry", seq) for seq in sorted(witnesses)]

    def _head_flaws(self, head: HeadRow, row: AuditRow) -> Sequence[Flaw]:
        if not self.is_signed(head):
            return [Flaw("head_forged", head.seq)]
        if head.seq != row.seq or head.hash != row.hash:
            return [Flaw("head_mismatch", head.seq)]
        return []


def _without_entry(heads: Iterable[HeadRow], entries: set[int]) -> Iterator[Flaw]:
    return (Flaw("head_missing", head.seq) for head in heads if head.seq not in entries)


def _entry_flaws(row: AuditRow, previous: bytes, expected: int) -> Iterator[Flaw]:
    if row.seq < expected:
        yield Flaw("entry_moved", row.seq)
    elif row.seq > expected:
        yield Flaw("entry_missing", row.seq)
    if row.previous_hash != previous:
        yield Flaw("chain_broken", row.seq)
    if entry_hash(row) != row.hash:
        yield Flaw("entry_changed", row.seq)


class _Heads:
    """Heads in their order, taken as far as entries have come."""

    def __init__(self, heads: Iterator[HeadRow]) -> None:
        self._heads = heads
        self._next = next(heads, None)

    def up_to(self, seq: int | None) -> Iterator[HeadRow]:
        """The heads that were not taken yet, up to that of entry `seq`; all with None."""
        while self._next is not None and (seq is None or self._next.seq <= seq):
            yield self._next
            self._next = next(self._heads, None)
