"""The load of the big proofs: orders of which one in nineteen is bad, in thirteen ways.

Everything about a record follows from its number, which its timestamp carries (`Load.start` + number). So whoever reads
a record anywhere, in the source or in an output, knows what it was and what has to become of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Producer

BAD_ONE_IN = 19
CLEAN_MAX_MESSAGE_BYTES = 65_536
"""For the clean topic: the record that is "too large" comes out larger, and each other one much smaller."""

Headers = list[tuple[str, bytes | None]]

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["number", "customer", "payment", "items"],
    "properties": {
        "number": {"type": "integer", "minimum": 0},
        "customer": {
            "type": "object",
            "additionalProperties": False,
            "required": ["id", "email"],
            "properties": {
                "id": {"type": "string", "pattern": "^C[0-9]{8}$"},
                "name": {"type": "string", "minLength": 1},
                "email": {"type": "string", "format": "email"},
                "ssn": {"type": "string"},
                "born": {"type": "string", "format": "date"},
            },
        },
        "payment": {
            "type": "object",
            "additionalProperties": False,
            "required": ["amount", "currency"],
            "properties": {
                "card": {"type": "string", "pattern": "^[0-9]{16}$"},
                "amount": {"type": "number"},
                "currency": {"enum": ["EUR", "USD", "CHF"]},
            },
        },
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["sku", "quantity"],
                "properties": {
                    "sku": {"type": "string"},
                    "quantity": {"type": "integer", "minimum": 1},
                    "gift_note": {"type": "string"},
                },
            },
        },
        "address": {"type": "string"},
        "photo": {"type": "string"},
        "note": {"type": "string"},
    },
}

POLICY = """\
topic: %(topic)s
value: {format: json, schema: orders.schema.json}
key: keep
headers: [traceparent]
timestamp: keep
quarantine: {retain: 14d}
clean:
  payment.currency: [upper]
fields:
  customer.id:        tokenize
  customer.name:      encrypt
  customer.email:     {encrypt: {deterministic: true}, element: email}
  customer.ssn:       hash
  customer.born:      {generalize: {date: year}}
  payment.card:       {mask: {keep_last: 4}}
  items[*].gift_note: redact
  address:            {generalize: {ip: 24}}
  photo:              encrypt
keep: [number, payment.amount, payment.currency, "items[*].sku", "items[*].quantity", note]
quality:
  - {rule: payment.amount >= 0.0, code: negative_amount}
"""
"""The policy file; `policy_text` fills in the topic."""

SEALED = ("name", "email")
"""The fields of `customer` that become tokens."""

PSEUDONYMS = ("id", "ssn")
"""The fields of `customer` that become pseudonyms: equal where they were equal, and different elsewhere."""


def policy_text(topic: str) -> str:
    """The policy of the load, for one topic."""
    return POLICY % {"topic": topic}


@dataclass(frozen=True, slots=True)
class Record:
    """What is produced: number `n` of a load, with everything Kafka takes."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of being bad: how a good order is spoiled, and the codes of all errors that this makes."""

    name: str
    codes: frozenset[str]
    spoil: Callable[[dict[str, Any]], bytes] = field(compare=False)


def _edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], bytes]:
    def spoil(order: dict[str, Any]) -> bytes:
        edit(order)
        return orjson.dumps(order)

    return spoil


def _without_email_and_amount_as_text(order: dict[str, Any]) -> None:
    del order["customer"]["email"]
    order["payment"]["amount"] = str(order["payment"]["amount"])


def _deep(order: dict[str, Any]) -> bytes:
    order["note"] = "NEST"
    return orjson.dumps(order).replace(b'"NEST"', b"[" * 90 + b"]" * 90)


def _wide_number(order: dict[str, Any]) -> bytes:
    order["number"] = "WIDE"
    return orjson.dumps(order).replace(b'"WIDE"', b"9" * 30)


# Thirteen, a prime that does not divide the one in nineteen: so every fault meets every partition.
FAULTS = (
    Fault("truncated", frozenset({"decode.json"}), lambda order: orjson.dumps(order)[:-9]),
    Fault(
        "not UTF-8",
        frozenset({"decode.json"}),
        lambda order: orjson.dumps(order).replace(b"SKU", b"\xff\xfe"),
    ),
    Fault("empty", frozenset({"decode.empty"}), lambda _: b""),
    Fault("too deep", frozenset({"decode.depth"}), _deep),
    Fault("number too wide", frozenset({"decode.number"}), _wide_number),
    Fault(
        "field missing and wrong type",
        frozenset({"schema.required", "schema.type"}),
        _edited(_without_email_and_amount_as_text),
    ),
    Fault(
        "undeclared field",
        frozenset({"schema.undeclared"}),
        _edited(lambda order: order.update(nickname="Ana")),
    ),
    Fault(
        "wrong format",
        frozenset({"schema.format"}),
        _edited(lambda order: order["customer"].update(email="ana")),
    ),
    Fault(
        "wrong pattern",
        frozenset({"schema.pattern"}),
        _edited(lambda order: order["customer"].update(id="C1")),
    ),
    Fault(
        "rule not met",
        frozenset({"quality.negative_amount"}),
        _edited(lambda order: order["payment"].update(amount=-1.5)),
    ),
    Fault(
        "not an address",
        frozenset({"transform.generalize.domain"}),
        _edited(lambda order: order.update(address="at home")),
    ),
    Fault(
        "e-mail address in kept text",
        frozenset({"inspect.email"}),
        _edited(lambda order: order.update(note="write to ana.example@example.com")),
    ),
    Fault(
        "too large for the clean topic",
        frozenset({"produce.too_large"}),
        _edited(lambda order: order.update(photo="0123456789abcdef" * 3_200)),
    ),
)


