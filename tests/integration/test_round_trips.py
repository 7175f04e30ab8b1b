"""Every format, every framing, every transform: what is protected can be had back, and the rest is as it was."""

import json
import math
import struct
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import parse_key_ids
from streamguard.formats import framing
from streamguard.formats.base import Form, Leaf
from streamguard.formats.open import form_of
from streamguard.formats.registry import Registry, open_registry
from streamguard.guard.batch import Batch
from streamguard.guard.columns import Columns
from streamguard.guard.corridor import out_form, transforms_of
from streamguard.guard.fields import build
from streamguard.guard.guard import Guard
from streamguard.guard.registered import RegisteredCorridors
from streamguard.policy.loader import load_policy
from streamguard.policy.models import Policy, Rule
from streamguard.policy.paths import Path, Wild
from streamguard.policy.registry import RegistrySettings
from streamguard.transforms.base import Origin

JSON: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Rich",
    "type": "object",
    "additionalProperties": False,
    "required": ["who", "text", "whole"],
    "properties": {
        "who": {"type": "string"},
        "text": {"type": "string"},
        "maybe": {"type": ["string", "null"]},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "flag": {"type": "boolean"},
        "kind": {"enum": ["RED", "GREEN"]},
        "day": {"type": "string", "format": "date"},
        "inner": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"text": {"type": "string"}},
        },
        "many": {"type": "array", "items": {"type": "string"}},
    },
}
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Rich",
    "namespace": "shop",
    "fields": [
        {"name": "who", "type": "string"},
        {"name": "text", "type": "string"},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "whole", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "number", "type": "double"},
        {"name": "single", "type": "float"},
        {"name": "flag", "type": "boolean"},
        {"name": "raw", "type": "bytes"},
        {"name": "four", "type": {"type": "fixed", "name": "Four", "size": 4}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["RED", "GREEN"]}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "moment", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {
            "name": "inner",
            "type": [
                "null",
                {"type": "record", "name": "Inner", "fields": [{"name": "text", "type": "string"}]},
            ],
        },
        {"name": "many", "type": {"type": "array", "items": "string"}},
        {"name": "named", "type": {"type": "map", "values": "long"}},
        {"name": "either", "type": ["string", "long", "boolean"]},
    ],
}
PROTO = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Rich {
  string who = 1;
  string text = 2;
  optional string maybe = 3;
  int64 whole = 4;
  sint32 small = 5;
  double number = 6;
  float single = 7;
  bool flag = 8;
  bytes raw = 9;
  enum Kind { NONE = 0; RED = 1; GREEN = 2; }
  Kind kind = 10;
  google.protobuf.Timestamp moment = 11;
  message Inner { string text = 1; }
  Inner inner = 12;
  repeated string many = 13;
  map<string, int64> named = 14;
  oneof either { string left = 15; int64 right = 16; }
}
"""
SCHEMAS: dict[str, Any] = {"json": JSON, "avro": AVRO, "protobuf": PROTO}

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
SINGLES = st.floats(width=32)
DAYS = st.dates().map(str)


def documents(form: str) -> st.SearchStrategy[dict[str, Any]]:
    """Documents as a form decodes them. Protobuf leaves out what is zero, so that has none."""
    if form == "json":
        return st.fixed_dictionaries(
            {"who": SOME, "text": WORDS, "whole": LONGS},
            optional={
                "maybe": st.none() | WORDS,
                "number": st.floats(allow_nan=False, allow_infinity=False),
                "flag": st.booleans(),
                "kind": st.sampled_from(["RED", "GREEN"]),
                "day": DAYS,
                "inner": st.fixed_dictionaries({}, optional={"text": WORDS}),
                "many": st.lists(WORDS, max_size=3),
            },
        )
    if form == "avro":
        return st.fixed_dictionaries(
            {
                "who": SOME,
                "text": WORDS,
                "maybe": st.none() | WORDS,
                "whole": LONGS,
                "small": INTS,
                "number": st.floats(),
                "single": SINGLES,
                "flag": st.booleans(),
                "raw": st.binary(max_size=8),
                "four": st.binary(min_size=4, max_size=4),
                "kind": st.sampled_from(["RED", "GREEN"]),
                "day": st.integers(-719_162, 2_932_896),
                "moment": st.integers(-(2**55), 2**55),
                "price": st.integers(-999_999_999, 999_999_999).map(
                    lambda cents: cents.to_bytes((cents.bit_length() + 8) // 8, signed=True)
                ),
                "inner": st.none() | st.fixed_dictionaries({"text": WORDS}),
                "many": st.lists(WORDS, max_size=3),
                "named": st.dictionaries(WORDS, LONGS, max_size=3),
                "either": WORDS | LONGS | st.booleans(),
            }
        )
    return st.fixed_dictionaries(
        {"who": SOME, "text": SOME, "whole": LONGS.filter(bool)},
        optional={
            "maybe": WORDS,
            "small": INTS.filter(bool),
            "number": st.floats().filter(bool),
            "single": SINGLES.filter(bool),
            "flag": st.just(True),
            "raw": st.binary(min_size=1, max_size=8),
            "kind": st.sampled_from(["RED", "GREEN"]),
            "moment": st.integers(-(2**55), 2**55).map(lambda micros: micros * 1000),
            "inner": st.fixed_dictionaries({}, optional={"text": SOME}),
            "many": st.lists(WORDS, min_size=1, max_size=3),
            "named": st.dictionaries(WORDS, LONGS, min_size=1, max_size=3),
            "left": WORDS,
        },
    )


RULES: dict[str, Any] = {
    "encrypt": "encrypt",
    "deterministic": {"encrypt": {"deterministic": True}},
    "padded": {"encrypt": {"pad": 32}},
    "per subject": {"encrypt": {"per": "subject"}},
    "tokenize": "tokenize",
    "hash": "hash",
    "vault": "vault",
    "fake": {"fake": {"kind": "city"}},
    "mask": {"mask": {"keep_last": 2}},
    "redact": "redact",
    "replace": {"replace": {"value": 7}},
    "nullify": "nullify",
    "drop": "drop",
    "year": {"generalize": {"date": "year"}},
    "start of the year": {"generalize": {"date": "year", "output": "start"}},
    "bucket": {"generalize": {"number": 1000}},
    "prefix": {"generalize": {"text": 1}},
    "fpe": {"fpe": {"symbols": "".join(map(chr, range(0x20, 0x7F)))}},
    "shift_dates": {"shift_dates": {}},
}
MAY_REFUSE = {"mask", "year", "start of the year", "bucket", "prefix", "fpe", "shift_dates"}
"""Rules that some values do not fit: their records are violations."""


@pytest.fixture(scope="module")
def registry(registry_url: str) -> Iterator[Registry]:
    registry = open_registry(RegistrySettings.model_validate({"url": registry_url}))
    yield registry
    registry.close()


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, to the bit of a float."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def column(document: Any, path: Path) -> list[Any]:
    """What stands at a path, nulls left out. Protobuf's maps have no order."""
    batch = Batch("t", [b""])
    batch.documents = [document]
    found = Columns(path, "test").gather(batch)
    if path.segments[-1] is not Wild.ANY:
        return list(found.values)
    return [value for _, value in sorted(zip(found.keys, found.values, strict=True))]


