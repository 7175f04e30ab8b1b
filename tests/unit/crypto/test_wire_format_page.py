"""docs/wire-format.md is enough to read a token, and its worked example is true."""

import hmac
import json
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from streamguard.crypto import wire
from streamguard.crypto.aead import GcmSealer, SivSealer, open_token, seal_original
from streamguard.crypto.ff1 import FF1
from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.kms.local import LocalKms, format_line, write_file
from streamguard.store.store import open_store
from streamguard.transforms.base import Field
from streamguard.transforms.fpe import Fpe, FpeOptions
from streamguard.transforms.shift_dates import ShiftDates, ShiftDatesOptions
from streamguard.transforms.vault import Vault, VaultOptions

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "wire-format.md").read_text()
SCRIPT = DOCS / "examples" / "open_token.py"


def cell(name):
    """The value beside a name in the table of the worked example."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \| `(.+)` \|$", PAGE, re.MULTILINE)
    return found.replace("\\|", "|")


def rows():
    """The tokens of the worked example: value, padding, plaintext, token."""
    pattern = r"^\| `([^`]+)`(?: with `pad: (\d+)`)? \| `([0-9a-f]+)` \| `(sg1[^`]+)`"
    return re.findall(pattern, PAGE, re.MULTILINE)


@pytest.fixture
def key():
    return DataKey(cell("key id"), cell("element"), bytes.fromhex(cell("data key")))


def person():
    return DataKey(
        cell("id of the person's key"), cell("its element"), bytes.fromhex(cell("the person's key"))
    )


def test_keys_of_the_worked_example(key):
    master = bytes.fromhex(cell("master key"))
    assert format_line(master) == cell("its line")
    assert LocalKms([master]).unwrap(bytes.fromhex(cell("wrapped with nonce 40…4b"))) == key.secret
    assert key.subkey("e").hex() == cell("subkey for `e`")
    assert key.subkey("d", 64).hex() == cell("subkey for `d`")
    assert key.subkey("s").hex() == cell("subkey for `s`")
    assert person().subkey("s").hex() == cell("its subkey for `s`")
    for kind in ("e", "d"):
        assert wire.aad(kind, key.id, key.element).decode() == cell(f"authenticated data for `{kind}`")


def test_tokens_of_the_worked_example(key):
    found = rows()
    assert len(found) == 6
    keyring = Keyring.in_memory()
    keyring.subjects._by_id.put(person().id, person())
    keyring._found.put(key.id, key)
    for text, padding, plaintext, token in found:
        value = json.loads(text)
        plain = wire.encode_value(value)
        if padding:
            plain = wire.pad(plain, int(padding))
        assert plain.hex() == plaintext
        opened = open_token(token, keyring)
        assert (opened, type(opened)) == (value, type(value))
        if token.startswith("sg1.d."):
            assert SivSealer(key).seal([value], int(padding or 0)) == [token]
            continue
        kind, nonce = token[4], bytes(range(0x40, 0x4C))
        if kind == "s":
            inner = AESGCM(person().subkey("s")).encrypt(
                nonce, plain, wire.aad("s", person().id, key.element)
            )
            assert inner.hex() == cell('inner part of `"12"`')
            plain = bytes([len(person().id)]) + person().id.encode() + inner
        sealed = AESGCM(key.subkey(kind)).encrypt(nonce, plain, wire.aad(kind, key.id, key.element))
        assert wire.format_tokens(kind, key.id, [nonce + sealed]) == [token]


def test_every_kind_is_on_the_page():
    described = re.findall(r"^\| `(\w)` \| AES-256-\w+.*\| (\d+) bytes \|$", PAGE, re.MULTILINE)
    assert described == [(kind.id, str(kind.key_bytes)) for kind in wire.KINDS]


def test_a_persons_key_is_stored_as_the_page_says():
    """By the page alone: from the rows of the store and the data key to the person's key."""
    keyring = Keyring.in_memory()
    (key,) = keyring.subjects.keys("customer", ["C1"])
    row = keyring.store.subjects.by_id([key.id])[key.id]
    pinned = keyring.find(row.master.removeprefix("key:"))
    associated = [b"sg1|subject", row.id.encode(), row.element.encode()]
    assert AESSIV(pinned.subkey("wrap", 64)).decrypt(row.wrapped, associated) == key.secret
    assert row.element == "subject:customer"