class Load:
    """The records of one proof, for a source topic with `partitions` partitions."""

    def __init__(self, partitions: int, start: int | None = None) -> None:
        self.partitions = partitions
        # Yesterday: old enough that none is ahead of the broker's clock, young enough for any retention.
        self.start = int(time.time() * 1000) - 86_400_000 if start is None else start

    def number_at(self, timestamp: int) -> int:
        """The number of the record with this timestamp."""
        return timestamp - self.start

    def partition(self, n: int) -> int:
        """Where record `n` goes."""
        return n % self.partitions

    def fault(self, n: int) -> Fault | None:
        """What is wrong with record `n`; None for a good one."""
        return FAULTS[n // BAD_ONE_IN % len(FAULTS)] if n % BAD_ONE_IN == 7 else None

    def is_tombstone(self, n: int) -> bool:
        """True for good records without a value."""
        return n % 97 == 5 and self.fault(n) is None

    def key(self, n: int) -> bytes | None:
        """A customer's id, bytes that are no text, or none. Tombstones have one."""
        if n % 7 == 0:
            return None if not self.is_tombstone(n) else b"gone-%d" % n
        return b"\xff\x00%d" % n if n % 7 == 1 else b"C%08d" % (n % 5_000)

    def traceparent(self, n: int) -> bytes | None:
        """The one header that the policy lets pass; two records in three have none."""
        return b"00-%032x-%016x-01" % (n + 1, n + 1) if n % 3 == 0 else None

    def order(self, n: int) -> dict[str, Any]:
        """The document of record `n`, good."""
        return {
            "number": n,
            "customer": {
                "id": f"C{n % 5_000:08d}",
                "name": f"Ana Example {n}",
                "email": f"ana.{n}@example.com",
                "ssn": f"{n % 900:03d}-{n % 90:02d}-{n % 9_000:04d}",
                "born": f"19{n % 100:02d}-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
            },
            "payment": {
                "card": f"{4_000_000_000_000_000 + n}",
                "amount": n % 10_000 / 100,
                "currency": "eur",
            },
            "items": [
                {"sku": f"SKU-{n % 1_000}", "quantity": n % 5 + 1},
                {"sku": f"SKU-{n % 77}", "quantity": 1, "gift_note": f"for number {n}"},
            ],
            "address": f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",
            "note": "leave it at the door",
        }

    def protected(self, n: int) -> dict[str, Any]:
        """The same as it has to come out, but for what `SEALED` and `PSEUDONYMS` name."""
        order = self.order(n)
        customer, payment = order["customer"], order["payment"]
        for name in (*SEALED, *PSEUDONYMS):
            del customer[name]
        customer["born"] = customer["born"][:4]
        payment["card"] = "*" * 12 + payment["card"][-4:]
        payment["currency"] = payment["currency"].upper()
        order["items"][1]["gift_note"] = "[redacted]"
        order["address"] = order["address"].rpartition(".")[0] + ".0/24"
        return order

    def record(self, n: int) -> Record:
        """Record `n` as it is produced."""
        fault = self.fault(n)
        value = fault.spoil(self.order(n)) if fault else orjson.dumps(self.order(n))
        headers: Headers = [("person", b"Ana Example")]
        if traceparent := self.traceparent(n):
            headers.append(("traceparent", traceparent))
        if n % 101 == 0:
            headers.append(("sg-source", b"forged/0/0"))
        return Record(self.key(n), None if self.is_tombstone(n) else value, headers, self.start + n)

    def expected_headers(self, n: int, source: bytes, policy: bytes) -> Headers:
        """What record `n` carries on the clean topic."""
        traceparent = self.traceparent(n)
        passed: Headers = [("traceparent", traceparent)] if traceparent else []
        return [*passed, ("sg-source", source), ("sg-policy", policy)]


class Writer:
    """Writes a load into its topic in transactions, some of which are aborted, as careful producers do.

    The aborted ones hold records of the load too, which nobody may ever see: a filter that read them would publish them
    twice. Markers and aborted records make the offsets of the good ones irregular, as in life.
    """

    _PER_TRANSACTION = 5_000

    def __init__(self, bootstrap: str, topic: str, load: Load) -> None:
        self.topic = topic
        self.load = load
        self.written = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "transactional.id": f"writer-of-{topic}",
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": 2_000_000,
            }
        )
        self._producer.init_transactions(60)

    def write(self, count: int) -> None:
        """The next `count` records, committed when this returns."""
        end = self.written + count
        while self.written < end:
            stop = min(self.written + self._PER_TRANSACTION, end)
            self._transaction(range(self.written, min(self.written + 50, stop)), abort=True)
            self._transaction(range(self.written, stop))
            self.written = stop

    def _transaction(self, numbers: range, *, abort: bool = False) -> None:
        producer, load, topic = self._producer, self.load, self.topic
        producer.begin_transaction()
        for n in numbers:
            record = load.record(n)
            producer.produce(
                topic,
                record.value,
                record.key,
                load.partition(n),
                timestamp=record.timestamp,
                headers=record.headers,
            )
            if n % 500 == 0:
                producer.poll(0)
        if abort:
            producer.flush(60)
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)
