"""`streamguard reveal`: tokens become values, for whoever holds the master key."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streamguard.access.anywhere import tokens_in
from streamguard.cli import app
from streamguard.crypto.aead import GcmSealer, SivSealer, open_token, seal_original
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, format_line, generate, write_file
from streamguard.errors import ConfigError, KeysUnavailableError, UsageError
from streamguard.store.store import open_store

COMMAND = Path(sys.executable).with_name("streamguard")


class Place:
    """A folder with a store, a master key and a service file, and what seals with them."""

    def __init__(self, folder):
        self.folder = folder
        self.master = generate()
        write_file(folder / "streamguard.key", self.master)
        (folder / "streamguard.yaml").write_text("kafka: {bootstrap.servers: 'localhost:9092'}\n")
        self.keyring = Keyring(open_store(f"sqlite:///{folder}/streamguard.db"), LocalKms([self.master]))

    def seal(self, *values, element="email", pad_to=0):
        return GcmSealer(self.keyring.fresh("orders", element, len(values))).seal(values, pad_to)

    def seal_same(self, *values, element="email"):
        return SivSealer(self.keyring.pinned(element)).seal(values)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def reveal(*arguments, stdin=""):
    return CliRunner().invoke(app, ["reveal", *arguments], input=stdin)


def edited(token):
    return token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_values_are_printed_with_their_types(place):
    values = ["12", 12, 1.5, True, None, "", "Zoë", "two\nlines", {"b": [1, "x"], "a": None}, b"\x00\xff"]
    done = reveal(*place.seal(*values), *place.seal_same("12", 12))
    assert done.exit_code == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        '"12"', "12", "1.5", "true", "null", '""', '"Zoë"', '"two\\nlines"', '{"a":null,"b":[1,"x"]}', "base64:AP8=",
        '"12"', "12",
    ]  # fmt: skip


def test_tokens_are_read_from_stdin(place):
    tokens = place.seal("ana", 7, pad_to=32)
    assert reveal(stdin="\n".join(tokens) + "\n").stdout == '"ana"\n7\n'
    assert reveal(stdin="\r\n".join(tokens)).stdout == '"ana"\n7\n'
    assert reveal(stdin="").stdout == ""


def test_a_value_cannot_drive_the_terminal(place):
    value = "\x1b[31m\x7f\x9b1m\u202etxt.exe\U000e0041"
    done = reveal(*place.seal(value, {"\x9b": "\u2028"}))
    assert all(letter.isprintable() for line in done.stdout.splitlines() for letter in line)
    first, second = done.stdout.splitlines()
    assert json.loads(first) == value
    assert json.loads(second) == {"\x9b": "\u2028"}


def test_what_cannot_be_revealed_says_why_and_the_rest_goes_on(place, tmp_path):
    (tmp_path / "other").mkdir()
    good, stranger = place.seal("ana")[0], Place(tmp_path / "other").seal("eve")[0]
    done = reveal(good, edited(good), stranger, "no-token-at-all", good)
    assert done.exit_code == 1
    assert done.stdout == '"ana"\n\n\n\n"ana"\n'
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["token 2", "token 3", "token 4"]
    assert "does not open" in lines[0]
    assert "not in this store" in lines[1]
    assert "not a protected token" in lines[2]
    for secret in ("ana", "eve", good, stranger, "no-token-at-all", edited(good)):
        assert secret not in done.stderr


def test_json_gives_value_or_error(place, tmp_path):
    (tmp_path / "other").mkdir()
    good, stranger = place.seal("12", 12, b"\x00\xff"), Place(tmp_path / "other").seal("eve")
    done = reveal("--json", *good, *stranger, edited(good[0]))
    assert done.exit_code == 1
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert objects[:3] == [
        {"type": "text", "value": "12"},
        {"type": "json", "value": 12},
        {"type": "bytes", "value": "AP8="},
    ]
    assert [found["error"] for found in objects[3:]] == ["key_missing", "token"]
    assert all(set(found) == {"error", "message", "remedy"} for found in objects[3:])


def test_destroyed_keys_and_originals(place):
    key = place.keyring.quarantine("orders", timedelta(days=-30))
    original = seal_original(key, "id", b"{}")
    done = reveal("--json", original)
    assert json.loads(done.stdout)["error"] == "token"  # it opens only together with its violation
    place.keyring.destroy_expired()
    (token,) = place.seal("ana")
    version, kind, _, payload = token.split(".")
    done = reveal("--json", f"{version}.{kind}.{key.id}.{payload}")
    found = json.loads(done.stdout)
    assert found["error"] == "key_missing"
    assert "destroyed" in found["message"]


def test_another_master_key_reveals_nothing(place, tmp_path):
    (token,) = place.seal("ana")
    write_file(tmp_path / "other.key", generate())
    with_the_other = ("--store", "sqlite:///streamguard.db", "--keys", "other.key", "--json", token)
    assert isinstance(reveal(*with_the_other).exception, KeysUnavailableError)
    # Nor is the trail locked under that key from now on.
    assert reveal(token).stdout == '"ana"\n'
    assert isinstance(reveal(*with_the_other).exception, KeysUnavailableError)


# -- documents -------------------------------------------------------------------------------------------------------


def test_tokens_are_revealed_in_place_at_any_depth(place):
    email, number, note = (
        *place.seal("ana@example.com", 12),
        *place.seal_same({"text": ["Zoë"]}, element="note"),
    )
    document = {
        "id": 1,
        "customer": {"email": email, "n": number},
        "items": [{"note": note}, [email], "sg1.x"],
        "z": None,
    }
    done = reveal(
        "--ndjson", stdin=json.dumps(document) + "\n" + json.dumps([email]) + "\n" + json.dumps(number) + "\n"
    )
    assert done.exit_code == 0
    assert done.stderr == ""
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "id": 1,
            "customer": {"email": "ana@example.com", "n": 12},
            "items": [{"note": {"text": ["Zoë"]}}, ["ana@example.com"], "sg1.x"],
            "z": None,
        },
        ["ana@example.com"],
        12,
    ]


def test_lines_without_tokens_pass_byte_for_byte(place):
    lines = '{"n": 123456789012345678901234567890, "x" : 1.10}\n\nnot json\n{"a": 1}'
    done = reveal("--ndjson", stdin=lines)
    assert done.stdout == lines
    assert done.exit_code == 0


def test_what_cannot_be_revealed_stays_as_it_is(place):
    good = place.seal("ana")[0]
    bad = edited(good)
    broken = f'{{"a": "{good}"'
    done = reveal("--ndjson", stdin=f'{{"a": "{bad}", "b": "{good}"}}\n{broken}\n{{"a": "{good}"}}\n')
    assert done.exit_code == 1
    first, second, third = done.stdout.splitlines()
    assert json.loads(first) == {"a": bad, "b": "ana"}
    assert second == broken
    assert json.loads(third) == {"a": "ana"}
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["line 1", "line 2"]
    assert "ana" not in done.stderr


def test_bytes_in_a_document_become_text(place):
    done = reveal("--ndjson", stdin=json.dumps({"a": place.seal(b"\x00\xff")[0]}))
    assert json.loads(done.stdout) == {"a": "base64:AP8="}


def test_an_original_in_a_document_stays_sealed(place):
    original = seal_original(place.keyring.quarantine("orders", timedelta(days=1)), "id", b"{}")
    line = json.dumps({"id": "id", "original": original}) + "\n"
    done = reveal("--ndjson", stdin=line)
    assert json.loads(done.stdout) == json.loads(line)
    assert done.exit_code == 0


def test_what_comes_out_is_not_searched_again(place):
    inner = place.seal("ana")[0]
    outer = place.seal({"text": inner}, inner)
    done = reveal("--ndjson", stdin=json.dumps(outer))
    assert json.loads(done.stdout) == [{"text": inner}, inner]


def test_a_deep_document(place):
    (token,) = place.seal("ana")
    done = reveal("--ndjson", stdin="[" * 200 + json.dumps(token) + "]" * 200)
    assert done.stdout == "[" * 200 + '"ana"' + "]" * 200 + "\n"


keyring = Keyring.in_memory()
sealer = GcmSealer(keyring.pinned("property"))
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.startswith("sg1."))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def sealed(node):
    """The same document with each leaf as a token."""
    if isinstance(node, dict):
        return {name: sealed(inner) for name, inner in node.items()}
    if isinstance(node, list):
        return [sealed(inner) for inner in node]
    return sealer.seal([node])[0] if isinstance(node, str) else node


@given(documents)
def test_any_document_comes_back(document):
    holder = [sealed(document)]
    for place in list(tokens_in(holder)):
        place.holder[place.key] = open_token(place.value, keyring)
    assert holder == [document]


# -- use -------------------------------------------------------------------------------------------------------------


def test_the_master_key_from_the_environment(place, tmp_path, monkeypatch):
    (token,) = place.seal("ana")
    monkeypatch.setenv("MASTER", format_line(place.master))
    (tmp_path / "streamguard.yaml").unlink()
    done = reveal("--store", "sqlite:///streamguard.db", "--keys-env", "MASTER", token)
    assert done.stdout == '"ana"\n'


def test_a_named_service_file(place, tmp_path, monkeypatch):
    (token,) = place.seal("ana")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert reveal("-c", "../streamguard.yaml", token).stdout == '"ana"\n'


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ndjson", "sg1.e.K.QQ"],
        ["--ndjson", "--json"],
        ["--keys", "a", "--keys-env", "B", "sg1.e.K.QQ"],
        ["--keys", "a", "-c", "streamguard.yaml", "sg1.e.K.QQ"],
        ["--store", "sqlite:///a", "-c", "streamguard.yaml", "sg1.e.K.QQ"],
    ],
)
def test_wrong_use(place, arguments):
    assert isinstance(reveal(*arguments).exception, UsageError)


def test_no_store_is_made(place, tmp_path):
    done = reveal("--store", f"sqlite:///{tmp_path}/none.db", "--keys", "streamguard.key", "sg1.e.K.QQ")
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "none.db").exists()


def test_as_people_run_it(place):
    """Exit codes, nothing but data on stdout, and a reader that stops early."""
    good = place.seal("ana")[0]
    done = subprocess.run([COMMAND, "reveal", good], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"ana"\n', "")
    done = subprocess.run([COMMAND, "reveal", edited(good)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "\n")
    done = subprocess.run([COMMAND, "reveal", "--ndjson", good], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    with subprocess.Popen(
        [COMMAND, "reveal", "--ndjson"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        lines = io.BytesIO(json.dumps([good]).encode() + b"\n").getvalue() * 2000
        try:
            process.stdin.write(lines)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert b"Traceback" not in process.stderr.read()
