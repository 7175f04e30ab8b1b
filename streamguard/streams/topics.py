"""Output topics: created like their source, and what they refuse.

A record that its output topic refuses dooms the transaction it is in, so a lane holds every record against the topic's
own settings first (`TopicSettings.screen`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported; the annotations do not say so
    AdminClient,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.fields import build
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy
from streamguard.policy.service import Service
from streamguard.streams.client import KafkaTrouble, admin_config, is_unreachable, trouble
from streamguard.transforms.base import KEY_PATH

_ANSWER_WITHIN: Final = 10.0  # seconds for the cluster to answer one question
_APPEAR_WITHIN: Final = 30.0  # seconds for a created topic to be known
REACHED_WITHIN: Final = 1.0
"""Seconds for the cluster to show that it is there."""

_COPIED: Final = (
    "cleanup.policy", "compression.type", "delete.retention.ms", "max.message.bytes", "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms", "min.compaction.lag.ms", "retention.bytes", "retention.ms",
)  # fmt: skip
"""What an output inherits where the source sets it explicitly; the cluster's defaults hold for both anyway."""

# A batch's own header is 61 bytes (KIP-98, message format 2); each record adds at most 5 + 1 + 10 + 5 + 5 + 5 + 5 of
# lengths and deltas, each header 10 of lengths.
_BATCH_BYTES: Final = 61
_RECORD_BYTES: Final = 36
_HEADER_BYTES: Final = 10
_OWN_HEADERS_BYTES: Final = 600  # sg-source and sg-policy at their longest

TOO_LARGE: Final = Finding(
    "produce.too_large", "produce", "the protected record is larger than the clean topic's max.message.bytes"
)
NO_KEY: Final = Finding(
    "produce.no_key", "produce", "the record has no key, and the clean topic is compacted"
)
TIMESTAMP: Final = Finding(
    "produce.timestamp", "produce", "the record's timestamp is outside what the clean topic accepts"
)
REFUSED: Final[Mapping[str, Finding]] = {
    "too_large": TOO_LARGE,
    "timestamp": TIMESTAMP,
    "invalid": Finding("produce.invalid", "produce", "the broker refuses the protected record as invalid"),
    "forbidden": Finding(
        "produce.forbidden", "produce", "a policy of the broker refuses the protected record"
    ),
}
"""Findings for records that a broker refused in spite of everything, by `delivery.REFUSALS`."""


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """What a topic accepts. Times are milliseconds; the defaults are Apache Kafka's."""

    partitions: int
    max_message_bytes: int = 1_048_588
    compacted: bool = False
    after_max_ms: int = 3_600_000
    before_max_ms: int = 2**63 - 1
    keeps_timestamps: bool = True

    def screen(self, batch: Batch) -> int:
        """Reject the live rows that the topic would refuse; returns the bytes of keys and values of the rest.

        Almost always one look at the slice's sums decides that nothing can be wrong with any of its rows.
        """
        if self.compacted and None in batch.out_keys:
            batch.reject_all([row for row in batch.live if batch.out_keys[row] is None], NO_KEY)
        if self.keeps_timestamps:
            self._screen_timestamps(batch)
        batch.refresh()
        size = _payload_bytes(batch)
        if size + _slack(batch) > self.max_message_bytes:
            batch.reject_all(
                [row for row in batch.live if record_bytes(batch, row) > self.max_message_bytes], TOO_LARGE
            )
            batch.refresh()
            size = _payload_bytes(batch)
        return size

    def _screen_timestamps(self, batch: Batch) -> None:
        now = int(time.time() * 1000)
        # Half a minute early: the broker's clock decides, and the record is on its way for a while.
        latest, earliest = now + self.after_max_ms - 30_000, now - self.before_max_ms + 30_000
        times = batch.out_timestamps
        if max(times) > latest or (min(times) < earliest and earliest > 0):
            batch.reject_all(
                [row for row in batch.live if times[row] > latest or 0 < times[row] < earliest], TIMESTAMP
            )


def record_bytes(batch: Batch, row: int) -> int:
    """What a row's output takes alone in a batch, before compression, at most."""
    value, key = batch.out_values[row], batch.out_keys[row]
    headers = sum(
        len(name.encode()) + len(data or b"") + _HEADER_BYTES for name, data in batch.out_headers[row]
    )
    return _BATCH_BYTES + _RECORD_BYTES + len(value or b"") + len(key or b"") + headers


def _payload_bytes(batch: Batch) -> int:
    columns: tuple[list[bytes | None], ...] = (batch.out_values, batch.out_keys)
    if batch.findings:
        columns = tuple([column[row] for row in batch.live] for column in columns)
    return sum(sum(map(len, filter(None, column))) for column in columns)


def _slack(batch: Batch) -> int:
    """The most that headers and framing of all rows together can add."""
    passed = 0
    if any(batch.headers):
        passed = sum(
            len(name.encode()) + len(data or b"") + _HEADER_BYTES
            for headers in batch.out_headers
            for name, data in headers
        )
    return _BATCH_BYTES + len(batch.values) * (_RECORD_BYTES + _OWN_HEADERS_BYTES) + passed


