"""The last look: what it finds, what it leaves alone, and that looking at a column is looking at each of its values."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.guard.batch import Batch
from streamguard.guard.inspect import Inspect, find, scan
from streamguard.guard.lookalikes import LOOKALIKES, MESSAGES, is_card
from streamguard.policy.paths import parse_path

AZURE = "A" * 86 + "=="
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
JWE = (
    "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp2ojaHV7LFp.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYI.XFBoMYUZodetZdvT"
)

FOUND = {
    "email": [
        "ana@example.com",
        "write to ana.b+c@mail.example.co.uk, please",
        "用户ana@例子.公司",
        "mailto:ana@example.com?subject=x",
        "ana＠example.com",  # noqa: RUF001 - full-width, as some keyboards type it
        "a\u200bna@exam\u00adple.com",
        "a\x00na@example.com",
    ],
    "card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "41111111 11111111",
        "4222222222222",
        "6799990100000000019",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "5555555555554444",
        "2223003122003222",
        "6011111111111117",
        "3530111333300000",
        "6304000000000000",
        "paid with 4111111111111111.",
        "card4111111111111111",
        "order 12 4111 1111 1111 1111 thanks",
        "4111 1111 1111 1111 12/27 123",
        "4111111111111111-12/27",
        "４１１１ １１１１ １１１１ １１１１",  # noqa: RUF001
        "٤١١١١١١١١١١١١١١١",
        "4111\u00a01111\u20111111\u200b1111",
    ],
    "iban": [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "to DE89 3704 0044 0532 0130 00 by Friday",
        "gb82west12345698765432",
        "IBAN:GB82 WEST 1234 5698 7654 32",
        "IBANDE89370400440532013000",
        "NO9386011117947",
        "NL91ABNA0417164300",
        "FR1420041010050500013M02606",
        "MT84MALT011000012345MTLCAST001S",
        "BR1800360305000010009795493C1",
        "SC18SSCB11010000000000001497USD",
    ],
    "ssn": ["123-45-6789", "SSN 123 45 6789.", "ssn:875-43-9735", "900-70-1234"],
    "phone": [
        "+14155552671",
        "+49 (0)30 123456",
        "+44 20 7946 0958",
        "0044 20 7946 0958",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "1-800-555-2671",
        "275.685.9910x349",
        "01 23 45 67 89",
        "06 12345678",
        "020 7946 0958",
        "07700 900123",
        "0171-1234567",
        "(030) 123456",
        "(11) 98765-4321",
        "138 1234 5678",
        "010-1234-5678",
        "03-1234-5678",
        "call me 4155552671",
        "Tel.: 07700900123",
    ],
    "ip": [
        "10.221.52.176",
        "from 192.168.0.1:8080.",
        "2001:db8::1",
        "[2001:db8::1]:443",
        "ip:2001:db8::1",
        "id:2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "It was 2001:db8::1.",
    ],
    "jwt": [JWT, f"Authorization: Bearer {JWT}", f"token_{JWT}", JWE],
    "private_key": [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "PuTTY-User-Key-File-3: ssh-ed25519",
    ],
    "cloud_key": [
        "AKIAIOSFODNN7EXAMPLE",
        "key=ASIAIOSFODNN7EXAMPLE;",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "xoxb-123456789012-abcdefghij",
        "sk_live_abcdefghijklmnop1234",
        f"DefaultEndpointsProtocol=https;AccountKey={AZURE};",
        "A" * 76 + "+AStAAAAAA==",
    ],
}
CLEAN = [
    "",
    "leave at the door",
    "SKU-8164",
    "ORD-2025-00123456",
    "33406bc4-4dc2-a627-940e-ee3cba6f875c",
    "d41d8cd98f00b204e9800998ecf8427e",
    "2024-01-02 10:30:00",
    "2024-01-02T10:30:00.123Z",
    "2024-01-02 - 2024-02-03",
    "01/02/2024 12:30",
    "call us on 2024-01-02 at 10",
    "order 20250101123456",
    "1763700000000",
    "12.50 or 1,234.56",
    "version 1.2.3, v1.2.3.4",
    "256.1.1.1",
    "4111111111111112",
    "1234567890123452",
    "12 45 33 41 55 66 77 88 99 10 11",
    "4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4",
    "DE00370400440532013000",
    "XX89370400440532013000",
    "tracking 1Z999AA10123456784",
    "ISBN 978-3-16-148410-0",
    "000-12-3456, 666-12-3456, 123-00-4567, 123-45-0000",
    "A123-45-6789",
    "std::vector<int>, cafe::add",
    "10:30:00 and 00:1A:2B:3C:4D:5E",
    "a@b, @home, meet @ 5pm",
    "price 200 300",
    "lat +40.20361, lon -75.004",
    "ein ganz gewöhnlicher Satz über Größe",
    "BEGIN CERTIFICATE, PUBLIC KEY",
    "eyJ is how they begin",
    "ASIA and AIza are words",
]
EXAMPLES = [(code, text) for code, texts in FOUND.items() for text in texts]


@pytest.mark.parametrize(("code", "text"), EXAMPLES)
def test_finds(code, text):
    assert find(text) == [code]


@pytest.mark.parametrize("text", CLEAN)
def test_leaves_alone(text):
    assert find(text) == []


def test_says_all_that_a_text_holds():
    assert find("ana@example.com paid with 4111 1111 1111 1111 from 10.0.0.1") == ["card", "email", "ip"]


def test_every_code_has_a_message_and_the_messages_no_more():
    assert {shape.code for shape in LOOKALIKES} == MESSAGES.keys() == FOUND.keys()


def test_the_numbers_of_each_row_are_its_own():
    assert scan(["4111 1111", "1111 1111", "4111111111111111", "123-45", "6789"]) == [(2, "card")]
    assert scan(["ana@", "example.com"]) == []
    assert scan(["4111\x001111", "\x00", "4111\x00111111111111"]) == [(2, "card")]
    assert scan([]) == []


SEPARATORS = st.sampled_from([" ", "", ", ", "-", "\n", "\x00", "é"])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("0123456789 -.+()@:aeyJf", max_size=60),
    st.sampled_from([text for _, text in EXAMPLES] + CLEAN),
    st.builds(
        lambda before, gap, example, after: before + gap + example[1] + after,
        st.text(max_size=10),
        SEPARATORS,
        st.sampled_from(EXAMPLES),
        st.text(max_size=10),
    ),
)


@given(st.lists(TEXTS, max_size=12))
def test_a_column_is_its_values_one_by_one(values):
    assert scan(values) == [(row, code) for row, value in enumerate(values) for code in find(value)]


@given(TEXTS)
def test_no_pattern_matches_where_its_traces_are_missing(text):
    everywhere = {
        shape.code
        for shape in LOOKALIKES
        if text.isascii()
        and "\x00" not in text
        and any(shape.verify is None or shape.verify(hit) for hit in shape.pattern.finditer(text))
    }
    assert everywhere <= set(find(text))


@given(
    st.sampled_from(EXAMPLES), st.text("abc xyz,.!?äöü", max_size=30), st.text("abc xyz,.!?äöü", max_size=30)
)
def test_finds_between_other_words(example, before, after):
    code, text = example
    assert code in find(f"{before} {text} {after}")


@given(st.integers(min_value=10**13, max_value=10**14 - 1))
def test_one_digit_of_ten_makes_a_card(number):
    cards = [digit for digit in range(10) if is_card(f"4{number}{digit}")]
    assert cards == [digit for digit in range(10) if _luhn(f"4{number}{digit}")]
    assert len(cards) == 1


def _luhn(digits):
    """The checksum as ISO/IEC 7812-1 words it."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


