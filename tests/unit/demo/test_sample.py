"""Sample orders: good ones pass the example policy, each fault ends as the violation it is meant to be."""

from itertools import islice
from pathlib import Path

import orjson
import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.demo.sample import FAULTS, Orders
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy

POLICY = Path(__file__).parents[3] / "policies" / "orders.yaml"


@pytest.fixture(scope="module")
def guard():
    loaded = load_policy(POLICY)
    return Guard(loaded.policy, loaded.schema, Keyring.in_memory())


def process(guard, samples):
    batch = Batch("orders", [sample.value for sample in samples], keys=[sample.key for sample in samples])
    guard.process(batch)
    return batch


def test_good_orders_pass(guard):
    samples = list(islice(Orders(seed=1, faults=0), 500))
    batch = process(guard, samples)
    assert batch.findings == {}
    assert batch.live == list(range(500))
    assert not any(sample.fault for sample in samples)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_fault_ends_as_its_violation(guard, seed):
    samples = list(islice(Orders(seed=seed, faults=1), 3 * len(FAULTS)))
    batch = process(guard, samples)
    found = {
        (sample.fault, finding.code)
        for row, sample in enumerate(samples)
        for finding in batch.findings.get(row, [])
    }
    assert found == {(name, fault.code) for name, fault in FAULTS.items()}


def test_there_are_faults_of_many_kinds():
    assert len({fault.code for fault in FAULTS.values()}) >= 10


def test_the_same_seed_gives_the_same_orders():
    first, again, other = (list(islice(Orders(seed=seed, faults=0.3), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_the_share_of_faults_is_as_asked_for():
    samples = list(islice(Orders(seed=1, faults=0.2), 5000))
    assert 0.17 < sum(bool(sample.fault) for sample in samples) / len(samples) < 0.23


def test_the_key_is_the_customer():
    sample = next(Orders(seed=1, faults=0))
    assert sample.key.decode() == orjson.loads(sample.value)["customer"]["id"]
