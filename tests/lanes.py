"""A lane at work in a test: its topics, what is sent in, what comes out."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from streamguard.crypto.keyring import Keyring
from streamguard.guard.guard import Guard
from streamguard.policy.models import Policy
from streamguard.policy.service import Service
from streamguard.streams.client import Slot
from streamguard.streams.lane import Lane
from streamguard.streams.topics import Cluster, preflight
from tests.waiting import until

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["n"],
    "properties": {"n": {"type": "integer"}, "who": {"type": "string"}, "note": {"type": "string"}},
}


def document(n: int, **more: Any) -> bytes:
    return json.dumps({"n": n, "who": f"person-{n}", **more}).encode()


@dataclass
class Site:
    """One policy's topics on one broker, and the settings of the service that guards them."""

    kafka: str
    source: str
    group: str = field(default_factory=lambda: f"sg-{uuid.uuid4().hex[:8]}")
    policy: dict[str, Any] = field(default_factory=dict)
    service: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> str:
        return f"{self.source}.clean"

    @property
    def violations(self) -> str:
        return f"{self.source}.violations"

    def make_service(self) -> Service:
        settings = {"kafka": {"bootstrap.servers": self.kafka}, "group": self.group, **self.service}
        return Service.model_validate(settings)

    def make_policy(self, **changes: Any) -> Policy:
        settings = {
            "name": "people",
            "version": "1",
            "topic": self.source,
            "key": "keep",
            "fields": {"who": "tokenize"},
            "keep": ["n", "note"],
            "commit_interval_ms": 50,
            **self.policy,
            **changes,
        }
        return Policy.model_validate(settings)

    def make_guard(self, keyring: Keyring | None = None, **changes: Any) -> Guard:
        return Guard(self.make_policy(**changes), SCHEMA, keyring or Keyring.in_memory())

    def lane(self, slot: str = "0", *, permanent: bool = False, guard: Guard | None = None) -> Lane:
        return Lane(self.make_service(), guard or self.make_guard(), Slot(slot, permanent))

    @contextmanager
    def running(
        self, slot: str = "0", *, permanent: bool = False, guard: Guard | None = None
    ) -> Iterator[Lane]:
        """A lane that has its partitions, stopped afterwards."""
        with at_work(self.lane(slot, permanent=permanent, guard=guard)) as lane:
            until(lambda: lane.state != "starting", what="the lane gets partitions")
            yield lane

    def send(self, values: Sequence[bytes | None], *, partitions: int = 1, **more: Any) -> None:
        """Produce values in turn over the partitions; key ``k<number>`` unless given.

        What the broker refuses is sent again for a while: it applies new settings of a topic a moment later.
        """
        producer = Producer({"bootstrap.servers": self.kafka})
        waiting = list(enumerate(values))
        deadline = time.monotonic() + 20
        while waiting:
            refused: list[tuple[int, bytes | None]] = []
            for number, value in waiting:
                fields = {"key": f"k{number}", "partition": number % partitions, **more}
                producer.produce(self.source, value, on_delivery=_keep((number, value), refused), **fields)
                if number % 10_000 == 9_999:
                    producer.flush(30)
            assert producer.flush(30) == 0
            assert not refused or time.monotonic() < deadline, "the source does not take these records"
            waiting = refused

    def committed(self, partitions: int) -> list[int]:
        """The group's offsets; negative where there is none, or none to be had now."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": f"{self.group}.people"})
        try:
            wanted = [TopicPartition(self.source, partition) for partition in range(partitions)]
            return [found.offset for found in consumer.committed(wanted, timeout=60)]
        except KafkaException:  # a broker that has just started may not have its coordinators yet
            return [-1] * partitions
        finally:
            consumer.close()


def _keep(sent: Any, refused: list[Any]) -> Callable[[KafkaError | None, Message], None]:
    return lambda error, _: refused.append(sent) if error is not None else None


@contextmanager
def at_work(lane: Lane) -> Iterator[Lane]:
    """A lane that is started, and stopped afterwards."""
    lane.start()
    try:
        yield lane
    finally:
        print(f"lane {lane.slot.name}: {lane.state} {lane.reason} {lane.error or ''}")  # noqa: T201 - shown when a test fails
        lane.stop()
        assert lane.join(60), "the lane did not stop"


@contextmanager
def open_site(
    kafka: str, *, partitions: int = 1, config: dict[str, str] | None = None, **settings: Any
) -> Iterator[Site]:
    """A source topic of this test's own, with outputs as the service creates them; deleted afterwards.

    `config` are the source's settings, `policy` and `service` (in `settings`) those of the two files.
    """
    site = Site(kafka, f"people-{uuid.uuid4().hex[:8]}", **settings)
    Cluster(site.make_service()).create([NewTopic(site.source, partitions, 1, config=config or {})])
    try:
        preflight(site.make_service(), [site.make_policy()])
        yield site
    finally:
        AdminClient({"bootstrap.servers": kafka}).delete_topics([site.source, site.clean, site.violations])


def configure(kafka: str, topic: str, **config: str) -> None:
    """Change settings of a topic; underscores stand for dots."""
    admin = AdminClient({"bootstrap.servers": kafka})
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(timeout=60)
    wanted = {entry.name: entry.value for entry in entries}

    def known() -> bool:
        asked = ConfigResource(ResourceType.TOPIC, topic)
        found = admin.describe_configs([asked])[asked].result(timeout=60)
        return {name: found[name].value for name in wanted} == wanted

    until(known, what="the broker knows the settings")
    time.sleep(0.2)  # it applies them right after, and nothing tells when


def read(kafka: str, topic: str, *, at_least: int = 0, within: float = 60.0) -> list[Message]:
    """All committed records of a topic, waiting until there are `at_least` so many; ordered within partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"reader-{uuid.uuid4().hex}",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
    )
    found: list[Message] = []
    try:
        count = len(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
        at_end: set[int] = set()
        deadline = time.monotonic() + within
        while len(found) < at_least or len(at_end) < count:
            assert time.monotonic() < deadline, f"{len(found)} records in {topic}, {at_least} expected"
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    found.append(message)
                else:
                    at_end.add(message.partition())
    finally:
        consumer.close()
    return found


def sources(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Where each output came from, by its ``sg-source``: (partition, offset)."""
    found = []
    for message in messages:
        _, partition, offset = dict(message.headers())["sg-source"].decode().rsplit("/", 2)
        found.append((int(partition), int(offset)))
    return found


def assert_exactly_once(
    site: Site, count: int, *, partitions: int, bad: int = 0, within: float = 90.0
) -> None:
    """Each of the `count` inputs is on one of the outputs, once, and in order within its partition."""
    expected = {(n % partitions, n // partitions) for n in range(count)}
    try:
        clean = read(site.kafka, site.clean, at_least=count - bad, within=within)
        violations = read(site.kafka, site.violations, at_least=bad, within=within)
    except AssertionError as short:
        there = [
            source for topic in (site.clean, site.violations) for source in sources(read(site.kafka, topic))
        ]
        raise AssertionError(
            f"{short}; {len(there)} in all, {len(set(there))} different, missing {sorted(expected - set(there))[:20]}, "
            f"committed {site.committed(partitions)}"
        ) from None
    assert (len(clean), len(violations)) == (count - bad, bad), (
        f"{len(clean)} clean, {len(violations)} violations"
    )
    for outputs in (clean, violations):
        by_partition: dict[int, list[int]] = {}
        for partition, offset in sources(outputs):
            by_partition.setdefault(partition, []).append(offset)
        assert all(offsets == sorted(offsets) for offsets in by_partition.values())
    found = sources(clean) + sources(violations)
    assert len(found) == len(set(found))
    assert set(found) == expected