def test_values_that_name_no_key_are_made_as_the_page_says():
    keyring = Keyring.in_memory()
    field = Field("o", "o", "x", "ssn", subject="who", elements={"who": "customer"})
    fpe = Fpe(FpeOptions(keep_first=2, keep_last=1, separators="-"), field, keyring)
    (text,) = fpe.apply(["60-998-30791"], lambda *_: None)
    middle = FF1(keyring.find(fpe.key_id).subkey("fpe"), "0123456789").encrypt("9983079", b"60\x001")
    assert text == f"60-{middle[:3]}-{middle[3:]}1"

    shift = ShiftDates(ShiftDatesOptions(max_days=100), field, keyring)
    (moved,) = shift.apply_for(["2024-02-29"], ["C1"], lambda *_: None)
    digest = hmac.digest(keyring.find(shift.key_id).subkey("shift_dates"), b"sC1", "sha256")
    days = int.from_bytes(digest) % 200 - 100
    assert date.fromisoformat(moved) - date(2024, 2, 29) == timedelta(days + (days >= 0))

    (token,) = Vault(VaultOptions(), field, keyring).apply(["60-998-30791"], lambda *_: None)
    entry = keyring.store.vault.find("ssn", [token])[token]
    key = keyring.find(keyring.store.keys.pinned("ssn", entry.version).id)
    bound = f"sg1|vault|{key.id}|ssn|{token}".encode()
    assert (
        AESGCM(key.subkey("vault")).decrypt(entry.sealed[:12], entry.sealed[12:], bound) == b"s60-998-30791"
    )


# -- the script that knows nothing of us -----------------------------------------------------------------------------


def code(path):
    """The lines that do something: no docstring, comments or blank lines."""
    text = re.sub(r'\A""".*?"""', "", path.read_text(), flags=re.DOTALL)
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def test_the_script_is_twenty_lines_and_imports_nothing_of_ours():
    lines = code(SCRIPT)
    assert len(lines) <= 20
    assert all(len(line) <= 110 for line in lines)
    modules = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert modules - sys.stdlib_module_names == {"cryptography"}


@pytest.fixture
def opened(tmp_path):
    """A store with a token of each sort, and what the script says of one, run where it cannot import us."""
    write_file(tmp_path / "master.key", bytes(range(32)))
    keyring = Keyring(
        open_store(f"sqlite:///{tmp_path}/keys.db"), LocalKms.from_file(tmp_path / "master.key")
    )

    def run(*arguments):
        with (tmp_path / "master.key").open("rb") as master:
            return subprocess.run(
                [sys.executable, "-I", SCRIPT, tmp_path / "keys.db", *arguments],
                stdin=master,
                capture_output=True,
                text=True,
                check=False,
                cwd=tmp_path,
            )

    return keyring, run


@pytest.mark.parametrize("pad_to", [0, 32])
@pytest.mark.parametrize("kind", ["e", "d"])
def test_the_script_tells_text_from_numbers(opened, kind, pad_to):
    keyring, run = opened
    sealer = (
        GcmSealer(keyring.fresh("orders", "email", 2)) if kind == "e" else SivSealer(keyring.pinned("email"))
    )
    assert [run(token).stdout for token in sealer.seal(["12", 12], pad_to)] == ['"12"\n', "12\n"]


def test_the_script_opens_documents_and_originals(opened):
    keyring, run = opened
    (token,) = GcmSealer(keyring.fresh("orders", "items[*].é", 1)).seal([{"name": "Zoë", "n": [1, None]}])
    assert json.loads(run(token).stdout) == {"name": "Zoë", "n": [1, None]}
    original = seal_original(keyring.quarantine("orders", timedelta(days=1)), "5f0c6b7d", b'{"half')
    assert run(original, "5f0c6b7d").stdout == '{"half\n'
    assert "InvalidTag" in run(original, "5f0c6b7e").stderr
