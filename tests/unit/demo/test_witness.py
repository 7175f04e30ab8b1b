"""The demo's audit: it notices an order that is lost, one that comes out twice, and a value that leaked."""

import time
from itertools import islice

import orjson
import pytest

from streamguard.demo.sample import FAULTS, Orders, Sample
from streamguard.demo.witness import Output, Witness, secrets

ORDER = next(Orders(faults=0))
CLEAN = b'{"customer": {"name": "sg1.e.x"}}'
VIOLATION = b'{"code": "schema.type", "path": "", "message": ""}'


def output(place, value=CLEAN):
    return Output(place, value, time.time() + 0.5)


@pytest.fixture
def witness():
    witness = Witness()
    for offset in range(3):
        witness.send((1, offset), ORDER)
    return witness


def test_each_order_is_found_once(witness):
    witness.take(output((1, 0)), clean=True)
    witness.take(output((1, 2)), clean=True)
    witness.take(output((1, 1), VIOLATION), clean=False)
    witness.settle()
    assert (witness.sent, witness.clean, witness.rejected, witness.missing, witness.twice, witness.leaks) == (
        3,
        2,
        1,
        0,
        0,
        0,
    )
    assert witness.top_codes(5) == [("schema.type", 1)]
    assert 0.4 < witness.latency < 2


def test_a_lost_order_is_missing(witness):
    witness.take(output((1, 0)), clean=True)
    witness.settle()
    assert witness.missing == 2


@pytest.mark.parametrize("again", [True, False])
def test_an_order_that_comes_out_twice_is_noticed(witness, again):
    witness.take(output((1, 0)), clean=True)
    witness.settle()
    witness.take(output((1, 0), CLEAN if again else VIOLATION), clean=again)
    witness.settle()
    assert (witness.clean, witness.twice) == (1, 1)


def test_what_is_read_before_we_know_that_it_was_sent_is_matched_later(witness):
    witness.take(output((1, 3)), clean=True)
    witness.settle()
    assert (witness.clean, witness.twice) == (0, 0)
    witness.send((1, 3), ORDER)
    witness.settle()
    assert (witness.clean, witness.twice) == (1, 0)


@pytest.mark.parametrize("field", ["id", "name", "email", "phone", "ssn"])
def test_a_leak_of_any_hidden_field_is_noticed(witness, field):
    secret = orjson.loads(ORDER.value)["customer"][field]
    witness.take(output((1, 0), orjson.dumps({"anything": f"… {secret} …"})), clean=True)
    witness.settle()
    assert witness.leaks == 1


def test_secrets_are_found_in_every_kind_of_order():
    for sample in islice(Orders(faults=1), 2 * len(FAULTS)):
        assert sample.key in secrets(sample)
    card = orjson.loads(ORDER.value)["payment"]["card_number"]
    assert card.encode() in secrets(ORDER)
    assert list(secrets(Sample(b"key", b"{"))) == [b"key"]


def test_only_the_latest_outcomes_are_kept():
    witness = Witness()
    for offset in range(1000):
        witness.send((0, offset), ORDER)
        witness.take(output((0, offset)), clean=True)
        witness.settle()
    assert len(witness.passed) == 50
    assert witness.missing == 0
