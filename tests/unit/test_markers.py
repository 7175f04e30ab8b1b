"""The search of the canary test must find what it looks for: every spelling, in every place."""

import base64
import gzip
import json
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markers import STEM, Search, marked, sites

SEARCH = Search()
NUMBER = "4929104838291730"

SPELLINGS = {
    "plain": str.encode,
    "capitals": lambda text: text.upper().encode(),
    "small letters": lambda text: text.lower().encode(),
    "swapped": lambda text: text.swapcase().encode(),
    "reversed": lambda text: text[::-1].encode(),
    "UTF-16, little-endian": lambda text: text.encode("utf-16-le"),
    "UTF-16, big-endian": lambda text: text.encode("utf-16-be"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal capitals": lambda text: text.encode().hex().upper().encode(),
    "hexadecimal with blanks": lambda text: text.encode().hex(" ").encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
    "base64 of capitals": lambda text: base64.b64encode(text.upper().encode()),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")),
    "base64 of a document": lambda text: base64.b64encode(json.dumps({"name": f"a {text}"}).encode()),
    "base64 of a document in base64": lambda text: base64.urlsafe_b64encode(
        json.dumps({"value": base64.b64encode(json.dumps({"name": text}).encode()).decode()}).encode()
    ),
    "URL": lambda text: urllib.parse.urlencode({"name": f"ana & {text}"}).encode(),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "bytes escapes": lambda text: "".join(f"\\x{ord(letter):02x}" for letter in text).encode(),
    "Python's repr": lambda text: repr({text: text.encode()}).encode(),
    "HTML": lambda text: "".join(f"&#{ord(letter)};" for letter in text).encode(),
    "gzip": lambda text: gzip.compress(f"a {text} b".encode() * 3),
    "zlib": lambda text: zlib.compress(text.encode()),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("before", range(6))
def test_every_spelling_is_found_at_every_alignment(spelling, before):
    data = b"#" * before + SPELLINGS[spelling]("y" * before + marked("name") + "z") + b"#"

    assert SEARCH.leaks(data)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_is_found_where_it_is_looked_for(spelling):
    data = b"\0" + SPELLINGS[spelling](f"7{NUMBER}1")

    assert Search([NUMBER]).leaks(data)
    assert not SEARCH.leaks(data)


@given(st.binary(max_size=4000), st.binary(max_size=200), st.sampled_from(sorted(SPELLINGS)))
def test_what_stands_around_does_not_matter(before, after, spelling):
    assert SEARCH.leaks(before + SPELLINGS[spelling](marked("name")) + after)


@given(st.binary(max_size=4000))
def test_nothing_is_found_where_nothing_is(data):
    assert SEARCH.leaks(data) == []


def test_a_leak_tells_how_and_where():
    (leak,) = SEARCH.leaks(b"policy=orders value=" + marked("name").encode())

    assert leak.spelling == "plain"
    assert leak.position == 20
    assert marked("name").encode() in leak.context


def test_part_of_a_mark_is_no_leak():
    """A mask or a prefix may keep a few characters: that is what the policy asked for."""
    assert SEARCH.leaks(STEM[:6].encode() + b" " + STEM[-4:].encode()) == []


def test_sites_are_read_back():
    data = f"{marked('name')}, {marked('key2')}{marked('header')}; {STEM}".encode()

    assert sites(data) == {"name", "key2", "header"}
