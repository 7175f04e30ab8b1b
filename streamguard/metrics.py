"""Every Prometheus metric of StreamGuard, in one place.

Labels come from compiled policies, from Kafka's own vocabulary of errors and from the lists below, never from a record:
a label value is kept for the life of the process and is read by people who must not see personal data.

Counters count what was *committed*: a transaction that was aborted and done again is counted once. They are fed once
per transaction, so a record costs nothing here. Times are seconds, sizes are bytes.

With ``PROMETHEUS_MULTIPROC_DIR`` set (``streamguard run --processes N``) counters and histograms of the processes add
up; each gauge names below how it is put together.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Buckets that tell 5 ms (one commit on an idle broker) from the transaction timeout (15 s) and beyond.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
# A slice of 256 records takes about 2.5 ms.
_SLICE_SECONDS: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 5.0)

# -- What goes through -----------------------------------------------------------------------------------------------

RECORDS_IN: Final = Counter(
    "streamguard_records_in", "Records consumed whose outcome is committed.", ["policy"]
)
RECORDS_CLEAN: Final = Counter(
    "streamguard_records_clean", "Records published to the clean topic.", ["policy"]
)
VIOLATIONS: Final = Counter(
    "streamguard_violations", "Records published to the violations topic, by the code of their first error.",
    ["policy", "code"],
)  # fmt: skip
BYTES_IN: Final = Counter("streamguard_bytes_in", "Keys and values consumed.", ["policy"])
BYTES_OUT: Final = Counter(
    "streamguard_bytes_out", "Keys and values published, before compression.", ["policy"]
)

# -- How long it takes -----------------------------------------------------------------------------------------------

GUARD_SECONDS: Final = Histogram(
    "streamguard_guard_seconds", "Time of the guard for one slice of at most 256 records.", ["policy"],
    buckets=_SLICE_SECONDS,
)  # fmt: skip
BATCH_SECONDS: Final = Histogram(
    "streamguard_batch_seconds", "From the first record of a transaction read to its commit acknowledged.", ["policy"],
    buckets=_SECONDS,
)  # fmt: skip
COMMIT_SECONDS: Final = Histogram(
    "streamguard_commit_seconds", "Flushing the outputs, adding the offsets and committing.", ["policy"],
    buckets=_SECONDS,
)  # fmt: skip
END_TO_END_SECONDS: Final = Histogram(
    "streamguard_end_to_end_seconds",
    "From the timestamp of a transaction's oldest record to its commit: the worst record, one observation each.",
    ["policy"],
    buckets=_SECONDS,
)

# -- What went wrong and was put right -------------------------------------------------------------------------------

ABORTS: Final = Counter(
    "streamguard_aborts",
    "Transactions aborted, to be done again, by reason (see streams/lane.py).",
    ["policy", "reason"],
)
FENCES: Final = Counter(
    "streamguard_fences", "Times that another producer took over the lane's slot.", ["policy"]
)
REBALANCES: Final = Counter(
    "streamguard_rebalances", "Times that the group moved its partitions.", ["policy"]
)
KAFKA_ERRORS: Final = Counter(
    "streamguard_kafka_errors", "Errors that librdkafka reported, by its name for them.", ["policy", "code"]
)

# -- How it stands now -----------------------------------------------------------------------------------------------

LANE_RUNNING: Final = Gauge(
    "streamguard_lane_running", "Lanes of the policy that run, over all processes.", ["policy"],
    multiprocess_mode="livesum",
)  # fmt: skip
LANE_PAUSED: Final = Gauge(
    "streamguard_lane_paused", "Lanes of the policy that wait (for keys, for Kafka, for a person), over all processes.",
    ["policy"], multiprocess_mode="livesum",
)  # fmt: skip
PARTITIONS: Final = Gauge(
    "streamguard_partitions", "Source partitions assigned, over all processes.", ["policy"],
    multiprocess_mode="livesum",
)  # fmt: skip
LAG: Final = Gauge(
    "streamguard_lag_records", "Records (transaction markers included) not yet committed, over all partitions.",
    ["policy"], multiprocess_mode="livesum",
)  # fmt: skip
LAST_COMMIT: Final = Gauge(
    "streamguard_last_commit_timestamp_seconds", "When the policy's latest commit happened, in Unix time.", ["policy"],
    multiprocess_mode="livemax",
)  # fmt: skip

# -- The master key's service ----------------------------------------------------------------------------------------

KMS_SECONDS: Final = Histogram(
    "streamguard_kms_seconds",
    "Time of one request to the service of the master key; retries count apart, and what the cache answers is 0.",
    ["provider", "operation", "outcome"],  # wrap, unwrap, health; ok, refused, unavailable, cached
    buckets=_SECONDS,
)

# -- The Schema Registry ---------------------------------------------------------------------------------------------

REGISTRY_SECONDS: Final = Histogram(
    "streamguard_registry_seconds",
    "Time of one request to the Schema Registry; retries count apart, and what is known already is not asked for.",
    [
        "operation",
        "outcome",
    ],  # schema, references, latest, compatible, register, health; ok, refused, unavailable
    buckets=_SECONDS,
)

# -- Of the processes themselves -------------------------------------------------------------------------------------

RELOADS: Final = Counter(
    "streamguard_reloads", "Times that a process was told to read its policies anew: applied or refused.", ["outcome"]
)  # fmt: skip
RESTARTS: Final = Counter(
    "streamguard_process_restarts", "Times that a child process was started again (--processes).", ["slot"]
)


def observe_kms(provider: str, operation: str, outcome: str, seconds: float) -> None:
    """Count one request to the service of the master key."""
    KMS_SECONDS.labels(provider, operation, outcome).observe(seconds)


def observe_registry(operation: str, outcome: str, seconds: float) -> None:
    """Count one request to the Schema Registry."""
    REGISTRY_SECONDS.labels(operation, outcome).observe(seconds)


class LaneMetrics:
    """The metrics of one policy, their labels looked up once."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self.records_in = RECORDS_IN.labels(policy)
        self.records_clean = RECORDS_CLEAN.labels(policy)
        self.bytes_in = BYTES_IN.labels(policy)
        self.bytes_out = BYTES_OUT.labels(policy)
        self.guard_seconds = GUARD_SECONDS.labels(policy)
        self.batch_seconds = BATCH_SECONDS.labels(policy)
        self.commit_seconds = COMMIT_SECONDS.labels(policy)
        self.end_to_end_seconds = END_TO_END_SECONDS.labels(policy)
        self.fences = FENCES.labels(policy)
        self.rebalances = REBALANCES.labels(policy)
        self.running = LANE_RUNNING.labels(policy)
        self.paused = LANE_PAUSED.labels(policy)
        self.partitions = PARTITIONS.labels(policy)
        self.lag = LAG.labels(policy)
        self.last_commit = LAST_COMMIT.labels(policy)

    def violations(self, by_code: Tally[str]) -> None:
        """Add committed violations, by the code of their first error."""
        for code, count in by_code.items():
            VIOLATIONS.labels(self._policy, code).inc(count)

    def aborted(self, reason: str) -> None:
        """Count one aborted transaction."""
        ABORTS.labels(self._policy, reason).inc()

    def kafka_error(self, name: str) -> None:
        """Count one error of librdkafka, by its own name."""
        KAFKA_ERRORS.labels(self._policy, name).inc()
