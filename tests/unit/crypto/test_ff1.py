"""FF1 against NIST's samples, Wycheproof's vectors, and itself: one by one and by columns."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.ff1 import FF1, FF1Error

DIGITS = "0123456789"
ALNUM = "0123456789abcdefghijklmnopqrstuvwxyz"
KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94")
TEN, ELEVEN = bytes.fromhex("39383736353433323130"), bytes.fromhex("3737373770717273373737")

# The nine samples that NIST publishes for FF1 (SP 800-38G, examples with intermediate values).
NIST = [
    (16, DIGITS, b"", "0123456789", "2433477484"),
    (16, DIGITS, TEN, "0123456789", "6124200773"),
    (16, ALNUM, ELEVEN, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (24, DIGITS, b"", "0123456789", "2830668132"),
    (24, DIGITS, TEN, "0123456789", "2496655549"),
    (24, ALNUM, ELEVEN, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (32, DIGITS, b"", "0123456789", "6657667009"),
    (32, DIGITS, TEN, "0123456789", "1001623463"),
    (32, ALNUM, ELEVEN, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]
VECTORS = Path(__file__).parents[4] / "shared" / "vectors"


@pytest.mark.parametrize(("size", "alphabet", "tweak", "plain", "sealed"), NIST)
def test_nist_samples(size, alphabet, tweak, plain, sealed):
    cipher = FF1(KEY[:size], alphabet)
    assert cipher.encrypt(plain, tweak) == sealed
    assert cipher.decrypt(sealed, tweak) == plain
    assert cipher.encrypt_many([plain] * 3, tweak) == [sealed] * 3
    assert cipher.decrypt_many([sealed] * 3, [tweak] * 3) == [plain] * 3
    numerals = [alphabet.index(symbol) for symbol in plain]
    radix = FF1.from_radix(KEY[:size], len(alphabet))
    assert radix.encrypt(numerals, tweak) == [alphabet.index(symbol) for symbol in sealed]
    assert radix.decrypt(radix.encrypt(numerals, tweak), tweak) == numerals


@pytest.mark.parametrize("name", ["aes_ff1_base10_test.json.gz", "aes_ff1_base36_test.json.gz"])
def test_wycheproof_vectors(name):
    if not (VECTORS / name).exists():
        pytest.skip("the vectors are not beside this checkout")
    document = json.loads(gzip.decompress((VECTORS / name).read_bytes()))
    seen = 0
    for group in document["testGroups"]:
        for vector in group["tests"]:
            _check(vector, group["alphabet"])
            seen += 1
    assert seen == document["numberOfTests"]


def _check(vector, alphabet):
    key, tweak, plain = bytes.fromhex(vector["key"]), bytes.fromhex(vector["tweak"]), vector["msg"]
    if vector["result"] == "invalid":
        with pytest.raises(FF1Error):
            FF1(key, alphabet).encrypt(plain, tweak)
        return
    small = "SmallMessageSize" in vector["flags"]
    if small:  # valid by the first edition of the standard; by revision 1, and for us, too small
        assert [error.code for error in FF1(key, alphabet).encrypt_many([plain], tweak)] == ["length"]
    cipher = FF1(key, alphabet, minimum_domain=100) if small else FF1(key, alphabet)
    assert cipher.encrypt(plain, tweak) == vector["ct"]
    assert cipher.decrypt(vector["ct"], tweak) == plain
    assert cipher.encrypt_many([plain], tweak) == [vector["ct"]]
    assert cipher.decrypt_many([vector["ct"]], tweak) == [plain]


ALPHABETS = st.sampled_from([DIGITS, ALNUM, "01", "אבגדהו", "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))])


@st.composite
def columns(draw):
    alphabet = draw(ALPHABETS)
    texts = draw(st.lists(st.text(st.sampled_from(alphabet), max_size=40), max_size=8))
    return alphabet, texts, [draw(st.binary(max_size=40)) for _ in texts]


@given(columns(), st.sampled_from([16, 24, 32]))
def test_columns_equal_texts_one_by_one_and_come_back(column, size):
    alphabet, texts, tweaks = column
    cipher = FF1(KEY[:size], alphabet)
    sealed = cipher.encrypt_many(texts, tweaks)
    for text, tweak, result in zip(texts, tweaks, sealed, strict=True):
        if len(alphabet) ** len(text) < 1_000_000 or len(text) < 2:
            assert isinstance(result, FF1Error)
            continue
        assert result == cipher.encrypt(text, tweak)
        assert len(result) == len(text)
        assert set(result) <= set(alphabet)
        assert cipher.decrypt(result, tweak) == text
        assert cipher.decrypt_many([result], tweak) == [text]


def test_one_bad_text_spoils_no_column_and_is_never_quoted():
    cipher = FF1(KEY, DIGITS)
    good, symbol, short = cipher.encrypt_many(["123456789", "12345678x", "12"])
    assert good == cipher.encrypt("123456789")
    assert (symbol.code, short.code) == ("symbol", "length")
    assert "12345678x" not in str(symbol)
    with pytest.raises(FF1Error) as refused:
        cipher.encrypt("12345678x")
    assert refused.value.code == "symbol"


@pytest.mark.parametrize(
    ("key", "alphabet", "code"),
    [(b"", DIGITS, "key"), (bytes(15), DIGITS, "key"), (KEY, "1", "alphabet"), (KEY, "0010", "alphabet")],
)
def test_refused_at_construction(key, alphabet, code):
    with pytest.raises(FF1Error) as refused:
        FF1(key, alphabet)
    assert refused.value.code == code


def test_the_largest_radix_and_long_texts():
    cipher = FF1.from_radix(KEY, 65_536)
    numerals = [65_535, 0, 1, 40_000, 7]
    assert cipher.decrypt(cipher.encrypt(numerals, b"t"), b"t") == numerals
    long = "7" * 4096
    digits = FF1(KEY, DIGITS)
    assert digits.decrypt(digits.encrypt(long)) == long
    with pytest.raises(FF1Error):
        digits.encrypt(long + "7")
