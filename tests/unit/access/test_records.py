"""Whole records: what the guard protected comes back, and nothing else is touched."""

import orjson
import pytest

from streamguard.access.audit import Trail
from streamguard.access.authn import Authenticator
from streamguard.access.authz import Rules
from streamguard.access.principal import Principal
from streamguard.access.records import OTHER, Record, Records
from streamguard.access.reveal import Desk
from streamguard.crypto.keyring import Keyring
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy

POLICY = """
topic: orders
key: drop
subject: customer.id
undeclared: drop
fields:
  customer.id: {encrypt: {deterministic: true}, element: customer}
  customer.email: {encrypt: {}, element: email}
  customer.phone: {encrypt: {per: subject}}
  customer.ssn: {fpe: {alphabet: digits, separators: "-"}}
  customer.born: {shift_dates: {max_days: 30}}
  customer.city: {vault: {}}
  customer.name: tokenize
  items[*].note: encrypt
keep: [note]
"""
DOCUMENT = {
    "customer": {
        "id": "C1", "email": "ana@example.com", "phone": "+49 170 1234567", "ssn": "123-45-6789", "born": "1990-02-03",
        "city": "Wien", "name": "Ana",
    },
    "items": [{"note": "a"}, {"note": None}, {}, {"note": {"b": 1}}],
    "note": "kept",
}  # fmt: skip
EVERYTHING = 'permit (principal in Role::"all", action, resource in Topic::"orders.clean");'
SOME = """
permit (principal in Role::"some", action == Action::"reveal", resource == Element::"email");
permit (principal in Role::"some", action == Action::"reveal_masked", resource == Element::"customer");
permit (principal in Role::"some", action == Action::"reveal", resource == Element::"orders.customer.born");
"""


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "orders.yaml"
    file.write_text(POLICY)
    return load_policy(file)


@pytest.fixture
def keyring():
    return Keyring.in_memory()


@pytest.fixture
def desk(keyring):
    return Desk(
        keyring, Trail(keyring), authenticator=Authenticator(), rules=Rules({"a": EVERYTHING, "b": SOME})
    )


def protected(loaded, keyring, *documents):
    """Records as the guard writes them."""
    batch = Batch("orders", [orjson.dumps(document) for document in documents])
    Guard(loaded.policy, loaded.schema, keyring).process(batch)
    assert batch.findings == {}
    return [
        Record(orjson.loads(value), headers)
        for value, headers in zip(batch.out_values, batch.out_headers, strict=True)
    ]


def role(name):
    return Principal("token:x", frozenset({name}), "token")


def expected(record):
    """All of it in the clear, but for what is no way back from."""
    return {**DOCUMENT, "customer": {**DOCUMENT["customer"], "name": record.document["customer"]["name"]}}


def test_everything_reversible_comes_back(loaded, keyring, desk):
    records = protected(loaded, keyring, DOCUMENT, DOCUMENT)
    before = orjson.dumps(records[0].document)
    for value in ('"C1"', "ana@", "+49", "-6789", "1990-02-03", "Wien", '"Ana'):
        assert value.encode() not in before
    assert Records(loaded, desk).reveal(role("all"), records, topic="orders.clean") == []
    assert [record.document for record in records] == [expected(records[0]), expected(records[1])]
    counted = {row.element: row.count for row in keyring.store.audit.entries()}
    assert counted == {
        "customer": 2, "email": 2, "orders.customer.phone": 2, "orders.customer.ssn": 2, "orders.customer.born": 2,
        "orders.customer.city": 2, "orders.items[*].note": 4,
    }  # fmt: skip


def test_a_topic_counts_only_where_it_was_read(loaded, keyring, desk):
    records = protected(loaded, keyring, DOCUMENT)
    before = orjson.dumps(records[0].document)
    faults = Records(loaded, desk).reveal(role("all"), records)
    assert {fault.answer.error for fault in faults} == {"denied"}
    assert orjson.dumps(records[0].document) == before


