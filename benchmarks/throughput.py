"""End to end on the real broker: every contender on the same topic, in turn, round after round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.broker import Broker
from benchmarks.contenders import COMMIT_MS, PYTHON, Contender, Peer, StreamGuard
from benchmarks.formats import Format, written
from benchmarks.records import orders
from benchmarks.series import Series, columns
from benchmarks.window import watch

EXACTLY_ONCE: Final = "StreamGuard, exactly once"
AT_LEAST_ONCE: Final = "StreamGuard, at least once"
AVRO: Final = "StreamGuard in Avro, exactly once"
PROTOBUF: Final = "StreamGuard in Protobuf, exactly once"
COPY: Final = "copy loop, at least once"
COPY_TRANSACTIONS: Final = "copy loop, exactly once"
FAUST: Final = "Faust agent, copy"
FAUST_GUARD: Final = "Faust agent, same guard"
QUIX: Final = "Quix Streams, same guard, exactly once"
QUIX_COPY: Final = "Quix Streams, copy, exactly once"

# The copy loop needs nothing but confluent-kafka, so it runs with the very client that we use.
_OURS: Final[tuple[Contender, ...]] = (
    StreamGuard(EXACTLY_ONCE),
    Peer(COPY, "copy_loop", python=PYTHON, commit_ms=COMMIT_MS),
    StreamGuard(AVRO, format="avro"),
    StreamGuard(PROTOBUF, format="protobuf"),
    StreamGuard(AT_LEAST_ONCE, delivery="at_least_once"),
    Peer(COPY_TRANSACTIONS, "copy_loop", exactly_once=True, python=PYTHON, commit_ms=COMMIT_MS),
)
_PEERS: Final[tuple[Contender, ...]] = (
    Peer(FAUST, "faust_agent"),
    Peer(QUIX, "quix", exactly_once=True, guard=True),
    Peer(FAUST_GUARD, "faust_agent", guard=True),
    Peer(QUIX_COPY, "quix", exactly_once=True),
)


def contenders(*, peers: bool, few: bool) -> tuple[Contender, ...]:
    """Ours and the copy loop, with `peers` the others too; `few` of each are those that ratios are made of."""
    ours, others = (4, 2) if few else (None, None)
    return _OURS[:ours] + (_PEERS[:others] if peers else ())


def measure(
    broker: Broker,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    records: int,
    seconds: float,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, dict[str, Series]]:
    """``{contender: {"rate": …, "cpu_us": …}}``: records a second, and microseconds of CPU a record."""
    values = orders(min(records, 20_000))
    sources: dict[Format, str] = {}
    for format_ in dict.fromkeys(contender.format for contender in contenders):
        say(f"throughput: filling a topic with {records:,} records in {format_}")
        sources[format_] = broker.create_topic("orders")
        broker.fill(sources[format_], written(values, format_), records)
    measured: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            say(f"throughput: round {number + 1} of {rounds}: {contender.name}")
            with contender.between(broker, sources[contender.format], folder) as running:
                speed = watch(running.program, running.progress.committed, total=records, seconds=seconds)
            measured[contender.name].append({"rate": speed.rate, "cpu_us": speed.cpu_us})
    broker.delete_topics(*sources.values())
    return {name: columns(figures) for name, figures in measured.items()}