def can_take(policy: Policy, rule: Rule, leaf: Leaf) -> bool:
    transform = build(policy, rule, str(leaf.path), Keyring.in_memory(), leaf)
    takes = transform.takes | {"integer"} if "number" in transform.takes else transform.takes
    # Avro has no array of nothing, and Protobuf no null in arrays and maps.
    nothing = rule.verb == "nullify" and isinstance(leaf.path.segments[-1], Wild)
    return leaf.types <= takes and not leaf.free and transform.check() is None and not nothing


def policy_of(form: Form, rule: Any, kind: str, framed: str) -> Policy:
    """A policy that protects every leaf that the rule can take, but for the person; and keeps the others."""
    use = None if framed == "plain" else {"framing": framed}
    bare = Policy.model_validate(
        {
            "name": "rich", "version": "1", "topic": "rich", "key": "drop", "subject": "who", "timestamp": "drop",
            "inspect": "off", "value": {"format": kind, "registry": use},
        }
    )  # fmt: skip
    parsed = Rule.model_validate(rule)
    taken = [
        str(leaf.path) for leaf in form.leaves if str(leaf.path) != "who" and can_take(bare, parsed, leaf)
    ]
    kept = [str(leaf.path) for leaf in form.leaves if str(leaf.path) not in taken]
    return bare.model_copy(update={"fields": dict.fromkeys(taken, parsed), "keep": tuple(kept)})