def test_records_of_old_keys_come_back(loaded, keyring, desk):
    (old,) = protected(loaded, keyring, DOCUMENT)
    for element in ("customer", "orders.customer.ssn", "orders.customer.city", "subject:customer"):
        keyring.rotate(element)
    (new,) = protected(loaded, keyring, DOCUMENT)
    assert old.document["customer"]["ssn"] != new.document["customer"]["ssn"]
    assert Records(loaded, desk).reveal(role("all"), [old, new], topic="orders.clean") == []
    assert (old.document, new.document) == (expected(old), expected(new))


def test_each_field_for_those_who_may(loaded, keyring, desk):
    (record,) = protected(loaded, keyring, DOCUMENT)
    faults = Records(loaded, desk).reveal(role("some"), [record])
    assert record.document["customer"]["email"] == "ana@example.com"
    assert record.document["customer"]["id"] == "**"
    found = {fault.path: fault.answer.error for fault in faults}
    # Whose the date is was shown masked only, so it cannot be moved back.
    assert found.pop("customer.born") == "token"
    assert found == dict.fromkeys(
        ("customer.phone", "customer.ssn", "customer.city", "items[*].note"), "denied"
    )


def test_a_token_that_was_moved_stays_closed(loaded, keyring, desk):
    """Into a kept field, and into a field of another element."""
    (record,) = protected(loaded, keyring, DOCUMENT)
    customer = record.document["customer"]
    mine = customer["email"]
    record.document["note"], record.document["items"][0]["note"], customer["id"] = mine, mine, 12
    customer["city"] = "vt_unknown"
    faults = Records(loaded, desk).reveal(role("all"), [record], topic="orders.clean")
    assert record.document["note"] == mine
    assert record.document["items"][0]["note"] == mine
    assert {(fault.path, fault.answer.error) for fault in faults} == {
        ("items[*].note", "token"), ("customer.id", "token"), ("customer.city", "token"), ("customer.born", "token"),
    }  # fmt: skip


def test_records_of_another_version_of_the_policy(loaded, keyring, desk):
    (record,) = protected(loaded, keyring, DOCUMENT)
    record.headers[:] = [
        (name, b"orders@other" if name == "sg-policy" else value) for name, value in record.headers
    ]
    faults = Records(loaded, desk).reveal(role("all"), [record], topic="orders.clean")
    assert {(fault.path, fault.answer.message) for fault in faults} == {
        ("customer.ssn", OTHER),
        ("customer.born", OTHER),
    }
    assert record.document["customer"]["city"] == "Wien"
    again = Record({"customer": {"ssn": record.document["customer"]["ssn"]}}, record.headers)
    assert Records(loaded, desk, any_version=True).reveal(role("all"), [again], topic="orders.clean") == []
    assert again.document == {"customer": {"ssn": "123-45-6789"}}


def test_without_headers_the_caller_names_keys(loaded, keyring, desk):
    (record,) = protected(loaded, keyring, DOCUMENT)
    ssn = record.document["customer"]["ssn"]
    bare = Record({"customer": {"ssn": ssn}})
    (fault,) = Records(loaded, desk).reveal(role("all"), [bare], topic="orders.clean")
    assert (fault.path, fault.answer.error) == ("customer.ssn", "token")
    key_id = keyring.pinned("orders.customer.ssn").id
    named = Record({"customer": {"ssn": ssn}}, key_ids={"customer.ssn": key_id})
    assert Records(loaded, desk).reveal(role("all"), [named], topic="orders.clean") == []
    assert named.document == {"customer": {"ssn": "123-45-6789"}}
    broken = Record({"customer": {"ssn": ssn}}, [("sg-keys", b"nonsense")])
    assert len(Records(loaded, desk).reveal(role("all"), [broken], topic="orders.clean")) == 1


@pytest.mark.parametrize(
    "document", [{}, [], None, "text", {"customer": [1]}, {"customer": None}, {"items": {}}]
)
def test_other_shapes_stay_as_they_are(loaded, desk, document):
    before = orjson.dumps(document)
    assert Records(loaded, desk).reveal(role("all"), [Record(document)], topic="orders.clean") == []
    assert orjson.dumps(document) == before
