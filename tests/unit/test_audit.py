"""The auditor of the big proofs must find every fault that a filter could have: here it is given each by hand."""

import hashlib

import orjson
import pytest
from confluent_kafka import Message

from tests.audit import Audit, packed
from tests.load import BAD_ONE_IN, FAULTS, PSEUDONYMS, SEALED, Load

LOAD = Load(partitions=6, start=1_700_000_000_000)
TOPIC = "orders"
COUNT = 6 * BAD_ONE_IN * len(FAULTS)  # every fault meets every partition


def place(n):
    """Where record `n` stands: offsets with gaps, as transactions leave them."""
    return f"{TOPIC}/{LOAD.partition(n)}/{n // LOAD.partitions * 3}".encode()


def source(n):
    record = LOAD.record(n)
    _, partition, offset = place(n).decode().split("/")
    return Message(
        TOPIC,
        int(partition),
        int(offset),
        record.key,
        record.value,
        record.headers,
        None,
        (1, record.timestamp),
    )


def clean(n, **changes):
    fields = {
        "topic": f"{TOPIC}.clean", "partition": LOAD.partition(n), "offset": n, "key": LOAD.key(n),
        "value": None if LOAD.is_tombstone(n) else protected(n),
        "headers": LOAD.expected_headers(n, place(n), b"p@1"), "timestamp": (1, LOAD.start + n),
    }  # fmt: skip
    return Message(**fields | changes)


def protected(n, **changes):
    """The clean value of record `n`; `changes` are fields of its customer."""
    was, order = LOAD.order(n)["customer"], LOAD.protected(n)
    order["customer"] |= {name: f"sg1.e.key.{was[name]}" for name in SEALED}
    order["customer"] |= {name: f"tok_{was[name]}" for name in PSEUDONYMS}
    order["customer"] |= changes
    return orjson.dumps(order)


def violation(n, *, body=None, **changes):
    topic, partition, offset = place(n).decode().split("/")
    codes = sorted((LOAD.fault(n) or FAULTS[0]).codes)
    identity = hashlib.sha256(place(n)).hexdigest()[:32]
    document = {
        "id": identity,
        "code": codes[0],
        "errors": [{"code": code} for code in codes],
        "source": {
            "topic": topic,
            "partition": int(partition),
            "offset": int(offset),
            "timestamp": LOAD.start + n,
        },
        "original": f"token of {n}",
    } | (body or {})
    fields = {
        "topic": f"{TOPIC}.violations", "partition": LOAD.partition(n), "offset": n, "key": identity.encode(),
        "value": orjson.dumps(document), "headers": [("sg-source", place(n))], "timestamp": (1, 1),
    }  # fmt: skip
    return Message(**fields | changes)


def opened(token, _identity):
    return packed(LOAD.record(int(token.rpartition(" ")[2])))


def revealed(token):
    return token.removeprefix("sg1.e.key.")


def books(clean_messages, violation_messages, count=COUNT):
    audit = Audit(TOPIC, "p@1", LOAD, revealed, opened)
    for n in range(count):
        audit.source(source(n))
    for message in clean_messages:
        audit.clean(message)
    for message in violation_messages:
        audit.violation(message)
    audit.close()
    return audit


GOOD = [n for n in range(COUNT) if LOAD.fault(n) is None]
BAD = [n for n in range(COUNT) if LOAD.fault(n) is not None]
# A value, no header that passes, and one of those whose tokens are opened.
PLAIN = next(n for n in GOOD if n % 3 and n % 16 == 0 and n > 5 and not LOAD.is_tombstone(n))
RIGHT = [clean(n) for n in GOOD], [violation(n) for n in BAD]


def kinds(audit):
    return [problem.partition(" (")[0] for problem in audit.problems]


def test_what_is_right_has_no_problems():
    audit = books(*RIGHT)

    assert audit.problems == []
    assert audit.counts["source"] == COUNT == audit.counts["clean"] + audit.counts["violations"]
    assert {fault.name for fault in FAULTS} <= audit.counts.keys()


def test_the_load_is_bad_in_at_least_ten_ways_in_every_partition():
    met = {(LOAD.fault(n).name, LOAD.partition(n)) for n in BAD}

    assert len(met) == len(FAULTS) * LOAD.partitions
    assert len(FAULTS) >= 10
    assert 0.04 < len(BAD) / COUNT < 0.06


def test_a_missing_record_is_found():
    assert kinds(books(RIGHT[0][1:], RIGHT[1])) == ["on neither output"]
    assert kinds(books(RIGHT[0], RIGHT[1][:-1])) == ["on neither output"]


