"""`check`, `test` and `schema` as people run them: what is printed, and what the exit code says."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from rich.console import Console

from streamguard.cli.problems import show, summary
from streamguard.crypto.kms.local import generate, write_file
from streamguard.guard.file_schemas import SCHEMAS
from streamguard.policy.document import read_document
from streamguard.policy.problems import Problem, ProblemsError
from streamguard.policy.service import Service
from streamguard.streams.startup import read_policies

GOOD = "topic: orders\nkey: keep\nvalue: {schema: s.json}\nfields: {a: encrypt}\n"
BAD = GOOD.replace("encrypt", "encypt")
TESTS = (
    "tests:\n  - {name: it is encrypted, input: {value: {a: x}}, clean: {value: {a: {$decrypts_to: x}}}}\n"
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "s.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}}')
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "orders.yaml").write_text(GOOD)
    return tmp_path


# -- check -----------------------------------------------------------------------------------------------------------


def test_a_good_policy(run) -> None:
    done = run("check", "policies/orders.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no problems in 1 file\n")


def test_as_a_command_of_its_own(here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(BAD)
    command = [str(Path(sys.executable).with_name("streamguard")), "check", "--json"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"] == 1
    assert done.stderr == ""


def test_a_bad_policy_is_one_line_per_problem_in_a_pipe(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(BAD)
    done = run("check", "policies")
    assert done.returncode == 1
    assert done.stdout == (
        "policies/orders.yaml:4:13: error: unknown transform 'encypt' (did you mean 'encrypt'?) [unknown_transform]\n"
    )
    assert done.stderr == "1 error in 1 file\n"


def test_as_json(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(BAD)
    done = run("check", "policies", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["ok"], report["files"], report["errors"], report["warnings"]) == (False, 1, 1, 0)
    assert report["problems"] == [
        {
            "file": "policies/orders.yaml",
            "line": 4,
            "column": 13,
            "path": "fields.a",
            "message": "unknown transform 'encypt'",
            "suggestion": "did you mean 'encrypt'?",
            "severity": "error",
            "code": "unknown_transform",
            "length": 6,
        }
    ]
    (here / "policies" / "orders.yaml").write_text(GOOD)
    assert json.loads(run("check", "--json").stdout)["ok"] is True


FAULTY = """\
topic: orders
kee: keep
value: {schema: s.json, max_depth: 0}
delivery: once
timestamp: {truncate: {to: week}}
violation_limit: {ratio: 2, per: 1}
fields:
  a: {encrypt: {determinstic: true}, elment: x}
  b: {mask: {}, hash: {}}
  c: encypt
  d: {encrypt: 5}
keep: [1, e]
clean: {a: [trim, loewr], e: trim}
quality:
  - {rule: x > 1, code: Bad}
  - {rule: "a ==", code: worse, mesage: hm}
  - {rule: size(a)}
