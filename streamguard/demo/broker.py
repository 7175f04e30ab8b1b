"""A Kafka broker inside this process: librdkafka's mock cluster, which speaks the real protocol on loopback.

Good for looking and for development, not for promises: it keeps about 5 MB per partition, gives every topic four
partitions, and takes part in transactions without isolating them. Exactly-once is shown and tested on real Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from streamguard.errors import StreamGuardError

PARTITIONS: Final = 4
"""Of every topic; the mock cluster does not let one choose."""

_TIMEOUT_S: Final = 10.0
_SILENT: Final = 0  # it would tell that it is a mock, and that clients come and go


class EmbeddedBroker:
    """Runs until it is closed, or the process ends. `address` is its bootstrap server."""

    def __init__(self) -> None:
        # The cluster belongs to the client that asked for it, and lives as long.
        self._owner: Producer | None = Producer(
            {"bootstrap.servers": "localhost", "test.mock.num.brokers": 1, "log_level": _SILENT}
        )
        self.address = ",".join(
            f"{broker.host}:{broker.port}" for broker in self._metadata().brokers.values()
        )

    def create(self, topics: Iterable[str]) -> None:
        """Create topics. The mock cluster does so when it is asked about them; it knows no other way."""
        for topic in topics:
            self._metadata(topic)

    def close(self) -> None:
        """End the cluster, with all that is in it."""
        self._owner = None

    def _metadata(self, topic: str | None = None) -> Any:
        if self._owner is None:
            raise StreamGuardError("The embedded broker has ended.")
        try:
            return self._owner.list_topics(topic, timeout=_TIMEOUT_S)
        except KafkaException:
            raise StreamGuardError(
                "The embedded broker does not answer.", "Can programs connect to 127.0.0.1 here?"
            ) from None
