"""The audit topic: signed heads of the audit trail, where a database owner cannot reach them.

A head is a JSON record of a few hundred bytes. It covers every entry before it, so one that is missing on the topic is
made up for by the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.cimpl import NewTopic

from streamguard import logs
from streamguard.access.errors import AuditUnavailableError
from streamguard.access.heads import format_head, parse_head
from streamguard.policy.service import Service
from streamguard.store.audit import HeadRow
from streamguard.streams.client import KafkaTrouble, Slot, producer_config
from streamguard.streams.reader import Reader
from streamguard.streams.topics import Cluster

PATIENCE: Final = 5.0
"""Seconds in which a head must be acknowledged by all in-sync replicas; otherwise nothing is revealed."""

_CONFIG: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_POLL: Final = 0.02

_log = logs.get(__name__)


class AuditTopic:
    """Publishes heads. Thread-safe; connects when the first head comes, and anew after one that did not get there."""

    def __init__(self, service: Service, topic: str) -> None:
        self._service = service
        self._topic = topic
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def publish(self, head: HeadRow) -> None:
        """Return once every in-sync replica has the head. Raises AuditUnavailableError."""
        producer: Producer | None = None
        try:
            producer = self._connected()
            answer = _Answer()
            producer.produce(self._topic, format_head(head), str(head.seq), on_delivery=answer)
            deadline = time.monotonic() + PATIENCE + 1
            while not answer.came.is_set() and time.monotonic() < deadline:
                producer.poll(_POLL)
            if answer.came.is_set() and answer.error is None:
                return
        except (KafkaException, BufferError, KafkaTrouble):
            pass
        self._let_go(producer)
        raise AuditUnavailableError(
            f"The audit topic '{self._topic}' does not take the trail's head, so nothing is revealed.",
            "See that the brokers answer, and that this service may describe and write the topic.",
        )

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._create_missing()
                config = producer_config(self._service, "audit", Slot("reveal"))
                config |= {"linger.ms": 0, "message.timeout.ms": int(PATIENCE * 1000)}
                config["enable.idempotence"] = False  # a head twice is as good as once
                del config["delivery.report.only.error"]
                self._producer = Producer(config, logger=logs.librdkafka())
            return self._producer

    def _let_go(self, producer: Producer | None) -> None:
        """It may have lost its brokers for good (see `contact`)."""
        with self._lock:
            if producer is self._producer:
                self._producer = None

    def _create_missing(self) -> None:
        cluster = Cluster(self._service, PATIENCE)
        wanted = self._service.topics
        if self._topic not in cluster.partition_counts() and wanted.create:
            config = dict(_CONFIG)
            if wanted.min_insync_replicas:
                config["min.insync.replicas"] = str(wanted.min_insync_replicas)
            cluster.create([NewTopic(self._topic, 1, wanted.replication or -1, config=config)])
            _log.info("topic.created", topic=self._topic, partitions=1)


class _Answer:
    """What became of one record."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.error: KafkaError | None = None

    def __call__(self, error: KafkaError | None, _: Message) -> None:
        self.error = error
        self.came.set()


def published_heads(service: Service, topic: str) -> Iterator[HeadRow | None]:
    """What is on the audit topic up to its present end; None for a record that is no head. Raises KafkaTrouble."""
    with Reader(service, [topic]) as reader:
        for message in reader.to_the_end():
            yield parse_head(message.value() or b"")
