"""Loading a policy: names, versions, the schema's file, and every problem at once."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from streamguard.errors import ConfigError
from streamguard.policy.loader import find_policies, load_policy, look_at_all
from streamguard.policy.models import Rule
from streamguard.policy.problems import Problem, ProblemsError

TOPIC = "a topic's name: letters, digits, '.', '_' and '-', at most 249"
ONE = "name exactly one, such as {encrypt: {deterministic: true}}"
MINIMAL = "topic: orders\nkey: keep\n"


@pytest.fixture
def policy(tmp_path: Path):
    def write(text: str, name: str = "orders.yaml") -> Path:
        path = tmp_path / "policies" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def problems_of(path: Path) -> list[Problem]:
    with pytest.raises(ProblemsError) as caught:
        load_policy(path)
    return list(caught.value.problems)


def test_the_defaults(policy) -> None:
    loaded = load_policy(policy(MINIMAL))
    assert loaded.policy.name == "orders"
    assert loaded.policy.clean_topic == "orders.clean"
    assert loaded.policy.violations_topic == "orders.violations"
    assert loaded.policy.headers == ("traceparent",)
    assert loaded.policy.quarantine.retain == timedelta(days=14)
    assert loaded.policy.delivery == "exactly_once"
    assert loaded.schema is None
    assert loaded.version == loaded.policy.version
    assert len(loaded.version) == 12


def test_short_and_long_forms_mean_the_same(policy) -> None:
    text = (
        MINIMAL
        + "fields:\n  a: encrypt\n  b: {encrypt: }\n  c: {encrypt: {}}\n  d: {mask: {keep_last: 4}, element: card}\n"
    )
    fields = load_policy(policy(text)).policy.fields
    assert fields["a"] == fields["b"] == fields["c"] == Rule(verb="encrypt")
    assert fields["d"] == Rule(verb="mask", options={"keep_last": 4}, element="card")


@pytest.mark.parametrize(
    ("text", "retain"),
    [
        ("none", "none"),
        ("{retain: none}", "none"),
        ("{retain: 12h}", timedelta(hours=12)),
        ("{retain: 90s}", timedelta(seconds=90)),
    ],
)
def test_quarantine(policy, text: str, retain: object) -> None:
    assert load_policy(policy(f"{MINIMAL}quarantine: {text}\n")).policy.quarantine.retain == retain


def test_the_last_look_is_switched_by_words(policy) -> None:
    assert not load_policy(policy(MINIMAL + "inspect: off\n")).policy.inspect.enabled
    assert load_policy(policy(MINIMAL + "inspect: on\n")).policy.inspect.enabled
    assert load_policy(policy(MINIMAL + "inspect: {skip: [a]}\n")).policy.inspect.skip == ("a",)


def test_one_clean_step_needs_no_list(policy) -> None:
    steps = load_policy(
        policy(MINIMAL + "clean: {a: trim, b: [trim, {default: x}], c: {map: {y: true}}}\n")
    ).policy.clean
    assert steps == {"a": ("trim",), "b": ("trim", {"default": "x"}), "c": ({"map": {"y": True}},)}


def test_the_version_follows_meaning_and_not_layout(policy, tmp_path: Path) -> None:
    first = load_policy(policy(MINIMAL)).version
    assert load_policy(policy("# a comment\nkey:   keep\ntopic: 'orders'\n")).version == first
    assert load_policy(policy(MINIMAL, "copy.yaml")).version == first, "the name is no part of it"
    assert load_policy(policy("topic: orders\nkey: drop\n")).version != first
    (tmp_path / "s.json").write_text('{"type": "object"}')
    with_schema = load_policy(policy(MINIMAL + "value: {schema: s.json}\n")).version
    (tmp_path / "s.json").write_text('{"type": "object", "properties": {}}')
    assert load_policy(policy(MINIMAL + "value: {schema: s.json}\n")).version != with_schema
    assert load_policy(policy(MINIMAL + "version: '7'\n")).version == "7"


def test_a_name_is_made_of_the_file(policy) -> None:
    assert load_policy(policy(MINIMAL, "web shop.orders.yaml")).policy.name == "web-shop-orders"
    assert load_policy(policy(MINIMAL + "name: mine\n")).policy.name == "mine"


@pytest.mark.parametrize("place", ["policies/s.json", "s.json", "schemas/s.json"])
def test_where_a_schema_is_looked_for(policy, tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / place).write_text('{"title": "found"}')
    loaded = load_policy(policy(MINIMAL + "value: {schema: s.json}\n"))
    assert loaded.schema == {"title": "found"}
    assert loaded.schema_path is not None
    assert loaded.schema_path.samefile(tmp_path / place)


def test_a_schema_in_the_working_folder(policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "s.json").write_text("{}")
    monkeypatch.chdir(elsewhere)
    assert load_policy(policy(MINIMAL + "value: {schema: s.json}\n")).schema == {}


def test_the_nearest_schema_counts(policy, tmp_path: Path) -> None:
    path = policy(MINIMAL + "value: {schema: s.json}\n")
    (path.parent / "s.json").write_text('{"title": "beside"}')
    (tmp_path / "s.json").write_text('{"title": "above"}')
    assert load_policy(path).schema == {"title": "beside"}


def test_a_missing_schema_is_suggested(policy, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "order.schema.json").write_text("{}")
    (problem,) = problems_of(policy(MINIMAL + "value: {schema: oder.schema.json}\n"))
    assert (problem.code, problem.line, problem.column) == ("missing_file", 3, 17)
    assert problem.suggestion == "did you mean 'order.schema.json'?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": }', "is not JSON: line 1, column 7"),
        (b"[]", "is not a JSON object"),
        (b'{"type": "object", "type": "string"}', "writes 'type' twice"),
        (b'{"a": "\xff"}', "is not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "is not JSON: line 1, column 1"),
    ],
)
def test_a_bad_schema(policy, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "s.json").write_bytes(content)
    (problem,) = problems_of(policy(MINIMAL + "value: {schema: s.json}\n"))
    assert problem.code == "bad_schema"
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "line", "code", "message", "suggestion"),
    [
        ("", 1, "missing", "the file is empty", "begin with 'topic: …'"),
        ("[]", 1, "missing", "a policy is a mapping", "begin with 'topic: …'"),
        ("topic: a\n", 1, "missing", "'key' is missing", "write keep, drop, or a transform such as tokenize"),
        ("key: keep\n", 1, "missing", "'topic' is missing", f"write {TOPIC}"),
        ("topic: a b\nkey: keep\n", 1, "wrong_value", f"'topic' must be {TOPIC}", ""),
        ("topic: 5\nkey: keep\n", 1, "wrong_type", f"'topic' must be {TOPIC}", "put it in quotes"),
        (MINIMAL + "feilds: {}\n", 3, "unknown_key", "unknown key 'feilds'", "did you mean 'fields'?"),
        (
            MINIMAL + "value: {formt: json}\n",
            3,
            "unknown_key",
            "unknown key 'formt'",
            "did you mean 'format'?",
        ),
        (
            MINIMAL + "value: {format: xml}\n",
            3,
            "wrong_value",
            "'format' must be json, avro, protobuf, text or bytes",
            "",
        ),
        (
            MINIMAL + "undeclared: rejekt\n",
            3,
            "wrong_value",
            "'undeclared' must be reject, drop or keep",
            "did you mean 'reject'?",
        ),
        (
            MINIMAL + "headers: 5\n",
            3,
            "wrong_value",
            "'headers' must be keep, drop, or a list of header names",
            "",
        ),
        (
            MINIMAL + "timestamp: {truncate: {to: our}}\n",
            3,
            "wrong_value",
            "'to' must be second, minute, hour or day",
            "did you mean 'hour'?",
        ),
        (
            MINIMAL + "timestamp: {trunc: {to: hour}}\n",
            3,
            "unknown_key",
            "unknown key 'trunc'",
            "did you mean 'truncate'?",
        ),
        (
            MINIMAL + "quarantine: {retain: 14 days}\n",
            3,
            "wrong_value",
            "'retain' must be a duration such as 14d, or none",
            "",
        ),
        (MINIMAL + "quarantine: 14d\n", 3, "wrong_type", "'quarantine' must be none, or {retain: 14d}", ""),
        (MINIMAL + "inspect: of\n", 3, "wrong_type", "'inspect' must be on, off, or {skip: [paths]}", ""),
        (MINIMAL + "violation_limit: {ratio: 2}\n", 3, "wrong_value", "'ratio' must be at most 1.0", ""),
        (
            MINIMAL + "commit_interval_ms: 0\n",
            3,
            "wrong_value",
            "'commit_interval_ms' must be at least 1",
            "",
        ),
        (
            MINIMAL + "commit_interval_ms: soon\n",
            3,
            "wrong_value",
            "'commit_interval_ms' must be a whole number",
            "",
        ),
        (
            MINIMAL + "delivery: exactly_onc\n",
            3,
            "wrong_value",
            "'delivery' must be exactly_once or at_least_once",
            "did you mean 'exactly_once'?",
        ),
        (MINIMAL + "keep: a\n", 3, "wrong_type", "'keep' must be a list", ""),
        (MINIMAL + "keep: [a, 1]\n", 3, "wrong_type", "entry 2 of 'keep' must be text", "put it in quotes"),
        (MINIMAL + "fields: [a]\n", 3, "wrong_type", "'fields' must be a mapping", ""),
        (
            MINIMAL + "fields: {a: 5}\n",
            3,
            "wrong_type",
            "'a' must be a transform, such as encrypt or {mask: {keep_last: 4}}",
            "",
        ),
        (
            MINIMAL + "fields:\n  a: {encrypt: {}, mask: {}}\n",
            4,
            "wrong_value",
            "'mask' stands beside 'encrypt', but a field has one transform",
            ONE,
        ),
        (
            MINIMAL + "fields:\n  a: {encrypt: {}, elment: x}\n",
            4,
            "unknown_key",
            "'elment' is not a known key here",
            "did you mean 'element'?",
        ),
        (MINIMAL + "fields:\n  a: {element: x}\n", 4, "wrong_value", "'a' names no transform", ONE),
        (
            MINIMAL + "fields:\n  a: {mask: 4}\n",
            4,
            "wrong_type",
            "'mask' must have a mapping of options",
            "write {mask: {…}}, or 'mask' alone",
        ),
        (
            MINIMAL + "fields:\n  a: {encrypt: {}, element: 'a b'}\n",
            4,
            "wrong_value",
            "'element' must be a name without white space and '|', such as email, at most 200 characters",
            "",
        ),
        (
            MINIMAL + "quality: [{rul: a, code: b}]\n",
            3,
            "unknown_key",
            "unknown key 'rul'",
            "did you mean 'rule'?",
        ),
        (
            MINIMAL + "quality: [{rule: a, code: B-1}]\n",
            3,
            "wrong_value",
            "'code' must be lower-case letters, digits and '_', at most 64",
            "",
        ),
        (
            MINIMAL + "clean: {a: [{trim: true}]}\n",
            3,
            "unknown_step",
            "'trim' is not a step with a value",
            "write trim alone",
        ),
        (
            MINIMAL + "clean: {a: [{defult: 1}]}\n",
            3,
            "unknown_step",
            "'defult' is not a step with a value",
            "did you mean 'default'?",
        ),
        (
            MINIMAL + "clean: {a: [default]}\n",
            3,
            "wrong_value",
            "entry 1 of 'a' must be a step",
            "write {default: …}",
        ),
        (MINIMAL + "outputs: {clean: 'a b'}\n", 3, "wrong_value", f"'clean' must be {TOPIC}", ""),
        (
            MINIMAL + "name: a b\n",
            3,
            "wrong_value",
            "'name' must be letters, digits, '_' and '-', at most 64",
            "",
        ),
        (
            MINIMAL + "value: {format: text, registry: true}\n",
            3,
            "wrong_value",
            "'registry' is for values that have a schema, and text has none",
            "leave it out, or name their format: json, avro or protobuf",
        ),
        (
            MINIMAL + "version: 1.10\n",
            3,
            "wrong_type",
            "'version' must be letters, digits, '.', '_' and '-', at most 64",
            "put it in quotes",
        ),
    ],
)
def test_mistakes(policy, text: str, line: int, code: str, message: str, suggestion: str) -> None:
    (problem,) = problems_of(policy(text))
    assert (problem.line, problem.code, problem.message, problem.suggestion) == (
        line,
        code,
        message,
        suggestion,
    )


def test_a_step_that_does_not_exist_is_suggested(policy) -> None:
    (problem,) = problems_of(policy(MINIMAL + "clean: {a: [trmi]}\n"))
    assert problem.suggestion == "did you mean 'trim'?"
    assert problem.message.startswith("entry 1 of 'a' must be trim, lower")


def test_every_problem_is_reported_in_the_order_of_lines(policy) -> None:
    text = "topic: a b\nfeilds: {}\nheaders: 5\nvalue: {schema: none.json}\nkeep: [1]\n"
    problems = problems_of(policy(text))
    assert [(problem.line, problem.code) for problem in problems] == [
        (1, "missing"),
        (1, "wrong_value"),
        (2, "unknown_key"),
        (3, "wrong_value"),
        (4, "missing_file"),
        (5, "wrong_type"),
    ]


def test_no_message_is_pydantics_or_names_python_types(policy) -> None:
    text = (
        "topic: [1]\nkey: 5\nheaders: {a: 1}\nfields: 3\nquality: [5]\n"
        "clean: {a: 5}\nviolation_limit: x\ninspect: 1\nname: [a]\n"
    )
    printed = " ".join(problem.message + problem.suggestion for problem in problems_of(policy(text)))
    for word in (
        "Input should",
        "dictionary",
        "tuple",
        "str_",
        "int_",
        "pydantic",
        "valid string",
        "NoneType",
        "union",
    ):
        assert word not in printed


def test_problems_go_to_json_without_the_quoted_line(policy) -> None:
    (problem,) = problems_of(policy(MINIMAL + "feilds: {}\n"))
    document = json.loads(json.dumps(problem.as_json()))
    assert document["line"] == 3
    assert document["path"] == "feilds"
    assert "source" not in document
    assert str(problem).endswith(
        "orders.yaml:3:1: error: unknown key 'feilds' (did you mean 'fields'?) [unknown_key]"
    )


def test_a_policy_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The policy '.*none\.yaml' does not exist"):
        load_policy(tmp_path / "none.yaml")


def test_what_cannot_be_read_hides_no_other_problem(policy, tmp_path: Path) -> None:
    good = policy(MINIMAL)
    slip = policy(MINIMAL + "feilds: {}\n", "slip.yaml")
    torn = policy("topic: [", "torn.yaml")
    policies, problems = look_at_all([tmp_path / "none.yaml", torn, slip, good])
    assert [(loaded.path, bool(loaded.gaps)) for loaded in policies] == [(slip, True), (good, False)]
    told = {Path(problem.file).name: problem.code for problem in problems}
    assert told == {"none.yaml": "missing_file", "torn.yaml": "syntax", "slip.yaml": "unknown_key"}


def test_policies_are_found_in_folders_and_tests_are_not_policies(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "a.test.yaml", "notes.txt", "c.test.yml"):
        (tmp_path / name).touch()
    assert [path.name for path in find_policies([tmp_path])] == ["a.yml", "b.yaml"]
    assert [path.name for path in find_policies([tmp_path / "b.yaml", tmp_path])] == ["b.yaml", "a.yml"]
    assert find_policies([tmp_path / "a.test.yaml"]) == []
