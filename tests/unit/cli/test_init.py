"""`init` as people run it: what is written, what is shown, and what is refused."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STREAMGUARD = str(Path(sys.executable).with_name("streamguard"))
PEOPLE = [
    {
        "id": f"C{n}",
        "email": f"person{n}@example.net",
        "plan": "gold",
        "at": 1_700_000_000_000 + n,
        "ref": f"R{n}",
    }
    for n in range(20)
]


def ndjson(documents) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.ndjson").write_text(ndjson(PEOPLE))
    return tmp_path


def test_a_file_becomes_a_schema_a_policy_and_its_tests(run, here):
    done = run("init", "people.ndjson")
    assert done.returncode == 0
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*.*") if path.is_file()) == [
        "people.ndjson",
        "policies/people.test.yaml",
        "policies/people.yaml",
        "schemas/people.schema.json",
    ]
    assert run("check").stderr == "no problems in 1 file\n"
    assert run("test").returncode == 0
    for shown in (done.stdout, done.stderr, *(path.read_text() for path in here.glob("*/*"))):
        assert "@example.net" not in shown
        assert "gold" not in shown
        assert "17000000" not in shown


def test_the_table_is_what_a_pipe_gets(run):
    done = run("init", "people.ndjson")
    lines = done.stdout.splitlines()
    assert any(line.split() == ["email", "string", "e-mail", "address", "certain", *EMAIL] for line in lines)
    assert "wrote" not in done.stdout
    assert "It passes check and its 4 tests; 20 of the 20 records leave clean under it." in done.stderr
    assert "only possible, and protected all the same: id, ref" in done.stderr
    assert "texts that are kept, if there can be anybody in them: plan" in done.stderr


EMAIL = ["{encrypt:", "{deterministic:", "true},", "element:", "email}"]


def test_as_json(run, here):
    report = json.loads(
        run("init", "people.ndjson", "--json", "--name", "folks", "--folder", "drafts").stdout
    )
    assert report["files"] == [
        "drafts/schemas/folks.schema.json", "drafts/policies/folks.yaml", "drafts/policies/folks.test.yaml",
    ]  # fmt: skip
    assert all((here / file).is_file() for file in report["files"])
    assert (report["ok"], report["records"], report["clean"], report["violations"]) == (True, 20, 20, [])
    assert report["key"]["treatment"] == "tokenize"
    (email,) = [field for field in report["fields"] if field["path"] == "email"]
    assert email == {
        "path": "email",
        "types": ["string"],
        "format": "email",
        "records": 20,
        "finding": "e-mail address",
        "confidence": "certain",
        "reason": "the name says 'email', and all 20 values look like one",
        "treatment": "{encrypt: {deterministic: true}, element: email}",
    }


def test_files_that_are_there_are_kept_unless_forced(run, here):
    (here / "policies").mkdir()
    (here / "policies" / "people.yaml").write_text("mine")
    done = run("init", "people.ndjson")
    assert done.returncode == 2
    assert "'policies/people.yaml' exists already." in done.stderr
    assert (here / "policies" / "people.yaml").read_text() == "mine"
    assert not (here / "schemas").exists()
    assert run("init", "people.ndjson", "--force").returncode == 0
    assert "topic: people" in (here / "policies" / "people.yaml").read_text()


def test_the_topic_and_the_name_are_two_things(run, here):
    assert run("init", "people.ndjson", "--topic", "prod.people.v1").returncode == 0
    assert "topic: prod.people.v1" in (here / "policies" / "prod-people-v1.yaml").read_text()


def test_another_policy_for_the_topic_is_pointed_out(run):
    assert run("init", "people.ndjson", "--topic", "t", "--name", "one").returncode == 0
    done = run("init", "people.ndjson", "--topic", "t", "--name", "two")
    assert done.returncode == 0
    assert "beside the other policies, 'policies/one.yaml' consumes 't' as well" in done.stderr


def test_several_files_and_a_limit_for_each(run, here):
    (here / "more.ndjson").write_text(
        "\n" + ndjson({"id": f"D{n}", "phone": "+12025550123"} for n in range(20))
    )
    report = json.loads(run("init", "people.ndjson", "more.ndjson", "-n", "5", "--json").stdout)
    assert report["records"] == 10
    assert {field["path"]: field["records"] for field in report["fields"]}["phone"] == 5


def test_stdin(here):
    done = subprocess.run(
        [STREAMGUARD, "init", "-", "--name", "piped", "--json"],
        input=ndjson(PEOPLE), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["records"] == 20
    assert (here / "policies" / "piped.yaml").is_file()


def test_lines_that_are_no_documents_are_counted(run, here):
    (here / "people.ndjson").write_text(
        ndjson(PEOPLE) + 'secretdata\n{"id": 123456789012345678901234567890}\n'
    )
    done = run("init", "people.ndjson")
    assert done.returncode == 0
    assert "could not be read, and would be violations: 1 decode.json, 1 decode.number" in done.stderr
    assert "secretdata" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "There is nothing to look at."),
        (["nowhere.ndjson"], 2, "'nowhere.ndjson' cannot be read"),
        (["."], 2, "Nothing says what the files should be called."),
        ([".", "--name", "x"], 2, "'.' cannot be read"),
        (["-"], 2, "Nothing says what the files should be called."),
        (["people.ndjson", "--name", "a b"], 2, "'a b' cannot be a policy's name."),
        (["people.ndjson", "--topic", "a b"], 2, "'a b' cannot be the name of a topic."),
        (["--topic", "t"], 2, "Nothing says where the broker is."),
        (
            ["--topic", "t", "-c", "a.yaml", "--bootstrap-servers", "b"],
            2,
            "A service file names its broker itself.",
        ),
        (["--topic", "t", "-c", "a.yaml", "--registry", "http://localhost"], 2, "names its registry itself"),
        (
            ["--topic", "t", "--bootstrap-servers", "b", "--registry", "http://elsewhere"],
            2,
            "cannot be the address",
        ),
        (["--topic", "t", "-c", "nowhere.yaml"], 1, "The service file 'nowhere.yaml' does not exist."),
        (["people.ndjson", "-n", "0"], 2, "--records"),
    ],
)
def test_wrong_use(run, here, arguments, code, said):
    done = run("init", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert not (here / "policies").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "There is no record to look at."),
        (b"secretdata\n", "None of the records can be read as json (1 decode.json)."),
        (b'["secretdata"]\n', "jq -c '.[]'"),
        (b"\x00\x00\x00\x00\x07secretdata\n", "framed for a Schema Registry, and lines of a file"),
        (b'{"person@example.net": "secretdata"}\n', "own property names look like data"),
    ],
)
def test_what_nothing_can_be_drafted_from(run, here, content, said):
    (here / "people.ndjson").write_bytes(content)
    done = run("init", "people.ndjson")
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "secretdata" not in done.stderr
    assert "person@" not in done.stderr
    assert not (here / "policies").exists()


def test_where_one_file_cannot_be_written_none_is(run, here):
    (here / "policies").write_text("no folder")
    done = run("init", "people.ndjson")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be written" in done.stderr
    assert not [path for path in (here / "schemas").rglob("*") if path.is_file()]


def test_ctrl_c_leaves_nothing_behind(here):
    started = subprocess.Popen(
        [STREAMGUARD, "init", "-", "--name", "piped"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdin
    started.stdin.write(ndjson(PEOPLE))
    started.stdin.flush()
    deadline = time.monotonic() + 60
    while started.poll() is None and time.monotonic() < deadline and not _is_waiting(started.pid):
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert (started.returncode, said) == (130, "Stopped; nothing was written.\n")
    assert not (here / "policies").exists()


def _is_waiting(pid: int) -> bool:
    """Whether a process has read all of its standard input and waits for more (system call 0 is x86-64's read)."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text() == "pipe_read" or (
            Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 ")
        )
    except OSError:
        return False


def test_on_a_terminal(here):
    """Everything is shown there, in colours and as wide as the terminal is, and no sign of a name drives it."""
    (here / "odd.ndjson").write_text(ndjson([{"e\x9b31mmail": "x", "name": "Ana Sousa"}]))
    ours, theirs = pty.openpty()
    command = [STREAMGUARD, "init", "odd.ndjson"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = io.BytesIO()
    try:
        while part := os.read(ours, 4096):
            shown.write(part)
    except OSError:  # how a terminal says that nobody has it open any more
        pass
    os.close(ours)
    text = shown.getvalue().decode()
    assert done.wait(60) == 0
    assert "wrote" in text
    assert "\x9b" not in text
    assert "Ana" not in text
