"""Whatever the records are: the draft passes `check` and its tests, and holds no value of theirs."""

import json
import random
from collections.abc import Iterator
from datetime import date
from functools import reduce
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.crypto.keyring import Keyring
from streamguard.demo.sample import Orders
from streamguard.draft.draft import draft
from streamguard.draft.evidence import read_json
from streamguard.draft.prove import Files, put, refuse_existing
from streamguard.errors import ConfigError, StreamGuardError, UsageError
from streamguard.guard.batch import Batch
from streamguard.guard.check import check
from streamguard.guard.guard import Guard
from streamguard.guard.policytest import run_tests
from streamguard.policy.loader import load_policy

REFERENCE = next(
    (
        file
        for folder in Path(__file__).parents
        if (file := folder / "shared" / "reference" / "orders.ndjson").exists()
    ),
    None,
)


def drafted(folder, documents, *, name="people", keys=None):
    """The draft in its place, and what came of trying it. `documents` are documents or the bytes of some."""
    values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in documents]
    evidence = read_json(values, keys)
    made = draft(name, f"schemas/{name}.schema.json", evidence)
    return made, put(made, Files(folder, name), evidence)


def texts_of(folder) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*.*")) if path.is_file())


def values_in(node) -> Iterator[object]:
    if isinstance(node, dict):
        for child in node.values():
            yield from values_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from values_in(child)
    else:
        yield node


def assert_nothing_observed(written: str, documents) -> None:
    """No text of four characters, and no number of six digits, of the documents is in what was written."""
    for value in {
        value for document in documents for value in values_in(document) if not isinstance(value, bool)
    }:
        shown = value if isinstance(value, str) else json.dumps(value)
        if len(shown) >= (4 if isinstance(value, str) else 6):
            assert shown not in written, shown


# -- whatever the records are ----------------------------------------------------------------------------------------

# Values that nobody would make up: what is found of them in a file was copied.
WORDS = st.text("αβγδεζηθικλμνξοπρστυφχψω", min_size=4, max_size=12)
TEXTS = st.one_of(
    WORDS,
    WORDS.map(lambda word: word.upper() + " " + word),
    st.builds(lambda one, two: f"{one.encode().hex()}@{two.encode().hex()[:20]}.example", WORDS, WORDS),
    st.dates(date(1903, 2, 3), date(2031, 1, 1)).map(lambda day: f"{day}T07:08:09.123Z"),
    st.uuids().map(str),
    st.ip_addresses(v=4, network="10.128.0.0/9").map(str),
    st.ip_addresses(v=6).map(str),
    st.lists(WORDS, min_size=4, max_size=6).map(" ".join),
    st.integers(10**12, 10**15).map(str),
    st.just(""),
)
NUMBERS = st.integers(10**9, 2**63) | st.floats(1e6, 1e12).map(lambda number: round(number, 3))
MAILS = st.builds(lambda one: f"{one.encode().hex()}@{one.encode().hex()[:20]}.example", WORDS)
NAMES = st.sampled_from(
    ["email", "name", "customer", "id", "note", "lat", "ip", "a.b", "x[0]", "*", "with space", "$id", "<<", "null",
     "ünïcode", "😀", "password", "birth_date", "card", "#", ": ", "-", 'quote"s', "back\\slash", "items", "y"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.dictionaries(MAILS, inner, max_size=3)
    ),
    max_leaves=12,
)
# Fields that are alike in every record, so that what they are shows in the values, whatever they are called.
COLUMNS = st.sampled_from(
    [
        st.lists(WORDS, min_size=4, max_size=6).map(" ".join),
        st.lists(WORDS.map(str.capitalize), min_size=2, max_size=3).map(" ".join),
        st.dates(date(1903, 2, 3), date(2005, 1, 1)).map(str),
        st.ip_addresses(v=6).map(str),
        MAILS,
        st.sampled_from(["4242424242424242", "5105105105105100", "378282246310005"]),
        st.sampled_from(["+14155552671", "+442079460958", "+4930901820"]),
        NUMBERS,
        WORDS,
    ]
)
DOCUMENTS = st.dictionaries(st.sampled_from(["c", "d", "id", "note", "mail"]), COLUMNS, max_size=3).flatmap(
    lambda columns: st.lists(
        st.builds(
            lambda one, alike, rest: {"at": one, **rest, **alike},
            NUMBERS | TEXTS,
            st.fixed_dictionaries(columns),
            st.dictionaries(NAMES, VALUES, max_size=5),
        ),
        min_size=1,
        max_size=8,
    )
)


