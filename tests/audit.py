"""Exactly once, held against what Kafka really has: every record of the source is looked for on both outputs.

`Audit` is given the source and then the outputs, record by record, and remembers what is wrong. It knows nothing of how
the service works. `audit` reads the three topics of a load, as a `read_committed` reader downstream would.
"""

import hashlib
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.load import PSEUDONYMS, SEALED, Headers, Load, Record
from tests.servers import unique

_OPENED_ONE_IN = 16  # records whose tokens are opened: each costs as much as protecting three records
_MOST_LISTED = 10  # problems of one kind that are told in full

Opener = Callable[[str, str], bytes]
"""Opens the encrypted original of a violation: token and violation id to what `streamguard` packed."""


class Audit:
    """The books of one proof. `topic` is the source, `policy` what ``sg-policy`` must say.

    `reveal` opens a token; `open_original` the original of a violation. Without them neither is opened.

    Call `source` for every record of the source, then `clean` and `violation` for every record of the outputs in the
    order of their partitions, then `close`; `problems` is then empty, or says what is wrong.
    """

    def __init__(
        self,
        topic: str,
        policy: str,
        load: Load,
        reveal: Callable[[str], Any] | None = None,
        open_original: Opener | None = None,
    ) -> None:
        self.topic = topic
        self.load = load
        self.counts: Counter[str] = Counter()
        self._policy = policy.encode()
        self._reveal = reveal
        self._open = open_original
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._problems: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        # By place in the source: the number of the record that stands there, and taken away once it was found.
        self._missing: dict[bytes, int] = {}
        self._found: dict[bytes, int] = {}
        # The last offset seen, by output, output partition and source partition.
        self._last: dict[tuple[str, int, int], int] = {}

    @property
    def problems(self) -> list[str]:
        """What is wrong, each kind with its number and some examples."""
        return [
            f"{kind} ({count}): {'; '.join(self._examples[kind])}"
            for kind, count in sorted(self._problems.items())
        ]

    def source(self, message: Message) -> None:
        """A record that must be accounted for."""
        self._missing[_place(message)] = self.load.number_at(message.timestamp()[1])
        self.counts["source"] += 1

    def clean(self, message: Message) -> None:
        """A record of the clean topic."""
        self.counts["clean"] += 1
        headers = message.headers() or []
        n, source = self._claim("clean", message, headers)
        if n is None:
            return
        fault = self.load.fault(n)
        if fault is not None:
            self._wrong("a bad record is on the clean topic", source, fault.name)
        if message.timestamp()[1] != self.load.start + n:
            self._wrong("another timestamp", source)
        if message.key() != self.load.key(n):
            self._wrong("another key", source)
        if headers != self.load.expected_headers(n, source, self._policy):
            self._wrong("other headers", source)
        value = message.value()
        if self.load.is_tombstone(n):
            if value is not None:
                self._wrong("a tombstone has a value", source)
        elif value is None or not self._is_protected(orjson.loads(value), n):
            self._wrong("another value", source)

    def violation(self, message: Message) -> None:
        """A record of the violations topic."""
        self.counts["violations"] += 1
        n, source = self._claim("violations", message, message.headers() or [])
        if n is None:
            return
        body = orjson.loads(message.value() or b"{}")
        codes = frozenset(error["code"] for error in body["errors"])
        fault = self.load.fault(n)
        if fault is None:
            self._wrong("a good record is on the violations topic", source, f"as {sorted(codes)}")
            return
        self.counts[fault.name] += 1
        if codes != fault.codes or body["code"] not in codes:
            self._wrong("another explanation", source, f"{fault.name}: {sorted(codes)}")
        topic, partition, offset = source.decode().split("/")
        if body["source"] != {
            "topic": topic, "partition": int(partition), "offset": int(offset), "timestamp": self.load.start + n
        }:  # fmt: skip
            self._wrong("another source", source)
        identity = hashlib.sha256(source).hexdigest()[:32]
        if body["id"] != identity or message.key() != identity.encode():
            self._wrong("another id", source)
        if self._open is not None and self._open(body["original"], identity) != packed(self.load.record(n)):
            self._wrong("another original", source)

    def close(self) -> None:
        """Everything was read: what was not found is missing."""
        for source in self._missing:
            self._wrong("on neither output", source)

    def _is_protected(self, order: dict[str, Any], n: int) -> bool:
        """Whether `order` is what has to become of order `n`."""
        was = self.load.order(n)["customer"]
        customer = order.get("customer", {})
        tokens = [customer.pop(name, "") for name in SEALED]
        pseudonyms = [customer.pop(name, "") for name in PSEUDONYMS]
        if order != self.load.protected(n):
            return False
        for name, pseudonym in zip(PSEUDONYMS, pseudonyms, strict=True):
            # Two tables of one name each way: a pseudonym of two values is as wrong as a value with two.
            if self._pseudonyms.setdefault((name, was[name]), pseudonym) != pseudonym:
                return False
            if self._pseudonyms.setdefault((f"{name} of", pseudonym), was[name]) != was[name]:
                return False
        if self._reveal is None or n % _OPENED_ONE_IN:
            return all(token.startswith("sg1.") for token in tokens)
        return [self._reveal(token) for token in tokens] == [was[name] for name in SEALED]

    def _claim(self, output: str, message: Message, headers: Headers) -> tuple[int | None, bytes]:
        """The number of the record that this is the outcome of; None when there is none to be claimed."""
        sources = [value or b"" for name, value in headers if name == "sg-source"]
        if len(sources) != 1:
            self._wrong("not one sg-source", _place(message))
            return None, b""
        source = sources[0]
        n = self._missing.pop(source, None)
        if n is None:
            self._wrong("twice" if source in self._found else "from nowhere", source, f"on {output}")
            return None, source
        self._found[source] = n
        self._check_order(output, message, source)
        return n, source

    def _check_order(self, output: str, message: Message, source: bytes) -> None:
        _, partition, offset = source.split(b"/")
        stream = (output, message.partition() or 0, int(partition))
        if int(offset) <= self._last.get(stream, -1):
            self._wrong("out of order", source, f"on {output}")
        self._last[stream] = int(offset)

    def _wrong(self, kind: str, source: bytes, detail: str = "") -> None:
        self._problems[kind] += 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _MOST_LISTED:
            examples.append(f"{source.decode(errors='replace')} {detail}".strip())


