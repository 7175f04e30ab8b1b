import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import parse_token
from tests.unit.transforms.support import KEYS, anything, applied, compiled, json_values, outputs

options = st.fixed_dictionaries({"deterministic": st.booleans()}, optional={"pad": st.integers(0, 100)})


def same(one, other) -> bool:
    """Equal, and of equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(options, st.lists(json_values | st.binary(), max_size=5))
def test_every_value_comes_back_with_its_type(given_options, values):
    for token, value in zip(outputs(compiled("encrypt", given_options), values), values, strict=True):
        assert parse_token(token).kind == ("d" if given_options["deterministic"] else "e")
        assert same(open_token(token, KEYS), value)


@given(st.lists(anything, min_size=1, max_size=5))
def test_what_has_no_encoding_is_rejected_and_the_rest_encrypted(values):
    column, rejected = applied(compiled("encrypt"), values)
    refused = {index for index, code in rejected if code == "domain"}
    assert len(refused) == len(rejected)
    for index in set(range(len(values))) - refused:
        assert same(open_token(column[index], KEYS), values[index])


def test_equal_values_look_different_unless_deterministic():
    assert len(set(outputs(compiled("encrypt"), ["a"] * 50))) == 50
    assert len(set(outputs(compiled("encrypt", {"deterministic": True}), ["a"] * 50))) == 1


def lengths(transform, values) -> set[int]:
    return {len(token) for token in outputs(transform, values)}


@pytest.mark.parametrize("deterministic", [False, True])
def test_lengths_show_nothing_of_booleans_enums_and_the_unknown(deterministic):
    given_options = {"deterministic": deterministic}
    booleans = compiled("encrypt", given_options, types=("boolean",))
    assert len(lengths(booleans, [True, False])) == 1
    unknown = compiled("encrypt", given_options)
    assert len(lengths(unknown, [True, False, "yes", "no", 1])) == 1
    values = ("HIV", "a" * 29, "a" * 30, "a" * 31, "a" * 62, True, {"long": "b" * 40})
    enum = compiled("encrypt", given_options, types=("string", "boolean", "object"), enum=values)
    assert len(lengths(enum, list(values))) == 1


def test_padding_can_be_asked_for_and_turned_off():
    text = compiled("encrypt", types=("string",))
    assert len(lengths(text, ["a", "bbbb"])) == 2
    padded = compiled("encrypt", {"pad": 64}, types=("string",))
    assert len(lengths(padded, ["a", "bbbb", "c" * 61])) == 1
    assert len(lengths(padded, ["a", "c" * 62])) == 2
    bare = compiled("encrypt", {"pad": 0}, types=("boolean",))
    assert len(lengths(bare, [True, False])) == 2


def test_an_instance_knows_whether_it_is_deterministic():
    assert compiled("encrypt", {"deterministic": True}).deterministic
    assert not compiled("encrypt").deterministic


def test_the_uses_of_a_key_are_counted(monkeypatch):
    keyring = Keyring.in_memory()
    asked = []
    fresh = keyring.fresh

    def counted(policy, element, uses):
        asked.append((policy, element, uses))
        return fresh(policy, element, uses)

    monkeypatch.setattr(keyring, "fresh", counted)
    outputs(compiled("encrypt", keyring=keyring), ["a", "b", "c"])
    assert asked == [("orders", "orders.x", 3)]


def test_a_replaced_key_is_used_at_once():
    keyring = Keyring.in_memory()
    transform = compiled("encrypt", keyring=keyring)
    (first,) = outputs(transform, ["a"])
    for lease in keyring._leases.values():
        lease.left = 0
    (second,) = outputs(transform, ["a"])
    assert parse_token(first).key_id != parse_token(second).key_id
    assert open_token(first, keyring) == open_token(second, keyring) == "a"


@pytest.mark.parametrize(
    "wrong", [{"pad": -1}, {"pad": 65537}, {"pad": "32"}, {"pad": True}, {"deterministic": "yes"}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("encrypt", wrong)


def test_a_randomized_boolean_is_no_problem():
    assert compiled("encrypt", types=("boolean",)).check() is None
