"""Sealing and opening: known answers, an independent SIV, and every way in which a token may be wrong."""

import string
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.aead import (
    GcmSealer,
    SivSealer,
    SubjectSealer,
    open_original,
    open_token,
    seal_original,
)
from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.wire import encode_value, format_tokens, pad, parse_token
from streamguard.errors import KeyMissingError, KeysUnavailableError, StreamGuardError, TokenError

VALUES = ["12", 12, 12.0, "", "é" * 300, True, None, {"b": [None, 1], "a": "x"}, [], b"", b"\x00\x80\xff\x80"]
KEY = DataKey("K7dq2mXw0a", "email", bytes(range(32, 64)))


@pytest.fixture
def keyring():
    return Keyring.in_memory()


def gcm(keyring, element="email", uses=1):
    return GcmSealer(keyring.fresh("orders", element, uses))


def siv(keyring, element="email"):
    return SivSealer(keyring.pinned(element))


class PerSubject:
    """`SubjectSealer` as the others are: all values are those of one person."""

    def __init__(self, keyring, element):
        self.key = keyring.fresh("orders", element, 1)
        self.keyring = keyring

    def seal(self, values, pad_to=0):
        (subject,) = self.keyring.subjects.keys("customer", ["C1"])
        return SubjectSealer(self.key).seal(values, [subject] * len(values), pad_to)


def per_subject(keyring, element="email"):
    return PerSubject(keyring, element)


sealers = pytest.mark.parametrize("sealer", [gcm, siv, per_subject])


# -- what the library does with the standards' own examples ----------------------------------------------------------


# McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16 (the submission to NIST).
LONG_PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
LONG_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
)


@pytest.mark.parametrize(
    ("key", "nonce", "plain", "data", "sealed"),
    [
        ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            "00" * 32,
            "00" * 12,
            "00" * 16,
            "",
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (
            "feffe9928665731c6d6a8f9467308308" * 2,
            "cafebabefacedbaddecaf888",
            LONG_PLAIN,
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            LONG_SEALED,
        ),
    ],
)
def test_gcm_examples(key, nonce, plain, data, sealed):
    key, nonce, plain, data, sealed = map(bytes.fromhex, (key, nonce, plain, data, sealed))
    assert AESGCM(key).encrypt(nonce, plain, data) == sealed
    assert AESGCM(key).decrypt(nonce, sealed, data) == plain


