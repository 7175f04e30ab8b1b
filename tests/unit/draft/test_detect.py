"""What names and values say together, and how sure that is."""

import pytest

from streamguard.demo.sample import Orders
from streamguard.draft import kinds
from streamguard.draft.detect import detect
from streamguard.draft.kinds import Confidence
from streamguard.formats.base import Leaf
from streamguard.policy.paths import parse_path

CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def leaf_of(path, values, **more):
    return Leaf(
        parse_path(path), frozenset(TYPES[type(value)] for value in values) or frozenset({"string"}), **more
    )


def found(path, *values, **more):
    finding = detect(leaf_of(path, values, **more), list(values))
    return None if finding is None else (finding.kind, finding.confidence)


NAMES = ("Ana Sousa", "Bo Li", "Chiara De Rossi", "Kofi Mensah")
CARDS = ("4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444")


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("email", ("ana@example.com", "bo@example.com"), (kinds.EMAIL, CERTAIN)),
        ("x", ("ana@example.com", "bo@example.com"), (kinds.EMAIL, CERTAIN)),
        ("login", ("ana@example.com", "bo@example.com"), (kinds.EMAIL, CERTAIN)),
        ("email", ("yes", "no"), (kinds.EMAIL, POSSIBLE)),
        ("email", (True, False), None),
        ("x", CARDS, (kinds.CARD, CERTAIN)),
        ("x", (4111111111111111, 5555555555554444), (kinds.CARD, LIKELY)),
        ("x", ("DE89370400440532013000", "DE89 3704 0044 0532 0130 00"), (kinds.IBAN, CERTAIN)),
        ("x", ("192.0.2.1", "198.51.100.7"), (kinds.IP, LIKELY)),
        ("client_ip", ("192.0.2.1", "2001:db8::1"), (kinds.IP, CERTAIN)),
        ("x", ("+49 30 901820", "+1 415 555 2671"), (kinds.PHONE, LIKELY)),
        ("phone", ("+49 30 901820", "+1 415 555 2671"), (kinds.PHONE, CERTAIN)),
        ("phone", ("0301234567", "0307654321"), (kinds.PHONE, CERTAIN)),
        ("x", ("123-45-6789", "321-54-9876"), (kinds.SSN, LIKELY)),
        ("ssn", ("123456789", "321549876"), (kinds.SSN, CERTAIN)),
        ("x", ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnop",), (kinds.SECRET, CERTAIN)),
        ("x", ("00:1b:44:11:3a:b7", "00:1b:44:11:3a:b8"), (kinds.DEVICE, LIKELY)),
        ("x", ("52.5200,13.4050", "48.8566,2.3522"), (kinds.GEO, LIKELY)),
        ("lat", (52.52, 48.8566), (kinds.GEO, CERTAIN)),
        ("birth_date", ("1984-02-11", "1990-07-30"), (kinds.BIRTH_DATE, CERTAIN)),
        ("x", ("1951-03-02", "1984-02-11", "2001-07-30"), (kinds.BIRTH_DATE, POSSIBLE)),
        ("x", ("2024-02-11", "2024-07-30", "2025-01-01"), None),
        ("customer.name", NAMES, (kinds.NAME, CERTAIN)),
        ("customer.name", ("a1", "b2"), (kinds.NAME, POSSIBLE)),
        ("x", NAMES, (kinds.NAME, POSSIBLE)),
        ("x", ("New York",) * 50, None),
        ("note", ("leave at the door", "ring the bell twice please"), (kinds.FREE_TEXT, CERTAIN)),
        ("x", ("leave it at the door", "ring the bell twice please", "no"), (kinds.FREE_TEXT, POSSIBLE)),
        ("x", ("in transit to the hub",) * 50, None),
        ("x", ("fine", "write to ana@example.com now please", "ok"), (kinds.FREE_TEXT, LIKELY)),
        ("x", ("REF1", "REF4111-1111-1111-1111", "ORD 4111111111111111", "A"), (kinds.IDENTIFIER, LIKELY)),
        ("customer.id", ("C1", "C2"), (kinds.PERSON, LIKELY)),
        ("password", ("x",), (kinds.SECRET, CERTAIN)),
        ("smoker", (True, False), (kinds.SPECIAL, LIKELY)),
        ("age", (31, 45), (kinds.AGE, CERTAIN)),
        ("amount", (31, 45), None),
        ("type", ("order.placed", "order.paid"), None),
        ("never", (), None),
    ],
)  # fmt: skip
def test_a_field(path, values, expected):
    assert found(path, *values) == expected


def test_an_enum_is_judged_by_its_name_alone():
    assert found("sku", "ana@example.com", enum=("ana@example.com",)) is None
    assert found("gender", "f", "m", enum=("f", "m")) == (kinds.GENDER, LIKELY)


def test_what_a_schema_says_itself_is_certain():
    assert found("amount", 1, tags=frozenset({"PII"})) == (kinds.TAGGED, CERTAIN)
    assert found("name", "Ana Sousa", tags=frozenset({"PII"})) == (kinds.NAME, CERTAIN)


@pytest.mark.parametrize("types", [{"object"}, {"array"}, {"object", "string"}, {"bytes"}])
def test_what_can_hold_anything_is_guarded_whole(types):
    leaf = Leaf(parse_path("labels"), frozenset(types), free="bytes" not in types)
    assert detect(leaf, []).kind is kinds.OPEN
    assert detect(Leaf(parse_path("secrets"), frozenset(types), free=True), []).kind is kinds.SECRET


def test_a_reason_holds_no_value():
    reason = detect(leaf_of("x", ["fine"]), ["fine", "write to ana@example.com now please", "ok"]).reason
    assert reason == "holds what looks like an e-mail address in 1 of 3 values"


def test_the_orders_of_the_demo():
    import orjson

    orders = [orjson.loads(sample.value) for sample, _ in zip(Orders(faults=0), range(300), strict=False)]

    def kind(path, column):
        finding = detect(leaf_of(path, column), column)
        return finding and (finding.kind, finding.confidence)

    customer = {name: [order["customer"][name] for order in orders] for name in orders[0]["customer"]}
    assert {name: kind(f"customer.{name}", column) for name, column in customer.items()} == {
        "id": (kinds.PERSON, LIKELY),
        "name": (kinds.NAME, CERTAIN),
        "email": (kinds.EMAIL, CERTAIN),
        "phone": (kinds.PHONE, CERTAIN),
        "ssn": (kinds.SSN, CERTAIN),
        "birth_date": (kinds.BIRTH_DATE, CERTAIN),
    }
    assert kind("event_id", [order["event_id"] for order in orders]) is None
    assert kind("payment.card_number", [order["payment"]["card_number"] for order in orders]) == (
        kinds.CARD,
        CERTAIN,
    )
