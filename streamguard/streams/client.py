"""librdkafka's clients: their settings, their logs, and what their errors mean to people.

The properties under ``kafka:`` go to every client as written. What carries a guarantee of ours is set here, last, so
that nothing can override it.
"""

# ruff: noqa: SLF001 - librdkafka's own errors begin with an underscore, and are as public as the broker's

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError

from streamguard.errors import StreamGuardError
from streamguard.policy.service import Service

# librdkafka warns about each property that the other kind of client would take.
_CONSUMER_ONLY: Final = ("fetch.", "max.partition.fetch.", "max.poll.", "queued.", "check.crcs", "heartbeat.")
_PRODUCER_ONLY: Final = (
    "batch.", "compression.", "delivery.timeout.", "linger.ms", "message.timeout.ms", "queue.buffering.",
    "queuing.strategy", "retries", "message.send.max.retries", "sticky.partitioning.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A process's name in the fleet. Two processes never share one.

    A `permanent` slot was given by people (``--slot``, a StatefulSet's ordinal) and outlives the process: its restart
    gets the same partitions back at once, without waiting for the session timeout (KIP-345).
    """

    name: str
    permanent: bool = False


class KafkaTrouble(StreamGuardError):
    """Kafka does not answer, or refuses us. `code` is librdkafka's name for it."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.code = code

    @property
    def transient(self) -> bool:
        """True when nothing answered: waiting may mend it."""
        return self.code in _TRANSIENT


def group_id(service: Service, policy: str) -> str:
    """The consumer group of a policy: one each, so that lag is readable per topic."""
    return f"{service.group}.{policy}"


def consumer_config(service: Service, policy: str, slot: Slot) -> dict[str, Any]:
    """Settings of a lane's consumer: positions come from committed offsets alone, nothing is ever reset silently."""
    config: dict[str, Any] = {
        # A fetch that waits for data delays the first one after a rewind by as long (measured: 0.5 s, the default).
        "fetch.wait.max.ms": 100,
        # Read-ahead per lane, in memory.
        "queued.max.messages.kbytes": 32_768,
        # How long nothing is fetched once it is full. In a second, the default, a lane takes more than that and stands
        # still for the rest (measured: 67,000 instead of 103,000 records a second).
        "fetch.queue.backoff.ms": 100,
    }
    config |= _without(service.kafka, _PRODUCER_ONLY)
    config |= {
        "client.id": _client_id(service, policy, slot),
        "group.id": group_id(service, policy),
        # The rebalance callbacks count on the classic protocol's full stop: abort, give all back, begin anew.
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": service.session_timeout_ms,
        "heartbeat.interval.ms": min(3_000, service.session_timeout_ms // 3),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        # The end of a partition is an event: it tells the position behind transaction markers, so that lag reads 0.
        "enable.partition.eof": True,
    }
    if slot.permanent:
        config["group.instance.id"] = f"{group_id(service, policy)}.{slot.name}"
    return config


def producer_config(service: Service, policy: str, slot: Slot) -> dict[str, Any]:
    """Settings of a lane's producer, idempotent; `transactional` adds what transactions need."""
    config: dict[str, Any] = {
        # A commit flushes, so waiting for fuller requests costs no latency and saves work on both sides.
        "linger.ms": 50,
        "queue.buffering.max.kbytes": 131_072,
    }
    config |= _without(service.kafka, _CONSUMER_ONLY)
    config |= {
        "client.id": _client_id(service, policy, slot),
        "acks": "all",
        "enable.idempotence": True,
        # Python is called for records that failed, and not at all for the others.
        "delivery.report.only.error": True,
    }
    return config


def transactional(config: Mapping[str, Any], service: Service, policy: str, slot: Slot) -> dict[str, Any]:
    """A producer's settings with transactions. A restarted slot has the same id, and fences its own past."""
    timeout = service.transaction_timeout_ms
    return {
        **config,
        "transactional.id": f"{group_id(service, policy)}.{slot.name}",
        "transaction.timeout.ms": timeout,
        "message.timeout.ms": timeout,
        # librdkafka's default is longer, and it refuses more than the transaction may last.
        "socket.timeout.ms": min(int(config.get("socket.timeout.ms", timeout)), timeout),
    }


def admin_config(service: Service, on_error: Callable[[KafkaError], None] | None = None) -> dict[str, Any]:
    """Settings of a client that asks and creates, and then goes away."""
    config = _without(service.kafka, (*_CONSUMER_ONLY, *_PRODUCER_ONLY))
    config.setdefault("client.id", "streamguard")
    return config | ({"error_cb": on_error} if on_error else {})


def _client_id(service: Service, policy: str, slot: Slot) -> str:
    return service.kafka.get("client.id", f"streamguard-{policy}-{slot.name}")


def _without(properties: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if not name.startswith(prefixes)}


# -- Errors ----------------------------------------------------------------------------------------------------------


def code_of(error: KafkaError) -> str:
    """The client library's name of an error, as our logs and metrics write it: ``offset_out_of_range``."""
    return error.name().strip("_").lower()


END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
NO_POSITION: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
"""There is no committed offset, or the record it names is gone."""

FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
"""Another producer took over our transactional id, or the coordinator ended our transaction at its timeout."""

OUSTED: Final = frozenset({KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID})
"""The group threw the consumer out, for one that joined with the same ``group.instance.id``."""

PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""What became of records whose transaction was aborted."""

REFUSALS: Final[Mapping[int, str]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: "too_large",
    KafkaError.RECORD_LIST_TOO_LARGE: "too_large",
    KafkaError.INVALID_TIMESTAMP: "timestamp",
    KafkaError.INVALID_RECORD: "invalid",
    KafkaError.INVALID_MSG: "invalid",
    KafkaError.POLICY_VIOLATION: "forbidden",
}
"""Errors with which a broker refuses a record for what it is. Sending it again would end the same way."""

_UNREACHABLE: Final = frozenset(
    {
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
    }
)
_CREDENTIALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_TLS: Final = KafkaError._SSL
_NO_TOPIC: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
_NOT_ALLOWED: Final[Mapping[int, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster (IdempotentWrite, Create)",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the transactional id",
}
CONNECTION: Final = _UNREACHABLE | _CREDENTIALS | {_TLS}
"""No broker can be talked to."""

_STARTING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
_TRANSIENT: Final = frozenset(code_of(KafkaError(code)) for code in _UNREACHABLE | _STARTING)

FINAL: Final = frozenset({*_NOT_ALLOWED, *_NO_TOPIC})
"""Errors that waiting does not mend: a person has to."""


def is_fatal(error: KafkaError) -> bool:
    """True when the client that met this error is of no more use. A consumer's says so by its code alone (2.16)."""
    return error.fatal() or error.code() == KafkaError._FATAL


def is_unreachable(error: KafkaError) -> bool:
    """True when no broker answered: librdkafka says so of one that refused us as well, a moment later."""
    return error.code() in _UNREACHABLE


def trouble(error: KafkaError, service: Service, about: str = "") -> KafkaTrouble:
    """What an error of librdkafka means, in our words; `about` names the topic or group it is about.

    The library's own sentence is left out: it quotes whatever it was given, host names and file paths among it.
    """
    code, name = error.code(), code_of(error)
    servers = service.kafka["bootstrap.servers"]
    what = f" '{about}'" if about else ""
    if code in _UNREACHABLE:
        return KafkaTrouble(
            name,
            f"No Kafka broker answers at {servers}.",
            "Check 'bootstrap.servers', that the broker runs and can be reached from here, and that "
            "'security.protocol' is the one of that port.",
        )
    if code in _CREDENTIALS:
        return KafkaTrouble(
            name,
            f"The broker at {servers} refuses the credentials.",
            "Check 'sasl.mechanism', 'sasl.username' and 'sasl.password', and the environment variables they "
            "come from.",
        )
    if code == _TLS:
        return KafkaTrouble(
            name,
            f"No TLS connection to {servers} could be made.",
            "Check 'ssl.ca.location' and the certificate's host name and dates.",
        )
    if code in _NOT_ALLOWED:
        return KafkaTrouble(
            name,
            f"Kafka does not allow us what we need on {_NOT_ALLOWED[code]}{what}.",
            "Give the service's user: Read and Describe on the source topic and the group, Write, Describe and "
            "DescribeConfigs on the outputs, Write and Describe on the transactional id.",
        )
    if code in _NO_TOPIC:
        return KafkaTrouble(
            name, f"The topic{what} does not exist.", "Create it, or mend the name in the policy."
        )
    return KafkaTrouble(name, f"Kafka answered with an error: {name}.", "Look it up in the broker's log.")