@given(DOCUMENTS)
@settings(max_examples=60)
def test_any_records_give_a_draft_that_passes_and_holds_nothing_of_theirs(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("draft")
    _, proof = drafted(folder, documents)
    assert proof.clean + sum(proof.violations.values()) >= len(documents)
    assert all(code.startswith("inspect.") for code, _ in proof.violations)
    written = texts_of(folder)
    assert_nothing_observed(written, documents)
    assert not set("αβγδεζηθικλμνξοπρστυφχψω").intersection(written.lower().replace("ünïcode", ""))
    assert "@" not in written.replace("@example.com", "")
    loaded = load_policy(folder / "policies" / "people.yaml")
    assert check(loaded) == []
    assert all(result.passed for result in run_tests(folder / "policies" / "people.test.yaml").results)


# -- records that are meant --------------------------------------------------------------------------------------------


@pytest.fixture
def orders() -> list[dict]:
    return [orjson.loads(order.value) for order, _ in zip(Orders(faults=0), range(200), strict=False)]


def treated(made) -> dict[str, object]:
    return {str(one.leaf.path): one.rule and next(iter(one.rule)) for one in made.treatments}


def test_orders(tmp_path, orders):
    made, proof = drafted(tmp_path, orders, name="orders")
    assert treated(made) == {
        "event_id": None,
        "ts": None,
        "type": None,
        "customer.id": "tokenize",
        "customer.name": "encrypt",
        "customer.email": "encrypt",
        "customer.phone": "encrypt",
        "customer.ssn": "encrypt",
        "customer.birth_date": "generalize",
        "payment.card_number": "mask",
        "payment.amount": None,
        "payment.currency": None,
        "items[*].sku": None,
        "items[*].qty": None,
        "items[*].price": None,
        "items[*].gift_note": "redact",
        "ip": "generalize",
        "note": "redact",
    }
    assert (proof.clean, proof.violations) == (200, {})
    assert_nothing_observed(texts_of(tmp_path), [order["customer"] for order in orders])


@pytest.mark.skipif(REFERENCE is None, reason="the reference orders are not here")
def test_the_reference_orders(tmp_path):
    made, proof = drafted(tmp_path, REFERENCE.read_bytes().splitlines(), name="orders")
    assert proof.clean == 2000
    assert {path for path, rule in treated(made).items() if rule is None} == {
        "event_id", "ts", "type", "payment.amount", "payment.currency",
        "items[*].sku", "items[*].qty", "items[*].price",
    }  # fmt: skip


def test_each_finding_is_explained_above_its_line(tmp_path, orders):
    drafted(tmp_path, orders, name="orders")
    policy = (tmp_path / "policies" / "orders.yaml").read_text()
    assert (
        "  # e-mail address, certain: the name says 'email', and all 200 values look like one; in all 200 records.\n"
        "  # Equal values get equal tokens, so that they still join.\n"
        "  customer.email: {encrypt: {deterministic: true}, element: email}\n"
    ) in policy
    assert "\nsubject: customer.id\n" in policy
    assert max(map(len, policy.splitlines())) <= 120


def test_a_usual_treatment_that_some_values_do_not_take_gives_way(tmp_path):
    made, proof = drafted(
        tmp_path, [{"ip": "192.0.2.1", "dob": "1984-02-11"}, {"ip": "localhost", "dob": "11.2.1984"}]
    )
    assert treated(made) == {"ip": "encrypt", "dob": "encrypt"}
    assert proof.clean == 2


def test_names_that_need_care(tmp_path):
    names = [
        "*", "a.b", "x[0]", "with space", "$id", "<<", "ünïcode ñ", "emoji 😀", "null", "true", "~", "#hash", ": colon",
        "back\\slash", 'quote"s', "'", "-", "- x", "?", "? x", "{", "}", "[", "]", "&a", "!t", "|", ">", "`", "%", "@a",
        "undeclared", "undeclared_", "a: b", " lead", "trail ", "[*]", "\u2028", "\ufeff",
    ]  # fmt: skip
    inner = dict.fromkeys(names, "ληθη")
    document = {**inner, "deep": [{"o": inner}], "email \u2028": "ana@example.net"}
    made, proof = drafted(tmp_path, [document] * 3)
    assert proof.clean == 3
    assert len(made.treatments) == 2 * len(names) + 1
    assert "ληθη" not in texts_of(tmp_path)


def test_places_without_a_type(tmp_path):
    documents = [{"id": n, "never": None, "empty": [], "object": {}, "arrays": [[], [{}]]} for n in range(3)]
    made, proof = drafted(tmp_path, documents)
    assert {str(path) for path in made.never_filled} == {"never", "empty[*]"}
    assert proof.clean == 3
    loaded = load_policy(tmp_path / "policies" / "people.yaml")
    batch = Batch("people", [b'{"id":1,"never":"x","empty":["y"],"object":{"z":1},"arrays":[[{"q":1}]]}'])
    Guard(loaded.policy, loaded.schema, Keyring.in_memory()).process(batch)
    (value,) = batch.out_values
    document = orjson.loads(value)
    assert [document["never"][:3], document["empty"][0][:3], document["object"][:3]] == ["sg1"] * 3
    assert document["arrays"][0][0].startswith("sg1")


def test_nulls_types_that_differ_and_numbers_as_text(tmp_path):
    documents = [
        {
            "n": None if n % 2 else n,
            "t": str(n),
            "mix": [1, "a", True, {"q": 1}, [1], None][n % 6],
            "s": [1, "x"][n % 2],
        }
        for n in range(12)
    ]
    made, proof = drafted(tmp_path, documents)
    assert treated(made) == {"n": None, "t": None, "mix": "encrypt", "s": None}
    assert proof.clean == 12


def test_deep_documents_and_long_paths(tmp_path):
    deep = reduce(lambda below, _: {"name_of_a_level_that_is_long": below}, range(60), "μνημη")
    made, proof = drafted(tmp_path, [{"email": "ana@example.net", "deep": deep}])
    assert proof.clean == 1
    assert max(len(str(one.leaf.path)) for one in made.treatments) > 1024


def test_five_hundred_fields(tmp_path):
    made, proof = drafted(tmp_path, [{f"field_{n}": (n if n % 2 else "x") for n in range(500)}] * 3)
    assert (len(made.treatments), proof.clean) == (500, 3)


def test_property_names_that_are_data_stand_nowhere(tmp_path):
    documents = [{"id": n, "mails": {f"person{n}@example.net": {"seen": n}}} for n in range(5)]
    made, proof = drafted(tmp_path, documents)
    assert treated(made)["mails"] == "encrypt"
    assert proof.clean == 5
    assert "example.net" not in texts_of(tmp_path)


def test_the_same_records_give_the_same_draft(orders):
    values = [orjson.dumps(order) for order in orders]
    one, two = (draft("orders", "s.json", read_json(values)) for _ in range(2))
    assert (one.schema, one.policy, one.tests) == (two.schema, two.policy, two.tests)


def test_what_is_made_up_depends_on_no_value(orders):
    others = [
        orjson.loads(order.value) for order, _ in zip(Orders(seed=7, faults=0), range(200), strict=False)
    ]
    one, two = (
        draft("orders", "s.json", read_json(list(map(orjson.dumps, them)))) for them in (orders, others)
    )
    assert one.tests == two.tests


# -- the key -----------------------------------------------------------------------------------------------------------

PEOPLE = [
    {"id": f"C{n}", "email": f"p{n}@example.net", "sku": f"S{n}", "ip": f"192.0.2.{n}"} for n in range(1, 9)
]


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("id", "key: {tokenize: {}, element: people.id}"),
        ("email", "key: {encrypt: {deterministic: true}, element: email}"),
        ("sku", "key: tokenize"),
        ("ip", "key: tokenize"),
    ],
)
def test_a_key_that_repeats_a_field_joins_with_it(tmp_path, field, written):
    keys = [person[field].encode() for person in PEOPLE]
    made, proof = drafted(tmp_path, PEOPLE, keys=keys)
    assert made.key.like == field
    assert f"\n{written}\n" in (tmp_path / "policies" / "people.yaml").read_text()
    assert proof.clean == len(PEOPLE)
    loaded = load_policy(tmp_path / "policies" / "people.yaml")
    batch = Batch("people", [orjson.dumps(PEOPLE[0])], keys=[keys[0]])
    Guard(loaded.policy, loaded.schema, Keyring.in_memory()).process(batch)
    (key,), (value,) = batch.out_keys, batch.out_values
    if field in ("id", "email"):
        assert key.decode() == orjson.loads(value)[field]
    assert key != keys[0]