# -- Asking the cluster ----------------------------------------------------------------------------------------------


class Cluster:
    """One short conversation with the cluster, each question to be answered `within` so many seconds.

    Its errors are `KafkaTrouble`, each with its remedy.
    """

    def __init__(self, service: Service, within: float = _ANSWER_WITHIN) -> None:
        self._service = service
        self._within = within
        # No method of ours: a client that refers back to us would live, threads and all, until cycles are collected.
        self._seen: list[KafkaError] = []
        self._admin = AdminClient(admin_config(service, self._seen.append), logger=logs.librdkafka())

    def partition_counts(self) -> dict[str, int]:
        """The topics that exist, with their numbers of partitions."""
        topics = self._metadata().topics
        return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}

    def configs(self, topics: Iterable[str]) -> dict[str, dict[str, ConfigEntry]]:
        """The topics' settings by name; empty for a topic whose settings we may not read."""
        found: dict[str, dict[str, ConfigEntry]] = {topic: {} for topic in topics}
        if self._is_mock():
            return found
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in found]
        for resource, answer in self._admin.describe_configs(resources, request_timeout=self._within).items():
            try:
                found[resource.name] = answer.result()
            except KafkaException as problem:
                error: KafkaError = problem.args[0]
                if error.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise trouble(error, self._service, resource.name) from None
        return found

    def _is_mock(self) -> bool:
        """Whether this is librdkafka's mock cluster (``streamguard demo``), which does not answer about settings."""
        return str(self._metadata().cluster_id).startswith("mockCluster")

    def _metadata(self) -> ClusterMetadata:
        try:
            return self._admin.list_topics(timeout=self._within)
        except KafkaException as problem:
            self._admin.poll(0)
            # A broker that refuses us looks like one that is not there; the callback knows the difference.
            refusals = [error for error in self._seen if not is_unreachable(error)]
            raise trouble([*refusals, *self._seen, problem.args[0]][0], self._service) from None

    def settings(self, topics: Sequence[str]) -> dict[str, TopicSettings]:
        """What the topics accept. Raises KafkaTrouble when one does not exist."""
        counts = self.partition_counts()
        for topic in topics:
            if topic not in counts:
                raise trouble(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), self._service, topic)
        configs = self.configs(topics)
        return {topic: _settings(counts[topic], configs[topic]) for topic in topics}

    def members(self, group: str) -> list[tuple[str, str]]:
        """The members of a consumer group: the client id and the host of each, as the brokers see them."""
        # librdkafka may abort the process when a coordinator comes back after this question was given up (its issue
        # 4605): it is asked only where somebody answers.
        self._metadata()
        answer = self._admin.describe_consumer_groups([group], request_timeout=self._within)[group]
        try:
            return [(member.client_id, member.host) for member in answer.result().members]
        except KafkaException as problem:
            raise trouble(problem.args[0], self._service, group) from None

    def create(self, topics: Sequence[NewTopic]) -> None:
        """Create topics and wait until they are known. One that appears meanwhile is fine."""
        answers: dict[str, Future[None]] = self._admin.create_topics(
            list(topics), request_timeout=self._within
        )
        for topic, answer in answers.items():
            try:
                answer.result()
            except KafkaException as problem:
                error: KafkaError = problem.args[0]
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._not_created(error, topic) from None
        deadline = time.monotonic() + _APPEAR_WITHIN
        while missing := answers.keys() - self.partition_counts().keys():
            if time.monotonic() > deadline:
                raise KafkaTrouble(
                    "unknown_topic_or_part",
                    f"The topic '{min(missing)}' was created but is not there after {_APPEAR_WITHIN:.0f} s.",
                    "Look into the broker's log.",
                )
            time.sleep(0.1)

    def _not_created(self, error: KafkaError, topic: str) -> KafkaTrouble:
        if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
            return KafkaTrouble(
                "invalid_replication_factor",
                f"The topic '{topic}' cannot be created: there are fewer brokers than copies asked for.",
                "Lower 'topics.replication' in the service file, or add brokers.",
            )
        if error.code() in {KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG}:
            return KafkaTrouble(
                error.name().lower(),
                f"The cluster's policy does not allow the topic '{topic}' as we would make it.",
                "Create it yourself, and set 'topics.create: false'.",
            )
        return trouble(error, self._service, topic)


def is_there(service: Service) -> bool:
    """Whether the cluster answers a client that is made for this question."""
    try:
        Cluster(service, within=REACHED_WITHIN).partition_counts()
    except KafkaTrouble:
        return False
    return True


def _settings(partitions: int, config: Mapping[str, ConfigEntry]) -> TopicSettings:
    def number(name: str, otherwise: int) -> int:
        return int(config[name].value or otherwise) if name in config else otherwise

    def word(name: str) -> str:
        return str(config[name].value) if name in config else ""

    default = TopicSettings(partitions)
    return TopicSettings(
        partitions,
        number("max.message.bytes", default.max_message_bytes),
        "compact" in word("cleanup.policy"),
        number("message.timestamp.after.max.ms", default.after_max_ms),
        number("message.timestamp.before.max.ms", default.before_max_ms),
        word("message.timestamp.type") != "LogAppendTime",
    )


