"""The whole corridor on one batch: what leaves, what is rejected, and what neither of them may contain."""

import copy
from datetime import timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.crypto.aead import open_original, open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import parse_key_ids
from streamguard.errors import KeyMissingError, KeysUnavailableError
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.guard.inspect import Inspect
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy
from streamguard.transforms.base import Options, Origin, Transform
from streamguard.transforms.register import register

STRING = {"type": "string"}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "email"],
    "properties": {
        "id": STRING,
        "email": {"type": "string", "format": "email"},
        "card": STRING,
        "age": {"type": "integer", "minimum": 0},
        "note": STRING,
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"sku": STRING, "gift": STRING},
            },
        },
        "labels": {"type": "object", "additionalProperties": STRING},
    },
}
POLICY = {
    "name": "people",
    "version": "7",
    "topic": "people",
    "key": "tokenize",
    "value": {"schema": "people.json"},
    "fields": {
        "id": "tokenize",
        "email": "encrypt",
        "card": {"mask": {"keep_last": 4}},
        "items[*].gift": "redact",
        "labels": "encrypt",
    },
    "keep": ["age", "note", "items[*].sku"],
    "quality": [{"rule": "age < 150", "code": "age"}],
}
GOOD = {
    "id": "CANARY-1",
    "email": "canary@example.com",
    "card": "4111111111111111",
    "age": 41,
    "note": "leave at the door",
    "items": [{"sku": "S1", "gift": "CANARY for Ana"}, {"sku": "S2"}],
    "labels": {"CANARY": "CANARY"},
}


@pytest.fixture(scope="module")
def keyring():
    return Keyring.in_memory()


def guard_of(keyring, schema=SCHEMA, **changes):
    return Guard(Policy.model_validate(copy.deepcopy(POLICY) | changes), schema, keyring)


@pytest.fixture(scope="module")
def guard(keyring):
    return guard_of(keyring)


def process(guard, *values, **columns):
    batch = Batch(
        "people",
        [value if value is None or isinstance(value, bytes) else orjson.dumps(value) for value in values],
        **columns,
    )
    guard.process(batch)
    return batch


def good(**changes):
    return copy.deepcopy(GOOD) | changes


def without(name):
    document = good()
    del document[name]
    return document


def test_a_good_record_leaves_protected(guard, keyring):
    batch = process(
        guard, GOOD, keys=[b"CANARY-1"], offsets=[17], partitions=[3], timestamps=[1_700_000_000_123]
    )
    assert batch.live == [0]
    clean = orjson.loads(batch.out_values[0])
    assert open_token(clean["email"], keyring) == GOOD["email"]
    assert open_token(clean["labels"], keyring) == GOOD["labels"]
    assert clean["card"] == "************1111"
    assert [clean["age"], clean["note"]] == [41, "leave at the door"]
    assert clean["items"][0]["sku"] == "S1"
    assert "CANARY" not in clean["items"][0]["gift"]
    assert "gift" not in clean["items"][1]
    assert b"CANARY" not in batch.out_values[0] + batch.out_keys[0]
    assert b"canary" not in batch.out_values[0]
    assert batch.out_timestamps[0] == 1_700_000_000_123
    assert batch.out_headers[0] == [("sg-source", b"people/3/17"), ("sg-policy", b"people@7")]


def test_equal_ids_join_and_key_joins_a_field_of_its_element(keyring):
    guard = guard_of(
        keyring,
        key={"tokenize": {}, "element": "customer"},
        fields=POLICY["fields"] | {"id": {"tokenize": {}, "element": "customer"}},
    )
    batch = process(guard, GOOD, GOOD, keys=[b"CANARY-1", b"other"])
    first, second = (orjson.loads(batch.out_values[row]) for row in (0, 1))
    assert first["id"] == second["id"] == batch.out_keys[0].decode() != batch.out_keys[1].decode()
    assert first["email"] != second["email"]