# Each repeats what makes some pattern hope. A quadratic pattern needs hours for these.
HOPES = [
    "a", "1", "4", "4-", "4 ", "1111 ", "4444-", "@", "a@", "a@a.", "@a-", "eyJ", "eyJ.", "eyJaaaaaaaa.", "a.eyJ-",
    "DE12", "DE89 3704 ", "::", "1:", "1.", "255.255.", "+", "+1 (", "00 1", "001 ", "tel 1 ", "call 1234567 ",
    "BEGIN ", "BEGIN A PRIVATE ", "AKIA", "A+ASt", "xoxb-", "AccountKey=A", "0123 45 ", "(030) ", "01 23 ", "012-",
    "123-45-", "138 1234 ", "\u0660", "é1", "1f::1:", "abc4111", "415 ",
]  # fmt: skip


@pytest.mark.parametrize("hope", HOPES)
def test_takes_linear_time_on_a_megabyte_of_hope(hope):
    find((hope * 1_000_000)[:1_000_000])


def batch_of(*documents):
    batch = Batch("t", [b""] * len(documents))
    batch.documents = list(documents)
    return batch


def findings(inspect, *documents):
    batch = batch_of(*documents)
    inspect.apply(batch)
    return {
        row: [(finding.code, finding.path) for finding in found]
        for row, found in sorted(batch.findings.items())
    }


