"""tokenize and hash: keyed, consistent, and exactly the constructions that the documentation names."""

import base64
import hashlib
import hmac

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeysUnavailableError
from streamguard.store.store import open_store
from tests.unit.transforms.support import KEYS, applied, code_of, compiled, json_values, one, outputs

KEYED = [
    ("tokenize", {}),
    ("hash", {}),
    ("hash", {"algorithm": "hmac-sha256"}),
    ("encrypt", {"deterministic": True}),
]
keyed = pytest.mark.parametrize(("verb", "options"), KEYED)


def subkey(secret: bytes, use: str, element: str) -> bytes:
    """HKDF-SHA256 by RFC 5869, of one block."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, f"sg1|{use}|{element}".encode() + b"\x01", "sha256")


def encoded(value) -> bytes:
    return (
        b"s" + value.encode()
        if isinstance(value, str)
        else b"j" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    )


@given(json_values, st.integers(16, 64))
def test_a_pseudonym_is_the_hmac_that_the_documentation_says(value, length):
    key = subkey(KEYS.pinned("orders.x").secret, "tokenize", "orders.x")
    digits = hmac.new(key, encoded(value), "sha256").hexdigest()
    assert one("tokenize", {"length": length, "prefix": "p-"}, value) == "p-" + digits[:length]


@given(json_values)
def test_a_hash_is_the_whole_digest(value):
    secret, data = KEYS.pinned("orders.x").secret, encoded(value)
    blake = hashlib.blake2b(data, key=subkey(secret, "hash-blake2b", "orders.x"), digest_size=32)
    mac = hmac.new(subkey(secret, "hash-hmac-sha256", "orders.x"), data, "sha256")
    assert one("hash", {}, value) == blake.hexdigest()
    assert one("hash", {"algorithm": "hmac-sha256"}, value) == mac.hexdigest()
    for algorithm, digest in (("blake2b", blake.digest()), ("hmac-sha256", mac.digest())):
        options = {"algorithm": algorithm, "encoding": "base64"}
        assert one("hash", options, value) == base64.b64encode(digest).decode()


@keyed
def test_types_stay_apart_and_equal_values_together(verb, options):
    values = ["12", 12, 12.0, "true", True, '{"a":1}', {"a": 1}, "", [], "12.0"]
    column = outputs(compiled(verb, options), values)
    assert len(set(column)) == len(values)
    assert outputs(compiled(verb, options), [{"b": 1, "a": 2}]) == outputs(
        compiled(verb, options), [{"a": 2, "b": 1}]
    )


@keyed
@given(st.lists(st.text(), unique=True, min_size=2, max_size=20))
def test_unequal_values_stay_unequal(verb, options, values):
    assert len(set(outputs(compiled(verb, options), values))) == len(values)


@keyed
@given(json_values)
def test_elements_are_strangers_to_each_other(verb, options, value):
    one_element = outputs(compiled(verb, options, element="email"), [value])
    assert one_element == outputs(compiled(verb, options, element="email"), [value])
    assert one_element != outputs(compiled(verb, options, element="phone"), [value])


@keyed
def test_keyrings_of_one_store_agree_and_others_do_not(verb, options, tmp_path):
    url, kms = f"sqlite:///{tmp_path / 'keys.db'}", LocalKms([generate()])
    here, there = (Keyring(open_store(url), kms) for _ in range(2))
    values = ["ana@example.com", 12, {"a": [1, None]}]
    ours = outputs(compiled(verb, options, keyring=here), values)
    assert outputs(compiled(verb, options, keyring=there), values) == ours
    assert not set(outputs(compiled(verb, options, keyring=Keyring.in_memory()), values)) & set(ours)


@keyed
def test_a_value_without_an_encoding_costs_its_own_row_only(verb, options):
    transform = compiled(verb, options)
    column, rejected = applied(transform, ["a", [float("nan")], {"b": 1}, "\ud800", 2**64])
    assert rejected == [(1, "domain"), (3, "domain"), (4, "domain")]
    assert [column[0], column[2]] == outputs(transform, ["a", {"b": 1}])


@keyed
def test_keys_that_cannot_be_had_are_said_so(verb, options, monkeypatch):
    keyring = Keyring.in_memory()
    transform = compiled(verb, options, keyring=keyring)

    def away(element):
        raise KeysUnavailableError("The store does not answer.")

    monkeypatch.setattr(keyring, "pinned", away)
    with pytest.raises(KeysUnavailableError):
        transform.apply(["a"], lambda *_: None)


@keyed
def test_a_boolean_field_is_refused_but_not_one_that_may_hold_texts(verb, options):
    assert "how often they occur" in (compiled(verb, options, types=("boolean",)).check() or "")
    assert compiled(verb, options, types=("boolean", "string")).check() is None
    assert compiled(verb, options).check() is None


def test_a_rotated_key_is_used_at_once(monkeypatch):
    keyring = Keyring.in_memory()
    transform = compiled("tokenize", keyring=keyring)
    before = outputs(transform, ["a"])
    other = Keyring.in_memory().pinned("orders.x")
    monkeypatch.setattr(keyring, "pinned", lambda _: other)
    assert outputs(transform, ["a"]) != before


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 15},
        {"length": 65},
        {"prefix": "sg1."},
        {"prefix": "a b"},
        {"prefix": "x" * 33},
        {"prefix": "a\n"},
    ],
)
def test_wrong_options_of_tokenize_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("tokenize", wrong)


@pytest.mark.parametrize("wrong", [{"algorithm": "md5"}, {"algorithm": "sha256"}, {"encoding": "base32"}])
def test_wrong_options_of_hash_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("hash", wrong)


def test_bytes_are_taken_where_a_key_is_no_text():
    assert one("tokenize", {}, b"\xff\x00") != one("tokenize", {}, b"\xff\x01")
    assert code_of("tokenize", {}, object()) == "domain"