BAD = [
    (b"{not json", ["decode.json"]),
    (b"", ["decode.empty"]),
    (b"[" * 200 + b"]" * 200, ["decode.depth"]),
    (b'{"id":"x","email":"a@example.com","age":18446744073709551616}', ["decode.number"]),
    ([GOOD], ["schema.type"]),
    ("CANARY", ["schema.type"]),
    (b"null", ["schema.type"]),
    (without("email"), ["schema.required"]),
    (good(email="CANARY"), ["schema.format"]),
    (good(CANARY=1), ["schema.undeclared"]),
    (good(age=-1), ["schema.minimum"]),
    (good(age="CANARY", email=7), ["schema.type", "schema.type"]),
    (good(items={"sku": "CANARY"}), ["schema.type"]),
    (good(items=["CANARY"]), ["schema.type"]),
    (good(age=200), ["quality.age"]),
    (good(note="mail CANARY@example.com"), ["inspect.email"]),
    (good(note="card 4111 1111 1111 1111"), ["inspect.card"]),
]


@pytest.mark.parametrize(("value", "codes"), BAD, ids=[f"{codes[0]}-{n}" for n, (_, codes) in enumerate(BAD)])
def test_a_bad_record_is_explained_without_its_values(guard, keyring, value, codes):
    batch = process(guard, GOOD, value, GOOD, keys=[b"1", b"CANARY-KEY", b"3"], offsets=[5, 6, 7])
    assert batch.live == [0, 2]
    violation = guard.explain(batch, 1)
    body = orjson.loads(violation.body)
    assert [error["code"] for error in body["errors"]] == codes
    assert body["id"] == violation.id
    assert body["source"] == {"topic": "people", "partition": 0, "offset": 6, "timestamp": 0}
    assert body["policy"] == {"name": "people", "version": "7"}
    assert all(error["message"] for error in body["errors"])
    assert b"CANARY" not in violation.body + repr(violation.headers).encode()
    original = orjson.loads(open_original(body["original"], violation.id, keyring))
    assert original["key"] == "Q0FOQVJZLUtFWQ=="


def test_a_violation_keeps_its_id(guard):
    first, second = (process(guard, b"x", offsets=[9]) for _ in range(2))
    assert guard.explain(first, 0).id == guard.explain(second, 0).id
    assert guard.explain(first, 0).id != guard.explain(process(guard, b"x", offsets=[8]), 0).id


def test_a_violation_that_would_not_fit_leaves_its_original_out(guard):
    batch = process(guard, b"x" * 50_000)
    body = orjson.loads(guard.explain(batch, 0, max_bytes=20_000).body)
    assert (body["original"], body["original_bytes"]) == ("omitted", 50_000)
    assert body["errors"]


def test_no_quarantine_keeps_coordinates_only(keyring):
    guard = guard_of(keyring, quarantine={"retain": "none"})
    body = orjson.loads(guard.explain(process(guard, b"x"), 0).body)
    assert body["original"] == "omitted"


def test_tombstones_pass_with_their_key(guard):
    batch = process(guard, GOOD, None, b"x", None, keys=[b"a", b"b", b"c", None])
    assert batch.live == [0, 1, 3]
    assert batch.out_values[1] is None
    assert batch.out_keys[1] == process(guard, None, keys=[b"b"]).out_keys[0] != b"b"
    assert batch.out_keys[3] is None


def test_keys_that_are_no_text_are_protected_too(guard):
    batch = process(guard, GOOD, keys=[b"\xff\x00CANARY"])
    assert batch.live == [0]
    assert b"CANARY" not in batch.out_keys[0]


TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SOURCE = [("traceparent", TRACE), ("user", b"CANARY"), ("sg-policy", b"forged"), ("traceparent", b"CANARY")]


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        (("traceparent",), [("traceparent", TRACE)]),
        ("drop", []),
        (("user",), [("user", b"CANARY")]),
        ("keep", [("traceparent", TRACE), ("user", b"CANARY"), ("traceparent", b"CANARY")]),
    ],
)
def test_headers_pass_by_name(keyring, headers, passed):
    batch = process(guard_of(keyring, headers=headers), GOOD, headers=[SOURCE])
    assert batch.out_headers[0] == [*passed, ("sg-source", b"people/0/0"), ("sg-policy", b"people@7")]


def test_key_can_be_dropped_and_timestamps_truncated(keyring):
    guard = guard_of(keyring, key="drop", timestamp={"truncate": {"to": "hour"}})
    batch = process(guard, GOOD, keys=[b"CANARY"], timestamps=[1_700_000_123_456])
    assert (batch.out_keys, batch.out_timestamps) == ([None], [1_699_999_200_000])


def test_cleaning_comes_before_validation(keyring):
    guard = guard_of(keyring, clean={"email": ["trim", "lower"], "age": ["coerce"]})
    batch = process(guard, good(email="  ANA@Example.COM ", age="41"))
    assert batch.live == [0]
    clean = orjson.loads(batch.out_values[0])
    assert open_token(clean["email"], keyring) == "ana@example.com"
    assert clean["age"] == 41


