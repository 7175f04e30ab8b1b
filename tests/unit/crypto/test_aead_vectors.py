"""The library's AES-GCM and AES-SIV against NIST's and OpenSSL's vectors: what our tokens are made of."""

from importlib.resources import files

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

AES = files("cryptography_vectors") / "ciphers" / "AES"


def blocks(path):
    """Paragraphs of `name = value`, with the settings in brackets that precede them; a lone word is true."""
    settings, entry = {}, {}
    for line in [*path.read_text().splitlines(), ""]:
        name, _, value = (part.strip() for part in line.strip("[]").partition("="))
        if line.startswith("["):
            settings[name] = value
        elif not name and entry:
            yield settings | entry
            entry = {}
        elif name and not name.startswith("#"):
            entry[name] = value


def numbers(entry, *names):
    return [bytes.fromhex(entry[name]) for name in names]


def ours(name):
    """NIST's vectors of the one shape that tokens have: AES-256, 96-bit nonce, 128-bit tag."""
    found = [
        entry for entry in blocks(AES / "GCM" / name) if (entry["IVlen"], entry["Taglen"]) == ("96", "128")
    ]
    assert len(found) == 375
    return found


def test_gcm_encrypts_as_nist_does():
    for entry in ours("gcmEncryptExtIV256.rsp"):
        key, nonce, plain, data, sealed, tag = numbers(entry, "Key", "IV", "PT", "AAD", "CT", "Tag")
        assert AESGCM(key).encrypt(nonce, plain, data) == sealed + tag


def test_gcm_decrypts_what_nist_lets_pass_and_nothing_else():
    refused = 0
    for entry in ours("gcmDecrypt256.rsp"):
        key, nonce, data, sealed, tag = numbers(entry, "Key", "IV", "AAD", "CT", "Tag")
        if "FAIL" in entry:
            refused += 1
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(nonce, sealed + tag, data)
        else:
            assert AESGCM(key).decrypt(nonce, sealed + tag, data) == bytes.fromhex(entry["PT"])
    assert 0 < refused < 375


def test_siv_is_that_of_the_rfc_and_of_openssl():
    sizes = []
    for entry in blocks(AES / "SIV" / "openssl.txt"):
        key, tag, plain, sealed = numbers(entry, "Key", "Tag", "Plaintext", "Ciphertext")
        data = numbers(entry, *(name for name in entry if name.startswith("AAD")))
        sizes.append(8 * len(key) // 2)
        assert AESSIV(key).encrypt(plain, data) == tag + sealed
        assert AESSIV(key).decrypt(tag + sealed, data) == plain
        with pytest.raises(InvalidTag):
            AESSIV(key).decrypt(tag + sealed, [*data, b""])
    assert sizes == [128, 128, 192, 256]