def test_looks_at_kept_paths_and_nowhere_else():
    inspect = Inspect([parse_path("note"), parse_path("items[*].text")])
    assert findings(
        inspect,
        {"note": "fine", "email": "ana@example.com", "items": [{"text": "fine"}, {"sku": "ana@example.com"}]},
        {"note": "ana@example.com", "items": [{"text": "call +14155552671"}, {"text": "+14155552671"}]},
        {"note": None, "items": []},
        {},
        {"note": 4111111111111111},
    ) == {1: [("inspect.email", "note"), ("inspect.phone", "items[*].text")]}


def test_looks_at_the_names_of_maps():
    paths = [parse_path("labels.*"), parse_path("by.*.note")]
    inspect = Inspect(paths, maps=[*paths, parse_path("scores.*")])
    assert findings(
        inspect,
        {"labels": {"colour": "red"}, "by": {"home": {"note": "fine"}}},
        {"labels": {"ana@example.com": "red"}},
        {"labels": {"ana@example.com": None}},
        {"by": {"+14155552671": {}}},
        {"labels": {"colour": "123-45-6789"}},
        {"scores": {"ana@example.com": 5}},
    ) == {
        1: [("inspect.email", "labels.*")],
        2: [("inspect.email", "labels.*")],
        3: [("inspect.phone", "by.*")],
        4: [("inspect.ssn", "labels.*")],
        5: [("inspect.email", "scores.*")],
    }


def test_looks_into_a_kept_object():
    inspect = Inspect([parse_path("address")])
    assert findings(inspect, {"address": {"lines": ["10 High Street", {"c/o": "ana@example.com"}]}}) == {
        0: [("inspect.email", "address")]
    }


def test_looks_at_everything_that_is_not_named():
    inspect = Inspect(
        [parse_path("note")], named=[parse_path("note"), parse_path("email"), parse_path("items[*].gift")]
    )
    assert findings(
        inspect,
        {"note": "fine", "email": "ana@example.com", "items": [{"gift": "ana@example.com"}], "more": 1},
        {"note": "ana@example.com"},
        {"items": [{"gift": "fine", "other": {"deep": ["+14155552671"]}}]},
        {"ana@example.com": 1},
    ) == {1: [("inspect.email", "note")], 2: [("inspect.phone", "*")], 3: [("inspect.email", "*")]}


def test_a_finding_holds_nothing_of_the_text():
    batch = batch_of({"note": "CANARY ana@example.com"})
    Inspect([parse_path("note")]).apply(batch)
    assert not re.search("CANARY|ana@", repr(batch.findings))