def test_without_a_schema_the_policy_is_the_declaration(keyring):
    guard = guard_of(keyring, schema=None)
    assert process(guard, GOOD).live == [0]
    for strange in (good(extra=1), good(age={"CANARY": 1}), good(items="CANARY"), [GOOD], "CANARY", b"null"):
        batch = process(guard, strange)
        assert not batch.live
        assert b"CANARY" not in guard.explain(batch, 0).body


def test_undeclared_fields_can_be_dropped_even_under_a_closed_schema(keyring):
    batch = process(guard_of(keyring, undeclared="drop"), good(CANARY="CANARY"))
    assert batch.live == [0]
    assert b"CANARY" not in batch.out_values[0]


def test_kept_undeclared_text_is_inspected(keyring):
    open_schema = {**SCHEMA, "additionalProperties": True}
    guard = guard_of(keyring, schema=open_schema, undeclared="keep")
    assert process(guard, good(extra="fine")).live == [0]
    batch = process(guard, good(extra={"deep": ["ana@example.com"]}))
    assert [finding.code for finding in batch.findings[0]] == ["inspect.email"]


@pytest.mark.parametrize("step", ["coerce", {"coerce": "string"}])
def test_a_rounded_number_does_not_become_a_text(keyring, step):
    batch = Batch("people", [b'{"id":%d,"email":"a@b.com"}' % number for number in (7, 10**22, 10**22 + 1)])
    guard_of(keyring, clean={"id": [step]}, quality=[]).process(batch)
    assert batch.live == [0]
    assert [batch.findings[row][0].code for row in (1, 2)] == ["decode.number"] * 2


def test_names_of_a_map_are_looked_at_whatever_happens_to_its_values(keyring):
    policy = {"fields": {"m.*": "encrypt", "by.*.email": "redact"}, "keep": ["scores.*"], "quality": []}
    documents = [
        {"m": {"home": "x"}, "by": {"home": {"email": "x"}}, "scores": {"home": 1}},
        {"m": {"ana@example.com": "x"}},
        {"by": {"ana@example.com": {"email": "x"}}},
        {"scores": {"ana@example.com": 1}},
    ]
    values = [orjson.dumps(document) for document in documents]
    batch = Batch("people", values)
    guard_of(keyring, None, **policy).process(batch)
    assert batch.live == [0]
    assert {row: found[0].path for row, found in batch.findings.items()} == {
        1: "m.*",
        2: "by.*",
        3: "scores.*",
    }
    skipped = Batch("people", values)
    guard_of(keyring, None, **policy, inspect={"skip": ["m.*"]}).process(skipped)
    assert skipped.live == [0, 1]


def test_inspection_can_be_skipped_by_name_or_switched_off(keyring):
    for inspect in ({"skip": ["note"]}, "off"):
        assert process(guard_of(keyring, inspect=inspect), good(note="mail ana@example.com")).live == [0]


@pytest.mark.parametrize(("longest", "looks"), [(3, False), (4, True)])
def test_texts_too_short_for_anything_are_not_looked_through(keyring, longest, looks):
    schema = {
        **SCHEMA,
        "properties": SCHEMA["properties"] | {"note": {"type": "string", "maxLength": longest}},
    }
    (inspect,) = [
        stage
        for room in guard_of(keyring, schema=schema).rooms
        for stage in room
        if isinstance(stage, Inspect)
    ]
    assert ("note" in [str(columns.path) for columns in inspect.columns]) is looks


def test_a_transform_that_cannot_take_a_value_rejects_its_row_only(keyring):
    guard = guard_of(keyring, fields=POLICY["fields"] | {"card": {"generalize": {"date": "year"}}})
    batch = process(guard, good(card="1984-02-11"), GOOD)
    assert batch.live == [0]
    (finding,) = batch.findings[1]
    assert finding.code.startswith("transform.generalize.")
    assert "4111" not in repr(finding)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*GOOD, "x"]) | st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(
    st.lists(JSON | st.dictionaries(st.sampled_from([*GOOD, "x"]), JSON), max_size=6),
    st.sampled_from(["schema", "no schema"]),
)
def test_every_row_is_either_live_or_explained(keyring, documents, which):
    guard = guard_of(keyring, schema=SCHEMA if which == "schema" else None)
    batch = process(guard, *map(orjson.dumps, documents))
    assert sorted([*batch.live, *batch.findings]) == list(range(len(documents)))
    for row in batch.findings:
        assert orjson.loads(guard.explain(batch, row).body)["errors"]
    for row in batch.live:
        assert set(orjson.loads(batch.out_values[row])) <= set(GOOD)