def test_siv_example():
    """RFC 5297, appendix A.1."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    data = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = bytes.fromhex("112233445566778899aabbccddee")
    sealed = bytes.fromhex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c")
    assert AESSIV(key).encrypt(plain, [data]) == sealed == siv_by_the_rfc(key, plain, data)
    assert AESSIV(key).decrypt(sealed, [data]) == plain


def siv_by_the_rfc(key, plain, data):
    """RFC 5297 with one string of associated data, from AES-CMAC and AES-CTR."""

    def cmac(text):
        mac = CMAC(algorithms.AES(key[: len(key) // 2]))
        mac.update(text)
        return mac.finalize()

    def double(block):
        shifted = int.from_bytes(block) << 1
        return (shifted ^ (0x87 if shifted >> 128 else 0)).to_bytes(17)[1:]

    def xor(one, other):
        return bytes(a ^ b for a, b in zip(one, other, strict=True))

    summed = xor(double(cmac(bytes(16))), cmac(data))
    if len(plain) >= 16:
        vector = cmac(plain[:-16] + xor(plain[-16:], summed))
    else:
        vector = cmac(xor(double(summed), plain + b"\x80" + bytes(15 - len(plain))))
    start = bytes(byte & (0x7F if place in (8, 12) else 0xFF) for place, byte in enumerate(vector))
    stream = Cipher(algorithms.AES(key[len(key) // 2 :]), modes.CTR(start)).encryptor()
    return vector + stream.update(plain)


# -- columns ---------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 40))
def test_deterministic_tokens_are_siv_by_the_rfc(text, pad_to):
    plain = pad(encode_value(text), pad_to) if pad_to else encode_value(text)
    sealed = siv_by_the_rfc(KEY.subkey("d", 64), plain, b"sg1|d|K7dq2mXw0a|email")
    assert SivSealer(KEY).seal([text], pad_to) == format_tokens("d", "K7dq2mXw0a", [sealed])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_randomized_tokens_are_gcm_with_the_nonce_in_front(text):
    (token,) = GcmSealer(KEY).seal([text])
    payload = parse_token(token).payload
    plain = AESGCM(KEY.subkey("e")).decrypt(payload[:12], payload[12:], b"sg1|e|K7dq2mXw0a|email")
    assert plain == b"s" + text.encode()


@sealers
@pytest.mark.parametrize("pad_to", [0, 1, 16, 32])
def test_a_column_opens_again_with_its_types(keyring, sealer, pad_to):
    tokens = sealer(keyring).seal(VALUES, pad_to)
    opened = [open_token(token, keyring) for token in tokens]
    assert opened == VALUES
    assert [type(value) for value in opened] == [type(value) for value in VALUES]


@sealers
def test_an_empty_column(keyring, sealer):
    assert sealer(keyring).seal([]) == []


@sealers
def test_padding_hides_lengths(keyring, sealer):
    tokens = sealer(keyring).seal(["", "a", "a" * 29, True, False, None], 32)
    assert len({len(token) for token in tokens}) == 1


@sealers
def test_a_value_that_has_no_encoding_seals_nothing(keyring, sealer):
    with pytest.raises(TokenError):
        sealer(keyring).seal(["fine", [float("nan")]])


def test_equal_values_give_different_randomized_tokens(keyring):
    tokens = gcm(keyring).seal(["same"] * 500)
    assert len(set(tokens)) == 500
    assert len({parse_token(token).payload[:12] for token in tokens}) == 500


def test_equal_values_give_equal_deterministic_tokens(keyring):
    tokens = siv(keyring).seal(["12", 12, "12", 12])
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]
    assert siv(keyring).seal(["12"]) == tokens[:1]
    assert siv(keyring, "phone").seal(["12"]) != tokens[:1]


# -- tokens that must not open ---------------------------------------------------------------------------------------


@sealers
def test_every_edit_of_one_character_fails(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    letters = string.ascii_letters + string.digits + "-_.+/=!\n \u00e9"
    edits = {token[:place] + letter + token[place + 1 :] for place in range(len(token)) for letter in letters}
    edits |= {
        token[:place] + letter + token[place:] for place in range(len(token) + 1) for letter in "Aa0-_.= "
    }
    edits |= {token[:place] + token[place + 1 :] for place in range(len(token))}
    for edited in edits - {token}:
        with pytest.raises(StreamGuardError) as caught:
            open_token(edited, keyring)
        assert type(caught.value) in {TokenError, KeyMissingError}


@sealers
def test_every_cut_fails(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana maria"])
    for length in range(len(token)):
        with pytest.raises(TokenError):
            open_token(token[:length], keyring)
    head, payload = token.rsplit(".", 1)
    for length in range(1, len(payload)):
        with pytest.raises(TokenError):
            open_token(f"{head}.{payload[length:]}", keyring)


@sealers
def test_every_flipped_bit_fails(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    whole = parse_token(token)
    for place in range(len(whole.payload) * 8):
        flipped = (int.from_bytes(whole.payload) ^ (1 << place)).to_bytes(len(whole.payload))
        (edited,) = format_tokens(whole.kind, whole.key_id, [flipped])
        with pytest.raises(TokenError):
            open_token(edited, keyring)


@sealers
def test_a_payload_under_another_key_fails(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    other = sealer(keyring, "phone").key.id
    version, kind, _, payload = token.split(".")
    with pytest.raises(TokenError):
        open_token(f"{version}.{kind}.{other}.{payload}", keyring)


@sealers
def test_a_key_that_is_given_to_another_element_opens_nothing(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    key = keyring.find(parse_token(token).key_id)
    moved = DataKey(key.id, "phone", key.secret)
    keyring._found.put(key.id, moved)
    with pytest.raises(TokenError):
        open_token(token, keyring)


def test_kinds_do_not_stand_for_each_other(keyring):
    tokens = [
        *gcm(keyring).seal(["ana"]),
        *siv(keyring).seal(["ana"]),
        *per_subject(keyring).seal(["ana"]),
    ]
    for token in tokens:
        version, kind, key_id, payload = token.split(".")
        for other in {"e", "d", "q", "s", "x", "E"} - {kind}:
            with pytest.raises(TokenError):
                open_token(f"{version}.{other}.{key_id}.{payload}", keyring)


@sealers
def test_a_token_in_a_field_of_another_element_is_refused(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    assert open_token(token, keyring, "email") == "ana"
    with pytest.raises(TokenError):
        open_token(token, keyring, "phone")


@sealers
def test_a_token_whose_key_was_destroyed_is_gone_for_good(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    keyring.destroy([parse_token(token).key_id])
    with pytest.raises(KeyMissingError, match="destroyed"):
        open_token(token, keyring)


# -- tokens under a person's key -------------------------------------------------------------------------------------


def test_a_persons_destroyed_key_takes_the_tokens_of_that_person_only(keyring):
    sealer = SubjectSealer(keyring.fresh("orders", "email", 2))
    ana, ben = sealer.seal(["ana", "ben"], keyring.subjects.keys("customer", ["C1", "C2"]))
    assert keyring.subjects.destroy("customer", ["C1"]) == 1
    with pytest.raises(KeyMissingError, match="person was destroyed"):
        open_token(ana, keyring)
    assert open_token(ben, keyring) == "ben"


def test_nothing_in_a_token_says_whose_it_is(keyring):
    sealer = SubjectSealer(keyring.fresh("orders", "email", 40))
    keys = keyring.subjects.keys("customer", ["C1"] * 20 + ["C2"] * 20)
    tokens = sealer.seal(["ana@example.com"] * 40, keys)
    assert len(set(tokens)) == 40
    assert len({len(token) for token in tokens}) == 1
    payloads = [parse_token(token).payload for token in tokens]
    assert not any(key.id.encode() in payload for key in keys for payload in payloads)
    # No byte of the payload is the same in all tokens of a person: nothing of them could serve as a pseudonym.
    assert all(len(set(column)) > 1 for column in zip(*payloads[:20], strict=True))


def test_an_inner_part_that_was_put_into_another_persons_token_does_not_open(keyring):
    key = keyring.fresh("orders", "email", 1)
    ana, ben = keyring.subjects.keys("customer", ["C1", "C2"])
    nonce = bytes(12)
    inner = AESGCM(ana.subkey("s")).encrypt(nonce, b"sana", f"sg1|s|{ana.id}|email".encode())
    plain = bytes([len(ben.id)]) + ben.id.encode() + inner
    sealed = AESGCM(key.subkey("s")).encrypt(nonce, plain, f"sg1|s|{key.id}|email".encode())
    (token,) = format_tokens("s", key.id, [nonce + sealed])
    with pytest.raises(TokenError):
        open_token(token, keyring)


@pytest.mark.parametrize("plain", [b"", b"\xff", b"\x03abc", b"\x03\xff\xff\xff" + bytes(20)])
def test_an_outer_part_that_holds_no_reference_does_not_open(keyring, plain):
    key = keyring.fresh("orders", "email", 1)
    sealed = AESGCM(key.subkey("s")).encrypt(bytes(12), plain, f"sg1|s|{key.id}|email".encode())
    (token,) = format_tokens("s", key.id, [bytes(12) + sealed])
    with pytest.raises((TokenError, KeyMissingError)):
        open_token(token, keyring)


def test_persons_keys_leave_the_sealer_after_a_minute(keyring):
    clock = [0.0]
    sealer = SubjectSealer(keyring.fresh("orders", "email", 1), lambda: clock[0])
    keys = keyring.subjects.keys("customer", ["C1", "C2"])
    sealer.seal(["a", "b"], keys)
    assert len(sealer._inner) == 2
    clock[0] = 60.0
    sealer.seal(["a"], keys[:1])
    assert list(sealer._inner._kept) == [keys[0].id]


# -- what else is refused --------------------------------------------------------------------------------------------


def test_an_unknown_key_is_told_from_an_edited_token(keyring):
    (token,) = gcm(keyring).seal(["ana"])
    with pytest.raises(KeyMissingError):
        open_token(token, Keyring.in_memory())


def test_a_plaintext_that_is_no_encoding_does_not_open(keyring):
    key = keyring.pinned("email")
    sealed = AESSIV(key.subkey("d", 64)).encrypt(b"xana", [f"sg1|d|{key.id}|email".encode()])
    (token,) = format_tokens("d", key.id, [sealed])
    with pytest.raises(TokenError):
        open_token(token, keyring)


@sealers
def test_errors_hold_nothing_of_the_value_or_the_library(keyring, sealer):
    (token,) = sealer(keyring).seal(["ana"])
    cut = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")
    with pytest.raises(TokenError) as caught:
        open_token(cut, keyring)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not isinstance(caught.value, InvalidTag)
    assert "ana" not in str(caught.value)
    assert cut not in str(caught.value)


# -- originals of violations -----------------------------------------------------------------------------------------


def test_an_original_opens_with_its_violation_only(keyring):
    key = keyring.quarantine("orders", timedelta(days=14))
    token = seal_original(key, "5f0c6b7d", b'{"half a rec')
    assert open_original(token, "5f0c6b7d", keyring) == b'{"half a rec'
    for other in ("5f0c6b7e", "", "5f0c6b7d|"):
        with pytest.raises(TokenError):
            open_original(token, other, keyring)
    with pytest.raises(TokenError):
        open_token(token, keyring)


def test_an_empty_original(keyring):
    token = seal_original(keyring.quarantine("orders", timedelta(days=14)), "id", b"")
    assert open_original(token, "id", keyring) == b""


def test_a_fields_token_is_no_original(keyring):
    (token,) = gcm(keyring).seal([b"ana"])
    with pytest.raises(TokenError):
        open_original(token, "id", keyring)


def test_an_original_that_holds_no_bytes_is_refused(keyring):
    key = keyring.quarantine("orders", timedelta(days=14))
    bound = f"sg1|q|{key.id}|quarantine:orders|id".encode()
    sealed = AESGCM(key.subkey("q")).encrypt(bytes(12), b"sana", bound)
    (token,) = format_tokens("q", key.id, [bytes(12) + sealed])
    with pytest.raises(TokenError):
        open_original(token, "id", keyring)


def test_keys_that_cannot_be_had_now_are_told_from_bad_tokens(keyring):
    (token,) = gcm(keyring).seal(["ana"])
    keyring._store.database.engine.dispose()  # the store in memory is gone, and a new connection finds no tables
    with pytest.raises(KeysUnavailableError):
        open_token(token, keyring)
