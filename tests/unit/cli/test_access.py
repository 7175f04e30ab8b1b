"""`streamguard access` and `streamguard audit`, and what `reveal` does where access is configured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from streamguard.access.tokens import generate, hash_of, load_tokens
from streamguard.cli import app
from streamguard.crypto.aead import GcmSealer
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, write_file
from streamguard.crypto.kms.local import generate as generate_master
from streamguard.errors import ConfigError, UsageError
from streamguard.store.store import open_store
from streamguard.store.tables import audit_entries

COMMAND = Path(sys.executable).with_name("streamguard")
RULES = """
@id("masked") permit (principal in Role::"support", action == Action::"reveal_masked", resource == Element::"email");
@id("topic") permit (principal in Role::"support", action, resource in Topic::"orders.clean");
"""
POLICY = """
topic: orders
key: drop
undeclared: keep
fields:
  email: {encrypt: {}, element: email}
  ssn: {fpe: {alphabet: digits}, element: email}
"""


class Place:
    """A folder with roles."""

    def __init__(self, folder):
        self.folder = folder
        master = generate_master()
        write_file(folder / "streamguard.key", master)
        self.token = generate()
        (folder / "roles.cedar").write_text(RULES)
        (folder / "tokens.yaml").write_text(
            f"tokens: [{{name: ui, hash: {hash_of(self.token)}, roles: [support]}}]"
        )
        (folder / "policies").mkdir()
        (folder / "policies" / "orders.yaml").write_text(POLICY)
        (folder / "streamguard.yaml").write_text(
            "kafka: {bootstrap.servers: 'localhost:9092'}\naccess: {policies: '*.cedar', tokens: tokens.yaml}\n"
        )
        self.keyring = Keyring(open_store(f"sqlite:///{folder}/streamguard.db"), LocalKms([master]))

    def seal(self, *values, element="email"):
        return GcmSealer(self.keyring.fresh("orders", element, len(values))).seal(values)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def run(*arguments, stdin="", token=""):
    return CliRunner().invoke(app, arguments, input=stdin, env={"STREAMGUARD_TOKEN": token or None})


def test_reveal_asks_who_it_is(place):
    tokens = place.seal("ana@example.com", 12)
    other = place.seal("Ana", element="name")
    done = run("reveal", *tokens, token=place.token)
    assert done.stdout == '"***********.com"\n"**"\n'
    done = run("reveal", "--json", *other, token=place.token)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == "denied"
    for wrong in ("", generate(), "eyJ.x.y"):
        done = run("reveal", *tokens, token=wrong)
        assert done.exit_code == 1
        assert "not accepted" in str(done.exception)
        assert done.stdout == ""
    assert [row.decision for row in place.keyring.store.audit.entries()] == [
        "masked", "denied", "denied", "denied", "denied",
    ]  # fmt: skip


def test_documents_after_their_policy(place):
    email, moved = place.seal("ana@example.com", "moved")
    lines = [
        json.dumps({"email": email, "other": moved}),
        "nonsense",
        "",
        json.dumps({"email": "x", "ssn": "123456789"}),
    ]
    done = run("reveal", "--ndjson", "--policy", "orders", stdin="\n".join(lines) + "\n", token=place.token)
    assert done.exit_code == 1
    first, second, third, fourth = done.stdout.splitlines()
    assert json.loads(first) == {"email": "***********.com", "other": moved}
    assert (second, third) == ("nonsense", "")
    assert json.loads(fourth) == {"email": "x", "ssn": "123456789"}
    assert [line.rpartition(": ")[0].partition(":")[0] for line in done.stderr.splitlines()] == [
        "line 2", "line 4", "line 4",
    ]  # fmt: skip
    assert "line 4: ssn: The record does not say with which key" in done.stderr


def test_a_key_is_named_for_documents_without_headers(place):
    from streamguard.access.records import reversible_fields
    from streamguard.policy.loader import load_policy

    fpe = reversible_fields(load_policy("policies/orders.yaml"), place.keyring)["ssn"]
    (ssn,) = fpe.apply(["123456789"], pytest.fail)
    arguments = ("reveal", "--ndjson", "--policy", "orders", "--masked", "--key-id", f"ssn={fpe.key_id}")
    done = run(*arguments, stdin=json.dumps({"ssn": ssn}), token=place.token)
    assert json.loads(done.stdout) == {"ssn": "*****6789"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["reveal", "--topic", "orders.clean", "sg1.e.K.QQ"],
        ["reveal", "--topic", "orders.clean", "--ndjson"],
        ["reveal", "--topic", "unknown"],
        ["reveal", "--policy", "orders", "sg1.e.K.QQ"],
        ["reveal", "--ndjson", "--policy", "unknown"],
        ["reveal", "--from", "1h", "sg1.e.K.QQ"],
        ["reveal", "--topic", "orders.clean", "--from", "yesterday"],
        ["reveal", "--key-id", "a=b", "sg1.e.K.QQ"],
        ["reveal", "--ndjson", "--policy", "orders", "--key-id", "nothing"],
        ["reveal", "--purpose", "ana@example.com", "sg1.e.K.QQ"],
        ["reveal", "--ndjson", "--policy", "orders", "--store", "sqlite:///a.db", "--keys", "streamguard.key"],
        ["audit", "verify", "--topic"],
        ["audit", "list", "--since", "soon"],
        ["access", "token", "--name", "a b", "--role", "x"],
        ["access", "token", "--name", "a", "--role", "x", "--expires", "2027-01-01T00:00"],
        ["access", "token", "--name", "a", "--role", "x", "--expires", "soon"],
        ["access", "check", "--role", "a", "--element", "b", "--purpose", "a@b"],
        ["api", "--cert", "a.pem"],
        ["api", "--client-ca", "a.pem"],
        ["api", "--host", "0.0.0.0"],  # noqa: S104 - refused
        ["api", "--host", "example.com"],
    ],
)  # fmt: skip
def test_wrong_use(place, arguments):
    assert isinstance(run(*arguments, token=place.token).exception, UsageError)


def test_a_decision_is_explained(place):
    asked = ("access", "check", "--role", "support", "--element", "email")
    done = run(*asked)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "reveal: denied (no policy permits it)",
        "reveal_masked: allowed (masked)",
        "So the value is shown masked.",
    ]
    done = run(*asked, "--topic", "orders.clean", "--json")
    assert json.loads(done.stdout) == {
        "view": "full",
        "decisions": {
            "reveal": {"allowed": True, "by": ["topic"], "failed": False},
            "reveal_masked": {"allowed": True, "by": ["masked", "topic"], "failed": False},
        },
    }
    done = run("access", "check", "--role", "other", "--element", "email")
    assert done.exit_code == 1
    assert list(place.keyring.store.audit.entries()) == []


def test_without_access_there_is_nothing_to_explain(place):
    Path("streamguard.yaml").write_text("kafka: {bootstrap.servers: 'localhost:9092'}\n")
    done = run("access", "check", "--role", "support", "--element", "email")
    assert isinstance(done.exception, UsageError)
    assert isinstance(run("api").exception, ConfigError)


def test_a_token_is_made_for_the_file(place):
    done = run(
        "access", "token", "--name", "tool", "--role", "a", "-r", "b c", "--expires", "2099-01-01T00:00:00Z"
    )
    made = done.stderr.split()[-1]
    assert made not in done.stdout
    Path("tokens.yaml").write_text("tokens:\n" + done.stdout)
    found = load_tokens(Path("tokens.yaml")).principal(made)
    assert (found.name, found.roles) == ("token:tool", {"a", "b c"})


def test_the_trail_is_listed(place):
    (first,) = place.seal("ana@example.com")
    (second,) = place.seal("Ana", element="name")
    run("reveal", first, "--purpose", "ticket 1", token=place.token)
    run("reveal", second, token=place.token)

    def listed(*arguments):
        done = run("audit", "list", "--json", *arguments)
        assert done.exit_code == 0
        return [json.loads(line)["seq"] for line in done.stdout.splitlines()]

    assert listed() == [1, 2]
    assert listed("-n", "1") == [2]
    assert listed("--decision", "denied") == [2]
    assert listed("--element", "email") == [1]
    assert listed("--who", "token:ui") == [1, 2]
    assert listed("--who", "someone") == []
    assert listed("--since", "1h") == [1, 2]
    assert listed("--since", "2099-01-01") == []
    assert listed("--token", first) == [1]
    assert listed("--token", second) == [2]
    assert listed("--token", "sg1.e.K.QQ") == []
    shown = run("audit", "list").stdout
    assert "ticket 1" in shown
    assert "ana@example.com" not in shown
    assert first not in shown


def test_the_trail_is_verified(place):
    run("reveal", *place.seal("a", "b"), token=place.token)
    done = run("audit", "verify")
    assert (done.exit_code, done.stdout) == (0, "Intact: 1 entries, 1 signed heads.\n")
    with place.keyring.store.database.writing() as connection:
        connection.execute(update(audit_entries).values(count=1))
    done = run("audit", "verify")
    assert done.exit_code == 1
    assert "entry 1: the entry was changed: its hash does not fit what it says [entry_changed]" in done.stdout
    assert "NOT intact" in done.stdout
    done = run(
        "audit", "verify", "--json", "--store", "sqlite:///streamguard.db", "--keys", "streamguard.key"
    )
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["intact"], found["entries"], found["published_to"]) == (False, 1, None)
    assert [(flaw["code"], flaw["seq"]) for flaw in found["flaws"]] == [("entry_changed", 1)]


def test_the_api_starts_answers_and_ends(place):
    """As people run it: SIGTERM ends it well."""
    import httpx

    with subprocess.Popen([COMMAND, "api", "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert "api.started" in line
        port = line.split("port=")[1].split()[0]
        url = f"http://127.0.0.1:{port}/v1"
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
        answer = httpx.post(
            f"{url}/reveal",
            json={"values": [{"token": token} for token in place.seal("ana@example.com")]},
            headers={"Authorization": f"Bearer {place.token}"},
            trust_env=False,
        )
        assert answer.json()["values"][0]["value"] == "***********.com"
        busy = subprocess.run([COMMAND, "api", "--port", port], capture_output=True, text=True, check=False)
        assert busy.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in busy.stderr
        process.terminate()
        assert process.wait(timeout=60) == 0
        assert [line.split()[1] for line in process.stderr.read().splitlines()] == [
            "info"
        ]  # a key was minted