@pytest.mark.parametrize("keys", [None, [None] * 8, [b"a"] * 4 + [None] * 4, [b"\xff\x00"] * 8])
def test_any_other_key_becomes_a_pseudonym(tmp_path, keys):
    made, proof = drafted(tmp_path, PEOPLE, keys=keys)
    assert (made.key.rule, made.key.like) == ({"tokenize": {}}, "")
    assert proof.clean == len(PEOPLE)


# -- what cannot be read -----------------------------------------------------------------------------------------------


def test_what_the_guard_would_reject_is_counted_and_left_out(tmp_path):
    good = [orjson.dumps({"id": n}) for n in range(3)]
    bad = [
        b'{"id":',
        b"",
        b'{"id": 100000000000000000000}',
        b"[" * 100 + b"]" * 100,
        b'"text"',
        b"[1]",
        b"\xff",
    ]
    evidence = read_json([*good, *bad, None])
    assert evidence.unreadable == {
        "decode.json": 2, "decode.empty": 1, "decode.number": 1, "decode.depth": 1, "schema.type": 2,
    }  # fmt: skip
    assert (evidence.tombstones, len(evidence.documents)) == (1, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([b"secretdata"], "(1 decode.json)"),
        ([b'["secretdata"]'], "None of the records is an object"),
        ([None, None], "There is no record to look at"),
        ([], "There is no record to look at"),
        ([b"{}"], "have no fields"),
    ],
)
def test_nothing_to_draft_from(values, said):
    with pytest.raises(ConfigError) as refused:
        draft("t", "s.json", read_json(values))
    assert said in str(refused.value)
    assert "secretdata" not in str(refused.value)


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_that_are_there_are_named_and_left_alone(tmp_path):
    drafted(tmp_path, PEOPLE)
    with pytest.raises(UsageError) as refused:
        refuse_existing(Files(tmp_path, "people"))
    for name in ("people.schema.json", "people.yaml", "people.test.yaml"):
        assert name in str(refused.value)
    refuse_existing(Files(tmp_path, "others"))


def test_a_draft_that_does_not_pass_is_not_written(tmp_path):
    evidence = read_json([orjson.dumps(person) for person in PEOPLE])
    made = draft("people", "schemas/other.schema.json", evidence)  # a name that no file will have
    with pytest.raises(StreamGuardError, match="does not pass its own check: missing_file"):
        put(made, Files(tmp_path, "people"), evidence)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "schemas").write_text("a file where a folder belongs")
    with pytest.raises(StreamGuardError, match="cannot be written"):
        drafted(tmp_path, PEOPLE)


def test_records_that_would_be_violations_are_counted(tmp_path):
    random.seed(3)
    values = [orjson.dumps({"id": f"C{n}", "f": {"x": n}}) for n in range(20)]
    evidence = read_json(values)
    made = draft("people", "schemas/people.schema.json", evidence)
    evidence.values[3] = b'{"id": "C1", "f": {"x": "text"}}'
    proof = put(made, Files(tmp_path, "people"), evidence)
    assert (proof.clean, proof.violations) == (19, {("schema.type", "f.x"): 1})
