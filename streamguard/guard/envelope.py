"""What surrounds the value: the record's key, its headers, its timestamp, and where it came from."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Protocol

from streamguard.crypto.wire import format_key_ids
from streamguard.guard.batch import Batch, Headers
from streamguard.guard.protect import rejecter
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy, TruncateTimestamp
from streamguard.transforms.base import KEY_PATH, Transform

# W3C Trace Context, section 3.2: version, trace id, parent id, flags. A header that breaks it could carry anything.
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_UNITS_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_OURS: Final = "sg-"

Treatment = Literal["keep", "drop", "second", "minute", "hour", "day"]

KEY_TYPE: Final = Finding(
    "transform.key", "envelope", "the key's transform gave no text that a key can carry", "$key"
)


class Keys(Protocol):
    """How keys are read for their transform, and how what it makes of them is written."""

    @property
    def headers(self) -> Headers:
        """What a protected key needs beside it."""

    def read(self, batch: Batch, rows: list[int]) -> list[Any]:
        """The keys of some rows, none of them null; one that cannot be read is rejected."""

    def write(self, text: str) -> bytes:
        """A protected key."""


class _TextKeys:
    """Keys that are text, or bytes."""

    @property
    def headers(self) -> Headers:
        return []

    def read(self, batch: Batch, rows: list[int]) -> list[Any]:
        return [_text(batch.keys[row]) for row in rows]

    def write(self, text: str) -> bytes:
        return text.encode()


class Envelope:
    """Treats key, headers and timestamp as the policy says, and adds ``sg-source``, ``sg-policy``, ``sg-keys``.

    `key` is ``keep``, ``drop`` or a transform; `timestamp` is ``keep``, ``drop`` or the unit it is rounded down to;
    `ours` are headers that all records get besides, and `replaced` those that never pass, whatever the policy says.
    """

    stage = "envelope"

    def __init__(
        self,
        *,
        key: str | Transform[Any],
        headers: Literal["keep", "drop"] | tuple[str, ...],
        timestamp: Treatment,
        policy: str,
        version: str,
        ours: tuple[tuple[str, bytes], ...] = (),
        keys: Keys | None = None,
        replaced: frozenset[str] = frozenset(),
    ) -> None:
        self.key = key
        self.names = None if headers == "keep" else frozenset() if headers == "drop" else frozenset(headers)
        self.timestamp = timestamp
        self.provenance = ("sg-policy", f"{policy}@{version}".encode())
        self.ours = ours
        self.keys = keys or _TextKeys()
        self.replaced = replaced

    def apply(self, batch: Batch) -> None:
        """Fill the out columns for live rows and tombstones."""
        if batch.tombstones:
            batch.live = sorted(batch.live + [row for row in batch.tombstones if row not in batch.findings])
        if isinstance(self.key, Transform):
            batch.out_keys = self._protected_keys(batch, self.key)
        elif self.key == "drop":
            batch.out_keys = [None] * len(batch.keys)
        batch.out_timestamps = treated(batch.timestamps, self.timestamp)
        batch.out_headers = self._headers(batch)

    def _protected_keys(self, batch: Batch, transform: Transform[Any]) -> list[bytes | None]:
        rows = [row for row in batch.live if batch.keys[row] is not None]
        protected = transform.apply(self.keys.read(batch, rows), rejecter(batch, rows, transform, "$key"))
        if rows and transform.key_id is not None:
            batch.key_ids[KEY_PATH] = transform.key_id
        keys: list[bytes | None] = [None] * len(batch.keys)
        for row, key in zip(rows, protected, strict=True):
            if key is None or row in batch.findings:
                continue
            if isinstance(key, str):
                keys[row] = self.keys.write(key)
            else:
                batch.reject(row, KEY_TYPE)
        return keys

    def _headers(self, batch: Batch) -> list[Headers]:
        source, policy = batch.topic.encode() + b"/%d/%d", self.provenance
        places = zip(batch.partitions, batch.offsets, strict=True)
        ours: list[Headers] = [[("sg-source", source % place), policy] for place in places]
        more: Headers = [*self.ours, *self.keys.headers]
        if batch.key_ids:
            more.append(("sg-keys", format_key_ids(batch.key_ids)))
        if more:
            ours = [headers + more for headers in ours]
        if self.names == frozenset() or not any(batch.headers):
            return ours
        return [
            [header for header in theirs or () if self._passes(*header)] + own
            for theirs, own in zip(batch.headers, ours, strict=True)
        ]

    def _passes(self, name: str, value: bytes | None) -> bool:
        if (
            name.startswith(_OURS)
            or name in self.replaced
            or (self.names is not None and name not in self.names)
        ):
            return False
        return self.names is None or name != "traceparent" or bool(value and _TRACEPARENT.fullmatch(value))


def treated(timestamps: list[int], treatment: Treatment) -> list[int]:
    """Timestamps in milliseconds as a policy wants them; 0 where there is none: the producer takes the present."""
    if treatment == "keep":
        return timestamps
    if treatment == "drop":
        return [0] * len(timestamps)
    unit = _UNITS_MS[treatment]
    return [time - time % unit if time > 0 else time for time in timestamps]


def treatment_of(policy: Policy) -> Treatment:
    """The word for what a policy does to timestamps."""
    stamp = policy.timestamp
    return stamp.truncate.to if isinstance(stamp, TruncateTimestamp) else stamp


def _text(key: bytes | None) -> Any:
    """A key as text where it is text, so that it joins with a field of the same element; otherwise as bytes."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return key