def written(policy: Policy) -> dict[str, Any]:
    """A policy as its file has it, in JSON, which is YAML."""
    settings: dict[str, Any] = policy.model_dump(
        mode="json", include={"name", "version", "topic", "subject", "timestamp", "keep"}
    )
    use = policy.value.registry.model_dump() if policy.value.registry else None
    rules = {path: {rule.verb: rule.options} for path, rule in policy.fields.items()}
    value = {"format": policy.value.format} | ({"registry": use} if use else {})
    return settings | {"key": "drop", "inspect": "off", "value": value, "fields": rules}


@pytest.mark.parametrize("framed", ["plain", "prefix", "header"])
@pytest.mark.parametrize("verb", RULES)
@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_goes_in_can_be_had_back_and_the_rest_is_as_it_was(  # noqa: PLR0915 - one record's way, step by step
    registry: Registry, tmp_path: Folder, kind: str, verb: str, framed: str
):
    schema = SCHEMAS[kind]
    value = Policy.model_validate({"topic": "t", "key": "drop", "value": {"format": kind}}).value
    form = form_of(value, schema)
    policy = policy_of(form, RULES[verb], kind, framed)
    assert policy.fields or (kind, verb) in NOTHING_TO_TAKE, "the rule would be tested on nothing"
    keyring = Keyring.in_memory()
    file = tmp_path / "rich.yaml"
    file.write_text(json.dumps(written(policy)))
    loaded = load_policy(file)
    prefix, headers = b"", None
    if framed == "plain":
        guard = Guard(policy, schema, keyring)
    else:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        registered = registry.register(
            f"rich-{kind}", {"json": "JSON", "avro": "AVRO"}.get(kind, "PROTOBUF"), text
        )
        assert registered.id is not None
        guard = Guard(policy, None, keyring, RegisteredCorridors(loaded, registry, keyring))
        if framed == "prefix":
            prefix = framing.prefix(registered.id, form.index)
        else:
            headers = [(framing.VALUE_HEADER, framing.header(registered.id, form.index))]
    out = out_form(policy, form, keyring)
    transforms = transforms_of(policy, form, keyring)

    @given(documents(kind))
    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    def check(document: Any) -> None:
        source = form.encode(deepcopy(document))
        assert same(form.decode(source), document)
        batch = Batch("rich", [prefix + source], headers=[headers])
        guard.process(batch)
        if batch.findings:
            assert verb in MAY_REFUSE, batch.findings
            return
        clean = batch.out_values[0] or b""
        if framed == "prefix":
            (frame,), (clean,) = framing.read_prefix([clean], message=kind == "protobuf")
            assert isinstance(frame, framing.Frame)
        elif framed == "header":
            assert framing.VALUE_HEADER in dict(batch.out_headers[0])
        leaves = out.decode(clean)
        header = dict(batch.out_headers[0]).get("sg-keys")
        key_ids = parse_key_ids(header) if header else {}
        for text in policy.keep:
            path = Path(next(leaf.path.segments for leaf in form.leaves if str(leaf.path) == text))
            assert same(column(leaves, path), column(document, path)), text
        for path, transform in transforms.items():
            before, after = column(document, path), column(leaves, path)
            lift = form.lift(path)
            originals = before if lift is None else lift(before)
            if not transform.reversible:
                continue
            lowered = out.lift(path) if transform.keeps_form else None
            protected = after if lowered is None else lowered(after)
            origins = [Origin(key_ids.get(str(path)), document["who"])] * len(protected)
            assert same(transform.reverse(protected, origins), originals), str(path)

    check()


NOTHING_TO_TAKE = {("protobuf", "year"), ("protobuf", "start of the year")}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_document_that_nothing_protects_is_written_as_it_was_read(kind: str):
    schema = SCHEMAS[kind]
    value = Policy.model_validate({"topic": "t", "key": "drop", "value": {"format": kind}}).value
    form = form_of(value, schema)
    keep = [str(leaf.path) for leaf in form.leaves]
    policy = Policy.model_validate(
        {"name": "p", "topic": "t", "key": "drop", "inspect": "off", "keep": keep, "value": {"format": kind}}
    )
    guard = Guard(policy, schema, Keyring.in_memory())
    assert guard.out is guard.form

    @given(documents(kind))
    @settings(max_examples=100)
    def check(document: Any) -> None:
        source = form.encode(deepcopy(document))
        batch = Batch("t", [source])
        guard.process(batch)
        assert batch.out_values == [source]

    check()