tags: {PII: {}}
"""


def test_a_mistake_of_the_form_hides_no_other_problem(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(FAULTY)
    done = run("check", "--json", "policies/orders.yaml")
    found = [(p["line"], p["code"], p["message"]) for p in json.loads(done.stdout)["problems"]]
    assert [(line, code) for line, code, _ in found] == [
        (1, "missing"),
        (2, "unknown_key"),
        (3, "wrong_value"),
        (4, "wrong_value"),
        (5, "wrong_value"),
        (6, "wrong_value"),
        (6, "wrong_value"),
        (8, "unknown_option"),
        (8, "unknown_key"),
        (9, "unknown_path"),
        (9, "wrong_value"),
        (10, "unknown_path"),
        (10, "unknown_transform"),
        (11, "unknown_path"),
        (11, "wrong_type"),
        (12, "wrong_type"),
        (12, "unknown_path"),
        (12, "unknown_path"),
        (13, "wrong_value"),
        (13, "unknown_path"),
        (15, "unknown_path"),
        (15, "wrong_value"),
        (16, "bad_rule"),
        (16, "unknown_key"),
        (17, "missing"),
        (17, "bad_rule"),
        (18, "wrong_value"),
    ], found
    with pytest.raises(ProblemsError) as refused:  # the service, at its start and at a reload
        read_policies(Service.model_validate({"kafka": {}, "policies": ["policies"]}))
    assert [problem.message for problem in refused.value.problems] == [message for *_, message in found]


@pytest.mark.parametrize("schema", ["nowhere.json", "broken.json", "wrong.json"])
def test_a_schema_that_cannot_be_used_hides_no_mistake_in_a_transform(run, here: Path, schema: str) -> None:
    (here / "broken.json").write_text("{")
    (here / "wrong.json").write_text('{"type": "strnig"}')
    (here / "policies" / "orders.yaml").write_text(
        f"topic: orders\nkey: tokenise\nvalue: {{schema: {schema}}}\noutputs: {{clean: orders}}\n"
        "fields: {a: encypt, b: {mask: {keep: 1}}}\nkeep: [c, a]\nclean: {c: coerce}\n"
    )
    problems = json.loads(run("check", "--json", "policies/orders.yaml").stdout)["problems"]
    of_schema = "missing_file" if schema == "nowhere.json" else "bad_schema"
    assert [(p["line"], p["code"]) for p in problems] == [
        (2, "unknown_transform"),
        (3, of_schema),
        (4, "topic_loop"),
        (5, "unknown_transform"),
        (5, "unknown_option"),
        (6, "overlap"),
    ]


@pytest.mark.parametrize(
    "section", ["value: {shema: s.json}", "fields: [a]", "keep: a", "subject: [a]", "tags: PII", "value: 1"]
)
def test_nothing_is_said_about_what_only_follows_from_a_mistake(run, here: Path, section: str) -> None:
    (here / "policies" / "orders.yaml").write_text(f"topic: orders\nkey: keep\n{section}\n")
    assert len(json.loads(run("check", "--json", "policies/orders.yaml").stdout)["problems"]) == 1


def test_what_could_not_be_read_is_held_against_no_other_policy(run, here: Path) -> None:
    for name in ("one", "two"):
        (here / "policies" / f"{name}.yaml").write_text("key: keep\nvalue: {schema: s.json}\nkeep: [a]\n")
    found = json.loads(run("check", "--json", "policies").stdout)["problems"]
    assert [problem["code"] for problem in found] == ["missing", "missing"]


def test_a_faulty_service_file_hides_no_problem_of_its_policies(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(BAD + "commit_interval_ms: 4000\n")
    (here / "streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: '${NOT_SET}', foo.bar: 1}\nslto: a\ntransaction_timeout_ms: 6000\n"
        "keys: {file: nowhere.key}\n"
    )
    found = json.loads(run("check", "--json").stdout)["problems"]
    assert [(p["file"][-16:], p["line"], p["code"]) for p in found] == [
        ("cies/orders.yaml", 4, "unknown_transform"),
        ("cies/orders.yaml", 5, "commit_interval"),
        ("streamguard.yaml", 1, "undefined_variable"),
        ("streamguard.yaml", 1, "refused_property"),
        ("streamguard.yaml", 2, "unknown_key"),
        ("streamguard.yaml", 4, "missing_key"),
    ]


def test_warnings_fail_only_when_strict(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(GOOD + "headers: keep\n")
    assert run("check").returncode == 0
    assert "warning: every header passes" in run("check").stdout
    assert run("check", "--strict").returncode == 1


def test_every_policy_of_a_folder_is_checked_beside_the_others(run, here: Path) -> None:
    (here / "policies" / "twin.yaml").write_text(GOOD)
    done = run("check")
    assert done.returncode == 1
    assert "policies/twin.yaml:1:8: error: 'policies/orders.yaml' consumes 'orders' as well" in done.stdout


def test_one_unreadable_policy_does_not_hide_the_others(run, here: Path) -> None:
    (here / "policies" / "broken.yaml").write_text("topic: [\n")
    (here / "policies" / "orders.yaml").write_text(BAD)
    done = run("check")
    assert "broken.yaml:" in done.stdout
    assert "unknown transform 'encypt'" in done.stdout
    assert done.stderr == "2 errors in 2 files\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "'nowhere.yaml' does not exist."),
        (["policies", "-c", "streamguard.yaml"], "A service file names its policies itself."),
        (["empty"], "No policy is there."),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_use(run, here: Path, arguments: list[str], said: str) -> None:
    (here / "empty").mkdir()
    done = run("check", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_nothing_to_check(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").unlink()
    (here / "policies").rmdir()
    done = run("check")
    assert done.returncode == 2
    assert "There is no streamguard.yaml and no folder policies here." in done.stderr


def test_a_service_file_with_its_policies(run, here: Path) -> None:
    (here / "streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: 'localhost:9092'}\nkeys: {file: m.key}\n"
    )
    done = run("check")
    assert done.returncode == 1
    assert done.stdout.startswith("streamguard.yaml:2:7: error: There is no master key file m.key")
    assert "streamguard keys init" in done.stdout
    write_file(here / "m.key", generate())
    assert run("check").returncode == 0
    assert run("check", "-c", "streamguard.yaml").returncode == 0


def test_librdkafka_judges_the_properties(run, here: Path) -> None:
    write_file(here / "streamguard.key", generate())
    (here / "streamguard.yaml").write_text(
        "kafka:\n  bootstrap.servers: localhost:9092\n  linger.mss: 5\n  batch.size: -1\n  compression.type: zstd\n"
    )
    done = run("check")
    assert done.stdout == (
        "streamguard.yaml:3:3: error: 'linger.mss' is not a property of librdkafka [refused_property]\n"
        "streamguard.yaml:4:3: error: 'batch.size' has a value that librdkafka refuses [refused_property]\n"
    )


def test_policies_that_the_service_cannot_find(run, here: Path) -> None:
    write_file(here / "streamguard.key", generate())
    (here / "streamguard.yaml").write_text("kafka: {bootstrap.servers: a}\npolicies: [nowhere]\n")
    done = run("check")
    assert done.returncode == 1
    assert (
        "streamguard.yaml:2:11: error: 'policies' names 'nowhere', and no policy file is there" in done.stdout
    )


def test_explain_lists_what_happens_to_every_field(run, here: Path) -> None:
    text = GOOD.replace("keep", "tokenize").replace(
        "encrypt", "{encrypt: {deterministic: true}, element: email}"
    )
    (here / "policies" / "orders.yaml").write_text(text)
    shown = run("check", "--explain").stdout
    assert "orders.clean" in shown
    assert "encrypt {deterministic: true}" in shown
    rows = json.loads(run("check", "--explain", "--json").stdout)["treatments"]["orders"]
    assert rows == [
        {
            "path": "$key",
            "types": ["string"],
            "treatment": "tokenize",
            "origin": "key",
            "reversible": False,
            "joins": None,
        },
        {
            "path": "a",
            "types": ["string"],
            "treatment": "encrypt {deterministic: true}",
            "origin": "fields",
            "reversible": True,
            "joins": "email",
            "leaves_as": ["string"],
        },
    ]


def test_explain_of_a_policy_that_forgets_a_field(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text("topic: orders\nkey: keep\nvalue: {schema: s.json}\n")
    done = run("check", "--explain", "--json")
    assert done.returncode == 1
    assert [row["treatment"] for row in json.loads(done.stdout)["treatments"]["orders"]] == [
        "kept",
        "not classified",
    ]


def test_explain_of_a_policy_with_paths_that_are_none(run, here: Path) -> None:
    (here / "policies" / "orders.yaml").write_text(
        'topic: orders\nkey: keep\nvalue: {schema: s.json}\nfields: {"a[0]": encrypt}\nkeep: ["b[1]"]\n'
    )
    done = run("check", "--explain", "--json")
    assert done.returncode == 1
    codes = [problem["code"] for problem in json.loads(done.stdout)["problems"]]
    assert codes.count("bad_path") == 2
    assert "not classified" in run("check", "--explain").stdout


# -- the screen ------------------------------------------------------------------------------------------------------


def screen(*problems: Problem) -> str:
    console = Console(force_terminal=True, no_color=True, width=200, color_system=None)
    with console.capture() as captured:
        show(problems, console)
    return captured.get()


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    problem = Problem(
        "p.yaml",
        12,
        5,
        "fields.a",
        "unknown transform 'x'",
        "did you mean 'y'?",
        code="c",
        length=3,
        source="  a: xyz # b",
    )
    assert screen(problem) == (
        "error[c]: unknown transform 'x'\n"
        "  ╭─▸ p.yaml:12:5\n"
        "   │\n"
        "12 │   a: xyz # b\n"
        "   │     ^^^ did you mean 'y'?\n"
        "\n"
    )


def test_problems_of_one_place_share_its_line() -> None:
    one = Problem("p.yaml", 1, 1, "", "first", "do this", code="c", source="fields:", length=6)
    two = Problem("p.yaml", 1, 1, "", "second", "do that", code="c", source="fields:", length=6)
    assert screen(one, two) == (
        "error[c]: first\nerror[c]: second\n"
        " ╭─▸ p.yaml:1:1\n  │\n1 │ fields:\n  │ ^^^^^^ do this\n  │        do that\n\n"
    )


def test_a_line_that_may_hold_a_secret_is_not_shown() -> None:
    problem = Problem("s.yaml", 3, 1, "kafka", "refused", "write it otherwise", code="c")
    assert screen(problem) == "error[c]: refused\n ╭─▸ s.yaml:3:1\n  │ write it otherwise\n\n"


def test_nothing_in_a_problem_is_taken_for_markup_or_an_emoji() -> None:
    problem = Problem("p.yaml", 100, 5, "", "a [red]b[/red] :smile:", source="x: [bold]", length=1, code="c")
    assert "a [red]b[/red] :smile:" in screen(problem)
    assert "x: [bold]" in screen(problem)
    console = Console(force_terminal=False, width=40)
    with console.capture() as captured:
        show([problem], console)
    assert captured.get() == "p.yaml:100:5: error: a [red]b[/red] :smile: [c]\n"


def test_the_summary_counts() -> None:
    error = Problem("p", 1, 1, "", "m")
    warning = Problem("p", 1, 1, "", "m", severity="warning")
    assert summary([error, error, warning], 2).plain == "2 errors and 1 warning in 2 files"
    assert summary([], 1).plain == "no problems in 1 file"


def test_other_commands_show_every_problem_too(run, here: Path) -> None:
    (here / "streamguard.yaml").write_text("kafka: {}\nlogg: x\n")
    done = run("keys", "list")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "streamguard.yaml:1:1: error: 'bootstrap.servers' is missing (write bootstrap.servers: host:9092) [missing]",
        "streamguard.yaml:2:1: error: unknown key 'logg' (did you mean 'log'?) [unknown_key]",
        "2 errors in 1 file",
    ]


# -- test ------------------------------------------------------------------------------------------------------------


def test_policy_tests_that_pass(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text(TESTS)
    done = run("test")
    assert done.returncode == 0
    assert done.stdout == "policies/orders.test.yaml\n  ✓ it is encrypted\n"
    assert done.stderr == "1 passed\n"
    for named in ("policies", "policies/orders.yaml", "policies/orders.test.yaml"):
        assert run("test", named).stderr == "1 passed\n"


def test_policy_tests_that_fail(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text(TESTS.replace("$decrypts_to: x", "$decrypts_to: y"))
    done = run("test")
    assert done.returncode == 1
    assert (
        '  ✗ it is encrypted\npolicies/orders.test.yaml:2:87: error: a: expected "y", found "x" [mismatch]'
        in done.stdout
    )
    assert done.stderr == "0 passed, 1 failed\n"


def test_policy_tests_as_json(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text(
        TESTS + "  - {name: other, input: {raw: x}, clean: {}}\n"
    )
    done = run("test", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["ok"], report["passed"], report["failed"], report["broken"]) == (False, 1, 1, {})
    (file,) = report["files"]
    assert (file["file"], file["policy"]) == ("policies/orders.test.yaml", "policies/orders.yaml")
    assert [(test["name"], test["line"], test["ok"]) for test in file["tests"]] == [
        ("it is encrypted", 2, True), ("other", 3, False),
    ]  # fmt: skip


def test_policy_tests_that_cannot_be_run(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text(TESTS.replace("$decrypts_to", "$decrypt_to"))
    done = run("test")
    assert done.returncode == 1
    assert "unknown matcher '$decrypt_to' (did you mean '$decrypts_to'?)" in done.stdout
    assert done.stderr == "0 passed, 1 file cannot be run\n"


def test_some_policy_tests(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text(
        TESTS + "  - {name: other, input: {raw: x}, clean: {}}\n"
    )
    assert run("test", "--only", "encrypted").returncode == 0
    done = run("test", "-k", "nothing like it")
    assert done.returncode == 2
    assert "No test's name holds 'nothing like it'." in done.stderr


def test_no_policy_tests(run) -> None:
    done = run("test")
    assert done.returncode == 2
    assert "There are no policy tests." in done.stderr


def test_fields_that_no_test_exercises_are_named(run, here: Path) -> None:
    (here / "policies" / "orders.test.yaml").write_text("tests: [{name: a, input: {value: {}}, clean: {}}]\n")
    assert "  not in any clean record: a\n" in run("test").stdout


# -- schema ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["policy", "service", "test"])
def test_schemas_are_printed(run, kind: str) -> None:
    done = run("schema", kind)
    assert done.returncode == 0
    assert json.loads(done.stdout) == SCHEMAS[kind]()
    assert jsonschema_rs.meta.is_valid(json.loads(done.stdout))


def test_the_policy_schema_is_the_default(run) -> None:
    assert json.loads(run("schema").stdout)["title"] == "StreamGuard policy"
    assert run("schema", "nonsense").returncode == 2


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("policy", "policies/orders.yaml policies/payments.yaml policies/patients.yaml"),
        ("test", "policies/orders.test.yaml policies/payments.test.yaml policies/patients.test.yaml"),
        ("service", "streamguard.yaml deploy/streamguard.yaml"),
    ],
)
def test_the_examples_satisfy_the_schemas(kind: str, files: str) -> None:
    validator = jsonschema_rs.validator_for(SCHEMAS[kind]())
    for file in files.split():
        validator.validate(read_document(Path(file), what="example").data)


POLICY = {"topic": "a", "key": "keep"}


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        (POLICY, True),
        ({"topic": "a"}, False),
        (POLICY | {"feilds": {}}, False),
        (POLICY | {"key": "drop"}, True),
        (POLICY | {"key": {"tokenize": {"prefix": "x"}}}, True),
        (POLICY | {"key": "kep"}, False),
        (POLICY | {"fields": {"a": "encrypt"}}, True),
        (POLICY | {"fields": {"a": "keep"}}, False),
        (POLICY | {"fields": {"a": {"encrypt": None}}}, True),
        (POLICY | {"fields": {"a": {"mask": {"keep_last": 4}, "element": "card"}}}, True),
        (POLICY | {"fields": {"a": {"mask": {"keep_lst": 4}}}}, False),
        (POLICY | {"fields": {"a": {"mask": {}, "hash": {}}}}, False),
        (POLICY | {"fields": {"a": {"element": "card"}}}, False),
        (POLICY | {"fields": {"a": "fake"}}, False),
        (POLICY | {"fields": {"a": {"fake": {"kind": "name"}}}}, True),
        (POLICY | {"fields": {"a": {"generalize": {"geo": {"decimals": 1}}}}}, True),
        (POLICY | {"fields": {"a": {"generalize": {"ip": {"v5": 1}}}}}, False),
        (POLICY | {"inspect": "off"}, True),
        (POLICY | {"inspect": "of"}, False),
        (POLICY | {"quarantine": "none"}, True),
        (POLICY | {"quarantine": {"retain": "14d"}}, True),
        (POLICY | {"quarantine": {"retain": "14 days"}}, False),
        (
            POLICY | {"clean": {"a": "trim", "b": ["coerce", {"coerce": "integer"}, {"map": {"y": True}}]}},
            True,
        ),
        (POLICY | {"clean": {"a": [{"defult": 1}]}}, False),
        (POLICY | {"timestamp": {"truncate": {"to": "hour"}}}, True),
        (POLICY | {"violation_limit": "off"}, True),
    ],
)
def test_what_the_policy_schema_takes(document: dict, valid: bool) -> None:
    assert jsonschema_rs.validator_for(SCHEMAS["policy"]()).is_valid(document) is valid


KAFKA = {"bootstrap.servers": "a:9092"}
VAULT = {"provider": "vault", "address": "https://vault:8200", "key": "streamguard"}


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"kafka": KAFKA}, True),
        ({}, False),
        ({"kafka": {}}, False),
        ({"kafka": KAFKA | {"linger.ms": 5, "socket.keepalive.enable": True}}, True),
        ({"kafka": KAFKA | {"group.id": "x"}}, False),
        ({"kafka": KAFKA | {"enable.auto.commit": True}}, False),
        ({"kafka": KAFKA | {"security.protocol": "SASL"}}, False),
        ({"kafka": KAFKA | {"security.protocol": "${PROTOCOL:-SSL}"}}, True),
        ({"kafka": KAFKA, "web": {"port": "${PORT}"}}, True),
        ({"kafka": KAFKA, "web": {"port": "http"}}, False),
        ({"kafka": KAFKA, "keys": {"file": "a", "env": "B"}}, False),
        ({"kafka": KAFKA, "keys": {"file": "a", "earlier": [{"env": "B"}]}}, True),
        ({"kafka": KAFKA, "keys": VAULT | {"token": "${TOKEN}"}}, True),
        ({"kafka": KAFKA, "keys": VAULT | {"token": "${TOKEN}", "token_file": "t"}}, False),
        ({"kafka": KAFKA, "keys": VAULT | {"file": "t"}}, False),
        ({"kafka": KAFKA, "keys": {"provider": "aws", "key": "alias/streamguard"}}, True),
        ({"kafka": KAFKA, "keys": {"provider": "valt", "file": "a"}}, False),
        ({"kafka": KAFKA, "policies": "policies"}, True),
    ],
)
def test_what_the_service_schema_takes(document: dict, valid: bool) -> None:
    assert jsonschema_rs.validator_for(SCHEMAS["service"]()).is_valid(document) is valid
