"""The control agent: what every process of a group is told while it runs, through the topic ``<group>.control``.

A message is JSON with a command, ``{"command": "pause", "policy": "orders"}``; its key is the policy, or ``*``
where there is none. The topic is compacted, so it always holds the last word on each policy, and a pause lasts until
its resume: a process that starts meanwhile finds it here (`recover`) before its lanes do anything.

Each process has a consumer group of its own and so hears every message. Faust acknowledges a message whose agent
raised; nothing is lost by that here, because a command that failed was logged and can be sent again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import faust
import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from streamguard import logs
from streamguard.errors import ConfigError
from streamguard.policy.service import Service
from streamguard.streams.client import admin_config, trouble
from streamguard.streams.topics import Cluster

log = logs.get(__name__)

Verb = Literal["reload", "pause", "resume"]

# Waiting does not help; anything else that a broker answers may pass.
_REFUSED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
_MOST_BYTES: Final = 10_000
_POLICY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `policy` names what is to be paused or resumed; ``reload`` is for all policies and has none."""

    verb: Verb
    policy: str | None = None

    @property
    def key(self) -> bytes:
        """The message's key: compaction keeps the last command of each. No policy is named ``*``."""
        return (self.policy or "*").encode()

    def encode(self) -> bytes:
        """The message's value."""
        fields = {"command": self.verb} | ({"policy": self.policy} if self.policy else {})
        return orjson.dumps(fields)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the control topic says when a process starts.

    `paused` are policies; `positions` gives, by partition, the first offset that is not accounted for in it.
    """

    paused: frozenset[str] = frozenset()
    positions: Mapping[int, int] = field(default_factory=dict)


def topic_of(group: str) -> str:
    """The control topic of the processes that share `group` in their service files."""
    return f"{group}.control"


def parse(value: bytes | None) -> Command:
    """Read a message. Raises ValueError with a code of ours for the log."""
    if value is None or len(value) > _MOST_BYTES:
        raise ValueError("size")
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("not_json") from None
    if not isinstance(fields, dict) or not fields.keys() <= {"command", "policy"}:
        raise ValueError("unknown_fields")
    verb, policy = fields.get("command"), fields.get("policy")
    if verb == "reload" and policy is None:
        return Command("reload")
    if verb in ("pause", "resume") and isinstance(policy, str) and _POLICY.fullmatch(policy):
        return Command(verb, policy)
    raise ValueError("unknown_command")


def send(service: Service, command: Command, *, within: float = 15.0) -> None:
    """Publish a command, and wait until all in-sync replicas have it. Raises KafkaTrouble."""
    failures: list[KafkaError] = []

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    topic = topic_of(service.group)
    counts = Cluster(service).partition_counts()  # tells a broker that is away from one that refuses us
    if topic not in counts:
        raise trouble(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), service, topic)
    settings = {**admin_config(service), "acks": "all", "message.timeout.ms": int(within * 1000)}
    producer = Producer(settings, logger=logs.librdkafka())
    producer.produce(topic, command.encode(), command.key, on_delivery=note)
    producer.flush(within + 1)
    if failures:
        raise trouble(failures[0], service, topic)


def add_control_agent(
    app: faust.App, topic: str, since: Mapping[int, int], carry_out: Callable[[Command, int], Awaitable[None]]
) -> None:
    """Have `carry_out(command, offset)` called for every command from the offsets `since` on."""

    async def control(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            if message.offset >= since.get(message.partition, 0):
                await _carry_out(event.value, message.offset, carry_out)

    app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"), name="control")(control)


async def _carry_out(
    value: bytes | None, offset: int, carry_out: Callable[[Command, int], Awaitable[None]]
) -> None:
    """Nothing that goes wrong with one message may end the agent, or, with it, the Faust app and the lanes."""
    try:
        command = parse(value)
    except ValueError as reason:
        log.warning("control.not_understood", offset=offset, reason=str(reason))
        return
    log.info("control.command", command=command.verb, policy=command.policy, offset=offset)
    try:
        await carry_out(command, offset)
    except Exception as error:  # noqa: BLE001 - whatever it is
        log.error("control.failed", command=command.verb, policy=command.policy, offset=offset, error=error)


def recover(service: Service, *, within: float = 15.0) -> Standing:
    """Read the whole control topic. Raises ConfigError when that cannot be done `within` so many seconds."""
    topic = topic_of(service.group)
    settings = {
        **admin_config(service),
        "group.id": f"{topic}.recovery",  # librdkafka asks for one; nothing is committed under it
        "enable.auto.commit": "false",
        "enable.partition.eof": "true",
    }
    consumer = Consumer(settings, logger=logs.librdkafka())
    try:
        return _read_to_the_end(consumer, topic, time.monotonic() + within)
    except (KafkaException, TimeoutError):
        raise ConfigError(
            f"The control topic '{topic}' cannot be read.",
            "Check that it exists and that this service may describe and read it, and the group of the same prefix.",
        ) from None
    finally:
        consumer.close()


def _read_to_the_end(consumer: Consumer, topic: str, until: float) -> Standing:
    found = consumer.list_topics(topic, timeout=max(0.1, until - time.monotonic())).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    pending = set(found.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in pending])
    paused: dict[str, bool] = {}
    positions: dict[int, int] = {}
    while pending:
        if time.monotonic() > until:
            raise TimeoutError
        for message in consumer.consume(500, timeout=0.2):
            error, partition, offset = message.error(), message.partition(), message.offset()
            if error is None:
                _note(message.value(), paused)
            elif error.code() in _REFUSED:
                raise KafkaException(error)
            elif error.code() == KafkaError._PARTITION_EOF and partition is not None and offset is not None:  # noqa: SLF001
                positions[partition] = offset
                pending.discard(partition)
    return Standing(frozenset(policy for policy, is_paused in paused.items() if is_paused), positions)


def _note(value: bytes | None, paused: dict[str, bool]) -> None:
    try:
        command = parse(value)
    except ValueError:
        return  # the agents that ran at that time have logged it
    if command.policy is not None:
        paused[command.policy] = command.verb == "pause"
