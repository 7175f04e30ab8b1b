"""Tags in the schema, and what the policy makes of them."""

import orjson
import pytest

from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.formats.json import JsonForm
from streamguard.guard.batch import Batch
from streamguard.guard.classify import treatments
from streamguard.guard.guard import Guard
from streamguard.policy.models import Policy

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "confluent:tags": ["PII", "ID"]},
        "card": {"type": "string", "x-streamguard": "PCI"},
        "home": {
            "type": "object",
            "additionalProperties": False,
            "x-streamguard": ["PII"],
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        },
        "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}},
        "total": {"type": "number"},
    },
    "$defs": {
        "note": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "x-streamguard": "PII"}},
        }
    },
}
TAGS = {"ID": "tokenize", "PCI": {"mask": {"keep_last": 4}}, "PII": "redact"}


def policy(**settings):
    return Policy.model_validate(
        {
            "name": "p",
            "version": "1",
            "topic": "t",
            "key": "drop",
            "keep": ["total"],
            "tags": TAGS,
            **settings,
        }
    )


def found(**settings):
    return {
        one.text: (one.rule.verb, one.tag)
        for one in treatments(policy(**settings), JsonForm(SCHEMA).leaves).values()
    }


def test_the_first_of_the_policys_tags_counts_and_tags_hold_for_all_below():
    assert found() == {
        "id": ("tokenize", "ID"),
        "card": ("mask", "PCI"),
        "home.street": ("redact", "PII"),
        "home.city": ("redact", "PII"),
        "notes[*].text": ("redact", "PII"),
    }


def test_what_the_policy_names_comes_first():
    named = found(fields={"home": "encrypt", "card": "drop"}, keep=["total", "id"])
    assert named == {
        "home": ("encrypt", ""),
        "card": ("drop", ""),
        "notes[*].text": ("redact", "PII"),
    }


def test_a_tag_that_the_policy_does_not_know_classifies_nothing():
    assert "card" not in found(tags={"PII": "redact"})


def test_tagged_fields_are_protected():
    guard = Guard(policy(), SCHEMA, Keyring.in_memory())
    document = {
        "id": "u1",
        "card": "4111111111111111",
        "home": {"street": "Elm", "city": "Rome"},
        "notes": [{"text": "call"}, {"text": "again"}],
        "total": 1.5,
    }
    batch = Batch("t", [orjson.dumps(document)])
    guard.process(batch)
    clean = orjson.loads(batch.out_values[0])
    assert clean.pop("id").startswith("tok_")
    assert clean == {
        "card": "************1111",
        "home": {"street": "[redacted]", "city": "[redacted]"},
        "notes": [{"text": "[redacted]"}, {"text": "[redacted]"}],
        "total": 1.5,
    }


@pytest.mark.parametrize("written", [1, {"a": 1}, [1, None], None, True])
def test_tags_that_are_none_are_passed_over(written):
    schema = {**SCHEMA, "properties": {"id": {"type": "string", "confluent:tags": written}}}
    (leaf,) = JsonForm(schema).leaves
    assert leaf.tags == frozenset()


def test_a_text_as_a_whole():
    guard = Guard(
        policy(value={"format": "text"}, fields={"$value": "tokenize"}, keep=[], tags={}),
        None,
        Keyring.in_memory(),
    )
    batch = Batch("t", ["müde".encode(), b"\xff", None, b""])
    guard.process(batch)
    assert batch.out_values[0].startswith(b"tok_")
    assert [finding.code for finding in batch.findings[1]] == ["decode.text"]
    assert batch.live == [0, 2, 3]
    assert batch.out_values[2] is None


def test_bytes_as_a_whole():
    keyring = Keyring.in_memory()
    guard = Guard(
        policy(value={"format": "bytes"}, fields={"$value": "encrypt"}, keep=[], tags={}), None, keyring
    )
    batch = Batch("t", [b"\xff\x00"])
    guard.process(batch)
    assert open_token(batch.out_values[0].decode(), keyring) == b"\xff\x00"