# -- Before a service starts -----------------------------------------------------------------------------------------

_log = logs.get(__name__)


def preflight(service: Service, policies: Sequence[Policy]) -> None:
    """See that everything the lanes need is there, and make the outputs that are not.

    Raises KafkaTrouble (no broker, refused credentials, a missing source, something not allowed) or ConfigError (a
    policy that cannot work on these topics), each a paragraph with its remedy.
    """
    for policy in policies:
        _check_interval(service, policy)
    cluster = Cluster(service)
    create_outputs(service, policies, cluster)
    outputs = [
        (policy, topic) for policy in policies for topic in (policy.clean_topic, policy.violations_topic)
    ]
    settings = cluster.settings([topic for _, topic in outputs])
    for policy, topic in outputs:
        if not settings[topic].keeps_timestamps:
            _log.warning(
                "topic.timestamps_replaced", policy=policy.name, topic=topic, setting="LogAppendTime"
            )


def create_outputs(service: Service, policies: Sequence[Policy], cluster: Cluster) -> list[str]:
    """Create the outputs that do not exist, like their sources; returns their names.

    None is made before all policies are seen to work on their topics. Raises as `preflight` does.
    """
    counts = cluster.partition_counts()
    for policy in policies:
        if policy.topic not in counts:
            raise KafkaTrouble(
                "unknown_topic_or_part",
                f"The topic '{policy.topic}' of policy '{policy.name}' does not exist.",
                "Create it, or mend 'topic' in the policy; and check that the service's user may describe it.",
            )
    # One that is to be made will be like its source.
    models = [policy.clean_topic if policy.clean_topic in counts else policy.topic for policy in policies]
    settings = cluster.settings(models)
    for policy, model in zip(policies, models, strict=True):
        if settings[model].compacted:
            _check_key(policy)
    return [topic for policy in policies for topic in _create(service, cluster, policy, counts)]


def _create(service: Service, cluster: Cluster, policy: Policy, counts: Mapping[str, int]) -> list[str]:
    missing = [topic for topic in (policy.clean_topic, policy.violations_topic) if topic not in counts]
    if not missing:
        return []
    if not service.topics.create:
        raise KafkaTrouble(
            "unknown_topic_or_part",
            f"The output topic '{missing[0]}' of policy '{policy.name}' does not exist.",
            f"Create it with {counts[policy.topic]} partitions, or set 'topics.create: true' in the service file.",
        )
    source = cluster.configs([policy.topic])[policy.topic]
    cluster.create(
        [
            NewTopic(
                topic,
                counts[policy.topic],
                service.topics.replication or -1,
                config=_config_of_output(service, source, violations=topic == policy.violations_topic),
            )
            for topic in missing
        ]
    )
    for topic in missing:
        _log.info("topic.created", policy=policy.name, topic=topic, partitions=counts[policy.topic])
    return missing


def _config_of_output(
    service: Service, source: Mapping[str, ConfigEntry], *, violations: bool
) -> dict[str, str]:
    config = {
        name: str(source[name].value)
        for name in _COPIED
        if name in source and ConfigSource(source[name].source) is ConfigSource.DYNAMIC_TOPIC_CONFIG
    }
    config["message.timestamp.type"] = "CreateTime"
    if violations:
        # Each violation has a key of its own, so compaction would keep them for ever.
        config["cleanup.policy"] = "delete"
    if service.topics.min_insync_replicas:
        config["min.insync.replicas"] = str(service.topics.min_insync_replicas)
    return config


def _check_interval(service: Service, policy: Policy) -> None:
    most = service.transaction_timeout_ms // 3
    if policy.delivery == "exactly_once" and policy.commit_interval_ms > most:
        raise ConfigError(
            f"Policy '{policy.name}': commit_interval_ms is {policy.commit_interval_ms}, more than a third of the "
            f"transaction timeout ({service.transaction_timeout_ms} ms): slow commits would be cut off.",
            f"Write at most {most}, or raise 'transaction_timeout_ms' in the service file.",
        )


def _check_key(policy: Policy) -> None:
    """What a compacted clean topic asks of keys."""
    if _key_changes(policy):
        raise ConfigError(
            f"Policy '{policy.name}': the topic '{policy.clean_topic}' is compacted, and 'key: "
            f"{policy.key.verb}' makes equal keys differ: nothing would be compacted, and tombstones would delete "
            "nothing.",
            "Use 'keep', 'tokenize' or 'encrypt: {deterministic: true}' for the key.",
        )
    if policy.key.verb == "drop":
        raise ConfigError(
            f"Policy '{policy.name}': the topic '{policy.clean_topic}' is compacted and refuses records without a key.",
            "Use 'keep', 'tokenize' or 'encrypt: {deterministic: true}' for the key.",
        )


def _key_changes(policy: Policy) -> bool:
    """Whether equal keys come out different. `keep` and `drop` are no transforms."""
    if policy.key.verb in {"keep", "drop"}:
        return False
    transform: Any = build(policy, policy.key, KEY_PATH, Keyring.in_memory())
    return not transform.deterministic
