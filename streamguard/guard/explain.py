"""From findings to the record on the violations topic: every reason, no value, and the original only under lock."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from streamguard.crypto.aead import seal_original
from streamguard.crypto.keyring import Keyring
from streamguard.guard.batch import Batch
from streamguard.guard.envelope import treated, treatment_of
from streamguard.guard.violation import Finding, Violation
from streamguard.policy.models import Policy

# Room for headers and Kafka's own framing when a violation has to fit under a topic's max.message.bytes.
ENVELOPE_BYTES: Final = 2_048


class Explain:
    """Writes violations for one policy."""

    def __init__(self, policy: Policy, keyring: Keyring) -> None:
        self.policy = policy.name
        self.version = policy.version
        self.retain = policy.quarantine.retain
        self.timestamp = treatment_of(policy)
        self.keyring = keyring

    def __call__(self, batch: Batch, row: int, *, max_bytes: int | None = None) -> Violation:
        """The violation for a rejected row. With `max_bytes`, the original is left out where it would not fit.

        Raises KeysUnavailableError when the quarantine key cannot be had now.
        """
        findings = list(dict.fromkeys(batch.findings[row]))
        partition, offset = batch.partitions[row], batch.offsets[row]
        identity = violation_id(batch.topic, partition, offset)
        first = findings[0]
        (timestamp,) = treated([batch.timestamps[row]], self.timestamp)
        errors = [_error(finding) for finding in findings]
        body: dict[str, Any] = {
            "id": identity,
            "code": first.code,
            "path": first.path,
            "stage": first.stage,
            "message": first.message,
            "errors": errors,
            "policy": {"name": self.policy, "version": self.version},
            "source": {
                "topic": batch.topic, "partition": partition, "offset": offset, "timestamp": timestamp,
            },
            "observed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }  # fmt: skip
        size = len(batch.values[row] or b"")
        encoded = self._with_original(body, batch, row, identity)
        if encoded is None or (max_bytes is not None and len(encoded) + ENVELOPE_BYTES > max_bytes):
            encoded = orjson.dumps(body | {"original": "omitted", "original_bytes": size})
        if max_bytes is not None and len(encoded) + ENVELOPE_BYTES > max_bytes:
            short = {"errors": errors[:1], "errors_omitted": len(findings) - 1}
            encoded = orjson.dumps(body | short | {"original": "omitted", "original_bytes": size})
        return Violation(identity, first.code, encoded, self._headers(batch, row, first))

    def _with_original(self, body: dict[str, Any], batch: Batch, row: int, identity: str) -> bytes | None:
        if self.retain == "none":
            return None
        key = self.keyring.quarantine(self.policy, self.retain)
        return orjson.dumps(body | {"original": seal_original(key, identity, pack_original(batch, row))})

    def _headers(self, batch: Batch, row: int, finding: Finding) -> list[tuple[str, bytes]]:
        """Kafka Connect's names for what a dead letter is (KIP-298), and our own for where it came from."""
        partition, offset = b"%d" % batch.partitions[row], b"%d" % batch.offsets[row]
        return [
            ("__connect.errors.topic", batch.topic.encode()),
            ("__connect.errors.partition", partition),
            ("__connect.errors.offset", offset),
            ("__connect.errors.connector.name", self.policy.encode()),
            ("__connect.errors.stage", finding.stage.encode()),
            ("__connect.errors.exception.class.name", finding.code.encode()),
            ("__connect.errors.exception.message", finding.message.encode()),
            ("sg-source", b"%s/%s/%s" % (batch.topic.encode(), partition, offset)),
            ("sg-policy", f"{self.policy}@{self.version}".encode()),
        ]


def violation_id(topic: str, partition: int, offset: int) -> str:
    """The same id for the same source record, however often it is processed."""
    return hashlib.sha256(f"{topic}/{partition}/{offset}".encode()).hexdigest()[:32]


def pack_original(batch: Batch, row: int) -> bytes:
    """The whole source record, so that it can be replayed as it came: JSON with base64 for each part of bytes."""

    def text(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    return orjson.dumps(
        {
            "key": text(batch.keys[row]),
            "value": text(batch.values[row]),
            "headers": [[name, text(value)] for name, value in batch.headers[row] or ()],
            "timestamp": batch.timestamps[row],
        }
    )


def _error(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "path": finding.path, "stage": finding.stage, "message": finding.message}
