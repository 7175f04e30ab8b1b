"""What holds for every verb: columns in, columns out, no value raises, no sentence without its code."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.aead import open_token
from streamguard.transforms.base import ANY, DROP
from streamguard.transforms.register import OWN, register
from tests.unit.transforms.support import KEYS, anything, applied, compiled, greek

EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("drop", {}),
    ("encrypt", {}),
    ("encrypt", {"deterministic": True}),
    ("encrypt", {"pad": 16}),
    ("encrypt", {"per": "subject"}),
    ("fake", {"kind": "name"}),
    ("fake", {"kind": "city", "locale": "de_DE"}),
    ("fpe", {}),
    ("fpe", {"alphabet": "alphanumeric", "keep_first": 2, "separators": "- "}),
    ("fpe", {"luhn": True, "keep_last": 4}),
    ("generalize", {"date": "month"}),
    ("generalize", {"date": "hour", "output": "start"}),
    ("generalize", {"number": 10}),
    ("generalize", {"number": 0.25, "output": "start"}),
    ("generalize", {"ip": 24}),
    ("generalize", {"ip": {"v4": 8, "v6": 32}, "output": "start"}),
    ("generalize", {"text": 3}),
    ("generalize", {"geo": {"decimals": 1}}),
    ("generalize", {"geo": {"geohash": 4, "order": "lon_lat"}}),
    ("hash", {}),
    ("hash", {"algorithm": "hmac-sha256", "encoding": "base64"}),
    ("mask", {}),
    ("mask", {"keep_first": 1, "keep_last": 2, "separators": "- .", "character": "#"}),
    ("nullify", {}),
    ("redact", {}),
    ("replace", {"value": 0}),
    ("shift_dates", {}),
    ("tokenize", {}),
    ("tokenize", {"prefix": "", "length": 16}),
    ("vault", {}),
    ("vault", {"shape": "uuid", "ttl": "30d"}),
]
every_verb = pytest.mark.parametrize(("verb", "options"), EXAMPLES)


def comparable(output: Any) -> Any:
    """An output that equals itself when made again: of a randomized token, the value inside."""
    if isinstance(output, str) and output.startswith(("sg1.e.", "sg1.s.")):
        opened = open_token(output, KEYS)
        return type(opened), repr(opened)
    return output


def test_the_examples_cover_every_verb_of_ours():
    assert {verb for verb, _ in EXAMPLES} == {kind.verb for kind in OWN} == set(register())


@every_verb
@given(st.lists(anything, max_size=6))
def test_a_column_is_mapped_value_by_value_and_nothing_raises(verb, options, values):
    transform = compiled(verb, options)
    column, rejected = applied(transform, values)
    assert len(column) == len(values)
    assert {code for _, code in rejected} <= transform.messages.keys()
    assert len({index for index, _ in rejected}) == len(rejected)
    singly = [applied(transform, [value]) for value in values]
    assert rejected == [(at, code) for at, (_, found) in enumerate(singly) for _, code in found]
    taken = set(range(len(values))) - {index for index, _ in rejected}
    assert all(comparable(column[index]) == comparable(singly[index][0][0]) for index in taken)


@every_verb
@given(st.lists(greek, max_size=6))
def test_no_letter_of_a_text_shows(verb, options, values):
    kept = {"mask": 3, "generalize": 3, "fpe": 2}.get(verb, 0)  # of what these two keep on purpose
    column, rejected = applied(compiled(verb, options), values)
    refused = {index for index, _ in rejected}
    for index, output in enumerate(column):
        if index not in refused:
            assert sum(letter in "αβγδεζηθικλμ" for letter in str(output)) <= min(kept, len(values[index]))


@every_verb
@given(anything)
def test_a_rejected_position_never_holds_the_value(verb, options, value):
    column, rejected = applied(compiled(verb, options), [value])
    assert not rejected or column[0] is not value


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.verb)
def test_every_verb_says_what_it_is_in_our_own_words(kind):
    assert re.fullmatch("[a-z_]+", kind.verb)
    assert kind.takes <= ANY
    assert kind.__doc__
    assert kind.Options.__doc__
    assert "domain" in kind.messages
    for code, sentence in kind.messages.items():
        assert re.fullmatch("[a-z_]+", code)
        assert sentence[0].islower()
        assert not sentence.endswith(".")


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.verb)
def test_an_unknown_option_is_refused(kind):
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        kind.Options.model_validate({"keep_frist": 1})


@every_verb
def test_what_is_called_deterministic_is(verb, options):
    transform = compiled(verb, options)
    sample = ["2025-11-21T14:40:10Z", "10.1.2.3", 17.1, [59.91, 10.75], "Ana Garcia"]
    first, _ = applied(transform, sample)
    second, _ = applied(compiled(verb, options), sample)
    assert (first == second) == transform.deterministic


def test_only_what_drops_says_so():
    assert [kind.verb for kind in OWN if kind.drops] == ["drop"]
    assert applied(compiled("drop"), ["a", 1]) == ([DROP, DROP], [])