def test_a_repeated_record_is_found_on_either_output():
    assert "twice" in kinds(books([*RIGHT[0], RIGHT[0][0]], RIGHT[1]))
    assert "twice" in kinds(books(RIGHT[0], [*RIGHT[1], RIGHT[1][-1]]))


def test_a_record_on_both_outputs_is_found():
    n = GOOD[0]
    assert "twice" in kinds(books(RIGHT[0], [violation(n), *RIGHT[1]]))


def test_a_record_from_nowhere_is_found():
    strange = clean(GOOD[0], headers=[("sg-source", b"orders/0/999999")])
    assert "from nowhere" in kinds(books([*RIGHT[0], strange], RIGHT[1]))


def test_order_is_looked_at_by_source_partition_and_output_partition():
    first, second = (n for n in GOOD if LOAD.partition(n) == 0 and n < 12)
    others = [clean(n) for n in GOOD if n not in (first, second)]

    assert kinds(books([clean(second), clean(first), *others], RIGHT[1])) == ["out of order"]
    # Partitions may be read in any order, and a topic with fewer of them interleaves the source's.
    by_partition = sorted(GOOD, key=lambda n: (-LOAD.partition(n), n))
    assert books([clean(n, partition=0) for n in by_partition], RIGHT[1]).problems == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"key": b"other"}, "another key"),
        ({"timestamp": (1, LOAD.start)}, "another timestamp"),
        ({"value": b'{"number":0}'}, "another value"),
        ({"value": None}, "another value"),
        ({"value": protected(PLAIN, name="Ana Example")}, "another value"),
        ({"value": protected(PLAIN, name="sg1.e.key.somebody else")}, "another value"),
        ({"value": protected(PLAIN, id="tok_C00000001")}, "another value"),
        ({"value": protected(PLAIN, born="1901-02-03")}, "another value"),
        ({"value": protected(PLAIN + 1)}, "another value"),
        ({"headers": [("sg-source", place(PLAIN)), ("sg-policy", b"p@2")]}, "other headers"),
        (
            {"headers": [("person", b"Ana"), ("sg-source", place(PLAIN)), ("sg-policy", b"p@1")]},
            "other headers",
        ),
    ],
)
def test_a_changed_clean_record_is_found(changes, kind):
    n = PLAIN
    messages = [clean(n, **changes) if m == n else clean(m) for m in GOOD]
    assert kinds(books(messages, RIGHT[1])) == [kind]


def test_a_record_that_does_not_say_where_it_is_from_is_found():
    messages = [clean(GOOD[0], headers=[]), *RIGHT[0][1:]]
    assert kinds(books(messages, RIGHT[1])) == ["not one sg-source", "on neither output"]


def test_a_tombstone_must_stay_one():
    n = next(n for n in GOOD if LOAD.is_tombstone(n))
    messages = [clean(m, **({"value": b"{}"} if m == n else {})) for m in GOOD]
    assert kinds(books(messages, RIGHT[1])) == ["a tombstone has a value"]


def test_bad_and_good_on_the_wrong_output_are_found():
    bad, good = BAD[0], GOOD[-1]
    assert kinds(books([*RIGHT[0], clean(bad, partition=99)], RIGHT[1][1:])) == [
        "a bad record is on the clean topic"
    ]
    assert kinds(books(RIGHT[0][:-1], [*RIGHT[1], violation(good)])) == [
        "a good record is on the violations topic"
    ]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"body": {"errors": [{"code": "decode.json"}, {"code": "schema.type"}]}}, "another explanation"),
        ({"body": {"code": "schema.const"}}, "another explanation"),
        (
            {"body": {"source": {"topic": TOPIC, "partition": 0, "offset": 0, "timestamp": 0}}},
            "another source",
        ),
        ({"body": {"id": "0" * 32}}, "another id"),
        ({"key": b"0"}, "another id"),
        ({"body": {"original": f"token of {BAD[-1]}"}}, "another original"),
    ],
)
def test_a_changed_violation_is_found(changes, kind):
    n = BAD[2]
    messages = [violation(n, **changes) if m == n else violation(m) for m in BAD]
    assert kinds(books(RIGHT[0], messages)) == [kind]


def test_examples_are_few_and_numbers_complete():
    (problem,) = books([], RIGHT[1]).problems

    assert problem.startswith(f"on neither output ({len(GOOD)}): ")
    assert len(problem) < 1_000
