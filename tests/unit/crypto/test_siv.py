"""AES-SIV on columns gives what AES-SIV gives one by one."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.siv import Siv

KEYS = st.sampled_from([32, 48, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
VALUES = st.lists(st.binary(min_size=1, max_size=70), min_size=64, max_size=80)


@given(key=KEYS, associated=st.binary(max_size=50), values=VALUES)
def test_a_column_is_sealed_as_its_values_are(key, associated, values):
    one = AESSIV(key)
    assert Siv(key, associated).seal(values) == [one.encrypt(value, [associated]) for value in values]


@pytest.mark.parametrize("count", [1, 63, 64, 300])
@pytest.mark.parametrize("longest", [1, 15, 16, 17, 32, 512, 513])
def test_at_every_edge(count, longest):
    key, values = bytes(range(64)), [bytes([n % 256]) * max(1, longest - n % 3) for n in range(count)]
    sealed = Siv(key, b"sg1|d|key|email").seal(values)
    assert [AESSIV(key).decrypt(payload, [b"sg1|d|key|email"]) for payload in sealed] == values


def test_a_counter_does_not_run_into_the_bits_before_it():
    """A synthetic IV whose last 31 bits are all ones comes once in two billion values: here it is made."""
    siv = Siv(bytes(64), b"")
    iv = bytes.fromhex("ffffffffffffffffffffffff7fffffff") * 2
    stream = siv._key_stream(_matrix(iv), 3)
    counters = [0xFFFFFFFFFFFFFFFF7FFFFFFF7FFFFFFF + step for step in range(3)]
    expected = b"".join(siv._ctr_ecb.update(counter.to_bytes(16)) for counter in counters)
    assert [row.tobytes() for row in stream] == [expected] * 2


def _matrix(blocks):
    import numpy as np

    return np.frombuffer(blocks, np.uint8).reshape(-1, 16)