def test_quarantine_keys_are_asked_for_with_their_retention(keyring):
    guard = guard_of(keyring, quarantine={"retain": "3d"})
    assert guard.policy.quarantine.retain == timedelta(days=3)
    assert guard.explain(process(guard, b"x"), 0).body


class Broken(Transform[Options]):
    """What another package might hand us."""

    verb = "broken"
    takes = frozenset({"string"})

    def apply(self, values, reject):
        if "short" in values:
            return values[:-1]
        if "raise" in values:
            raise RuntimeError(f"CANARY {values}")
        if "panic" in values:
            raise BaseException("CANARY")  # noqa: TRY002 - as a panic in Rust looks from here
        return ["*"] * len(values)


@pytest.mark.parametrize("how", ["short", "raise", "panic"])
def test_a_transform_that_breaks_costs_its_own_record_only(keyring, monkeypatch, caplog, how):
    monkeypatch.setattr("streamguard.guard.fields.register", lambda: {**register(), "broken": Broken})
    guard = guard_of(keyring, fields=POLICY["fields"] | {"card": "broken"})
    batch = process(
        guard, good(age=-1), GOOD, good(card=how), None, GOOD, keys=[b"a", b"b", b"c", b"d", b"e"]
    )
    assert batch.live == [1, 3, 4]
    assert [finding.code for finding in batch.findings[2]] == ["guard.failed"]
    assert [finding.code for finding in batch.findings[0]] == ["schema.minimum"]
    assert [orjson.loads(batch.out_values[row])["card"] for row in (1, 4)] == ["*", "*"]
    assert batch.out_keys[3] == process(guard, None, keys=[b"d"]).out_keys[0]
    assert b"CANARY" not in guard.explain(batch, 2).body
    assert "CANARY" not in "".join(record.getMessage() for record in caplog.records)


def test_keys_that_cannot_be_had_stop_the_batch(keyring, monkeypatch):
    guard = guard_of(keyring)

    def away(*_):
        raise KeysUnavailableError("no keys now")

    monkeypatch.setattr(keyring, "fresh", away)
    with pytest.raises(KeysUnavailableError):
        process(guard, GOOD)


def test_what_was_found_before_the_guard_is_not_forgotten(keyring, monkeypatch):
    monkeypatch.setattr("streamguard.guard.fields.register", lambda: {**register(), "broken": Broken})
    guard = guard_of(keyring, fields=POLICY["fields"] | {"card": "broken"})
    batch = Batch("people", [orjson.dumps(GOOD), orjson.dumps(good(card="raise"))])
    batch.reject(0, Finding("decode.size", "decode", "too long"))
    guard.process(batch)
    assert {row: [finding.code for finding in found] for row, found in batch.findings.items()} == {
        0: ["decode.size"],
        1: ["guard.failed"],
    }


@pytest.mark.parametrize(
    ("timestamp", "told"),
    [("keep", 1_700_000_123_456), ("drop", 0), ({"truncate": {"to": "hour"}}, 1_699_999_200_000)],
)
def test_a_violation_tells_no_more_of_the_time_than_the_policy(keyring, timestamp, told):
    guard = guard_of(keyring, timestamp=timestamp)
    body = orjson.loads(guard.explain(process(guard, b"x", timestamps=[1_700_000_123_456]), 0).body)
    assert body["source"]["timestamp"] == told


class Talkative(Broken):
    """Another package's transform that puts the value into its code."""

    def apply(self, values, reject):
        reject(0, f"cannot take {values[0]}")
        return values


def test_a_code_that_is_no_code_is_not_passed_on(keyring, monkeypatch):
    monkeypatch.setattr("streamguard.guard.fields.register", lambda: {**register(), "broken": Talkative})
    guard = guard_of(keyring, fields=POLICY["fields"] | {"card": "broken"})
    batch = process(guard, good(card="CANARY"))
    assert [finding.code for finding in batch.findings[0]] == ["transform.broken.domain"]
    assert b"CANARY" not in guard.explain(batch, 0).body


