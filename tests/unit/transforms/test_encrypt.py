import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import parse_token
from streamguard.errors import KeyMissingError, TokenError
from streamguard.transforms.base import Origin
from streamguard.transforms.subject_name import subject_name
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


# -- under the person's key ------------------------------------------------------------------------------------------

subjects = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.integers(-(2**63), 2**63)


@given(st.lists(st.tuples(json_values | st.binary(), subjects), max_size=5), st.sampled_from([0, 32]))
def test_every_persons_value_comes_back_with_its_type(drawn, pad):
    transform = compiled("encrypt", {"per": "subject", "pad": pad})
    values = [value for value, _ in drawn]
    tokens, rejected = applied(transform, values, [person for _, person in drawn])
    assert rejected == []
    assert all(parse_token(token).kind == "s" for token in tokens)
    opened = transform.reverse(tokens, [Origin()] * len(tokens))
    assert all(same(one, other) for one, other in zip(opened, values, strict=True))


@given(st.lists(st.tuples(anything, anything), max_size=5))
def test_what_has_no_encoding_or_no_person_is_rejected(drawn):
    transform = compiled("encrypt", {"per": "subject"})
    values, people = [value for value, _ in drawn], [person for _, person in drawn]
    tokens, rejected = applied(transform, values, people)
    for row, code in rejected:
        assert tokens[row] is None or code == "domain"
        assert (code == "subject") == (subject_name(people[row]) is None)
    for row in set(range(len(drawn))) - {row for row, _ in rejected}:
        assert same(open_token(tokens[row], KEYS), values[row])


def test_erasing_a_person_takes_that_persons_values_in_all_fields_of_the_element():
    keyring = Keyring.in_memory()
    elements = {"customer.id": "customer", "client": "customer"}
    one = compiled("encrypt", {"per": "subject"}, keyring=keyring, element="a.name", elements=elements)
    two = compiled(
        "encrypt", {"per": "subject"}, keyring=keyring, element="b.name", subject="client", elements=elements
    )
    ana, ben = applied(one, ["Ana", "Ben"], ["1", "2"])[0]
    (again,) = applied(two, ["Ana"], [1])[0]
    assert keyring.subjects.destroy("customer", ["1"]) == 1
    found = [*one.reverse([ana, ben], [Origin()] * 2), *two.reverse([again], [Origin()])]
    assert [type(value) for value in found] == [KeyMissingError, str, KeyMissingError]
    (back,) = applied(one, ["Ana"], ["1"])[0]
    assert one.reverse([back], [Origin()]) == ["Ana"]


def test_reversing_a_column_leaves_the_bad_ones_where_they_stand():
    transform, other = compiled("encrypt"), compiled("encrypt", element="orders.y")
    (token,), (foreign,) = outputs(transform, ["a"]), outputs(other, ["a"])
    found = transform.reverse([token, foreign, "sg1.e.x", 12, token[:-1]], [Origin()] * 5)
    assert found[0] == "a"
    assert [type(value) for value in found[1:]] == [TokenError] * 4


def test_a_key_per_person_needs_a_person():
    assert "name the policy's 'subject'" in compiled("encrypt", {"per": "subject"}, subject=None).check()
    assert compiled("encrypt", {"per": "subject"}).check() is None
    column, rejected = applied(compiled("encrypt", {"per": "subject"}, subject=None), ["a"])
    assert (column, rejected) == ([None], [(0, "subject")])
    with pytest.raises(ValidationError):
        compiled("encrypt", {"per": "subject", "deterministic": True})


def test_a_verb_without_a_way_back_says_so():
    (found,) = compiled("mask").reverse(["****"], [Origin()])
    assert isinstance(found, TokenError)
    assert "'mask'" in str(found)
