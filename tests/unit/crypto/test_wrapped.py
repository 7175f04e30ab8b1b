"""A wrapped key says which master key opens it."""

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.crypto.kms.succession import Succession
from streamguard.crypto.kms.wrapped import master_of, pack, unpack
from streamguard.errors import KeysUnavailableError

LASTS = attrgetter("lasts")
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=300)


@given(NAMES, st.binary(min_size=1))
def test_what_is_packed_is_unpacked(name: str, ciphertext: bytes):
    assert unpack(pack(name, ciphertext)) == (name, ciphertext)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"sgw2" + data))
def test_anything_else_is_refused_or_has_both_parts(data: bytes):
    try:
        name, ciphertext = unpack(data)
    except KeysUnavailableError:
        return
    assert pack(name, ciphertext) == data


def test_the_form_is_permanent():
    assert pack("vault:transit/a:v1", b"vault:v1:QQ==") == b"sgw2\x00\x12vault:transit/a:v1vault:v1:QQ=="


def test_local_keys_say_so_too():
    kms = LocalKms([generate()])
    assert master_of(kms.wrap(bytes(32))) == kms.name


def test_a_succession_wraps_with_the_first_and_unwraps_with_all():
    old, new, stranger = (LocalKms([generate()]) for _ in range(3))
    both = Succession(new, [old])
    assert both.name == master_of(both.wrap(bytes(32))) == new.name
    assert both.unwrap(old.wrap(bytes(32))) == bytes(32)
    assert both.opens(old.name)
    assert not both.opens(stranger.name)
    with pytest.raises(KeysUnavailableError, check=LASTS, match="another master key"):
        both.unwrap(stranger.wrap(bytes(32)))
    both.health()
