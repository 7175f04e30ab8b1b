"""What the demo saw: every order that went in is looked for in what came out, once and without what it hid.

Nothing here knows the service; it compares what a producer sent with what a consumer reads, as an auditor would.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any, Final

import orjson

from streamguard.demo.sample import Sample

HIDDEN: Final = ("id", "name", "email", "phone", "ssn")
"""The customer's fields that must not be found in any output; the card number is one more."""

_LATENCIES: Final = 500
_RECENT: Final = 50
Place = tuple[int, int]
"""Partition and offset of an order in its topic."""


@dataclass(frozen=True, slots=True)
class Output:
    """A record of an output topic: where its order came from, its value, and when it was read (Unix seconds)."""

    place: Place
    value: bytes
    read_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What went in and what came out. `document` is the clean record or the violation."""

    sample: Sample
    document: Any


@dataclass(slots=True)
class Witness:
    """What it saw: counts, and the latest outcomes. `send` is called in another thread than the rest."""

    sent: int = 0
    clean: int = 0
    rejected: int = 0
    twice: int = 0
    leaks: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    passed: deque[Outcome] = field(default_factory=lambda: deque(maxlen=_RECENT))
    refused: deque[Outcome] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _waiting: dict[Place, tuple[Sample, float]] = field(default_factory=dict)
    _newest: dict[int, int] = field(default_factory=dict)
    _early: list[tuple[bool, Output]] = field(default_factory=list)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, place: Place, sample: Sample) -> None:
        """An order has arrived in its topic."""
        with self._lock:
            self._waiting[place] = sample, time.time()
            self._newest[place[0]] = place[1]
            self.sent += 1

    def take(self, output: Output, *, clean: bool) -> None:
        """A record was read from the clean topic, or from that of violations."""
        self._early.append((clean, output))

    def settle(self) -> None:
        """Match what was read with what was sent. What was read before we knew that it was sent stays for later."""
        early, self._early = self._early, []
        for clean, output in early:
            with self._lock:
                known = self._waiting.pop(output.place, None)
                newest = self._newest.get(output.place[0], -1)
            if known is not None:
                self._match(*known, output, clean=clean)
            elif output.place[1] > newest:
                self._early.append((clean, output))
            else:
                self.twice += 1

    @property
    def missing(self) -> int:
        """Orders that are in neither output yet."""
        return len(self._waiting)

    @property
    def latency(self) -> float:
        """Median seconds from an order's arrival to reading what became of it."""
        return median(self._latencies) if self._latencies else 0.0

    def top_codes(self, most: int) -> list[tuple[str, int]]:
        """The most frequent codes of violations."""
        return list(islice(self.codes.most_common(), most))

    def _match(self, sample: Sample, sent_at: float, output: Output, *, clean: bool) -> None:
        self._latencies.append(output.read_at - sent_at)
        self.leaks += any(secret in output.value for secret in secrets(sample))
        outcome = Outcome(sample, orjson.loads(output.value))
        if clean:
            self.clean += 1
            self.passed.append(outcome)
        else:
            self.rejected += 1
            self.refused.append(outcome)
            self.codes[outcome.document["code"]] += 1


def secrets(sample: Sample) -> Iterable[bytes]:
    """What an order holds that nobody may find later: of one that is no JSON, at least its key."""
    yield sample.key
    try:
        order = orjson.loads(sample.value)
    except orjson.JSONDecodeError:
        return
    customer = order["customer"] if isinstance(order["customer"], dict) else {}
    found = [*(customer.get(name) for name in HIDDEN), order["payment"].get("card_number")]
    yield from (text.encode() for text in found if isinstance(text, str))