# -- whose data it is, and which keys --------------------------------------------------------------------------------

VISIT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "who": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"id": STRING, "name": STRING},
        },
        "ssn": STRING,
        "dates": {"type": "array", "items": STRING},
        "code": STRING,
    },
}
VISITS = {
    "name": "visits",
    "version": "1",
    "topic": "visits",
    "key": {"verb": "fpe", "element": "key"},
    "timestamp": "drop",
    "subject": "who.id",
    "fields": {
        "who.id": {"tokenize": {}, "element": "person"},
        "who.name": {"encrypt": {"per": "subject"}},
        "ssn": "fpe",
        "dates[*]": "shift_dates",
        "code": "vault",
    },
}


def visits(keyring):
    return Guard(Policy.model_validate(copy.deepcopy(VISITS)), VISIT, keyring)


def visit(person, *dates):
    return {"who": {"id": person, "name": f"Name of {person}"}, "ssn": "609983079", "dates": list(dates)}


def test_every_value_gets_the_subject_of_its_own_record_before_that_is_protected():
    keyring = Keyring.in_memory()
    guard = visits(keyring)
    records = [
        visit("A", "2024-02-29", "2024-03-01"),
        visit("B"),
        visit("C", "2024-02-29"),
        visit("A", "2024-02-29"),
    ]
    batch = process(guard, *records)
    assert batch.live == [0, 1, 2, 3]
    out = [orjson.loads(value) for value in batch.out_values]
    assert out[0]["dates"][0] == out[3]["dates"][0]
    assert out[0]["who"]["id"] == out[3]["who"]["id"] != "A"
    assert keyring.subjects.destroy("person", ["A"]) == 1
    for row, person in ((1, "B"), (2, "C")):
        assert open_token(out[row]["who"]["name"], keyring) == f"Name of {person}"
    for row in (0, 3):
        with pytest.raises(KeyMissingError):
            open_token(out[row]["who"]["name"], keyring)


def test_the_header_names_the_keys_that_values_do_not_and_everything_can_be_turned_back():
    keyring = Keyring.in_memory()
    guard = visits(keyring)
    record = visit("A", "2024-02-29") | {"code": "secret"}
    batch = process(guard, record, visit("B"), keys=[b"123456789", None])
    headers = dict(batch.out_headers[0])
    ids = parse_key_ids(headers["sg-keys"])
    assert list(ids) == ["ssn", "dates[*]", "$key"]
    assert dict(batch.out_headers[1])["sg-keys"] == headers["sg-keys"]
    out = orjson.loads(batch.out_values[0])
    (protect,) = [stage for room in guard.rooms for stage in room if stage.stage == "protect"]
    by_path = {step.path: step.transform for step in protect.steps}
    assert by_path["ssn"].reverse([out["ssn"]], [Origin(ids["ssn"])]) == ["609983079"]
    assert by_path["dates[*]"].reverse(out["dates"], [Origin(ids["dates[*]"], "A")]) == ["2024-02-29"]
    assert by_path["code"].reverse([out["code"]], [Origin()]) == ["secret"]
    envelope = guard.rooms[-1][-1]
    assert envelope.key.reverse([batch.out_keys[0].decode()], [Origin(ids["$key"])]) == ["123456789"]


def test_policies_without_such_fields_have_no_such_header(guard):
    assert "sg-keys" not in dict(process(guard, GOOD).out_headers[0])


@pytest.mark.parametrize("who", [{}, {"id": ""}])
def test_a_record_that_is_nobodys_is_a_violation(keyring, who):
    record = {"who": {"name": "Ana"} | who, "dates": ["2024-02-29"]}
    batch = process(visits(keyring), record, visit("B"))
    assert batch.live == [1]
    found = {(finding.code, finding.path) for finding in batch.findings[0]}
    assert found == {("transform.encrypt.subject", "who.name"), ("transform.shift_dates.subject", "dates[*]")}


def test_a_rotation_between_slices_shows_in_the_header():
    keyring = Keyring.in_memory()
    guard = visits(keyring)
    first = process(guard, visit("A"))
    keyring.rotate("visits.ssn")
    second = process(guard, visit("A"))
    before, after = (parse_key_ids(dict(one.out_headers[0])["sg-keys"])["ssn"] for one in (first, second))
    assert before != after
    assert orjson.loads(first.out_values[0])["ssn"] != orjson.loads(second.out_values[0])["ssn"]