def _place(message: Message) -> bytes:
    return f"{message.topic()}/{message.partition()}/{message.offset()}".encode()


def packed(record: Record) -> bytes:
    """A record as a violation's original holds it (docs: the violation record)."""

    def text(data: bytes | None) -> str | None:
        return None if data is None else b64encode(data).decode()

    return orjson.dumps(
        {
            "key": text(record.key),
            "value": text(record.value),
            "headers": [[name, text(value)] for name, value in record.headers],
            "timestamp": record.timestamp,
        }
    )


def audit(
    bootstrap: str,
    topic: str,
    load: Load,
    *,
    policy: str,
    reveal: Callable[[str], Any] | None = None,
    open_original: Opener | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Audit:
    """Read source and outputs completely and close the books. `progress` is told of every thousand records."""
    books = Audit(topic, policy, load, reveal, open_original)
    read = 0
    for name, enter in (
        (topic, books.source),
        (f"{topic}.clean", books.clean),
        (f"{topic}.violations", books.violation),
    ):
        for message in messages(bootstrap, name):
            enter(message)
            read += 1
            if read % 1_000 == 0:
                progress(read)
    books.close()
    return books


def messages(
    bootstrap: str, topic: str, *, isolation: str = "read_committed", silence: float = 60.0
) -> Iterator[Message]:
    """Every message that a topic holds now, each partition in its order.

    Ends at the partitions' ends; with ``read_committed`` those are in front of the first open transaction. Raises
    TimeoutError after so many seconds of `silence`.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": unique("reader"),
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
    )
    try:
        open_ends = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in open_ends])
        deadline = time.monotonic() + silence
        while open_ends:
            for message in consumer.consume(5_000, timeout=0.2):
                deadline = time.monotonic() + silence
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
                else:
                    raise KafkaException(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} has nothing more to say, and its ends did not come")
    finally:
        consumer.close()
