"""Policy tests: the matchers, the file, and what is said when an expectation is not met."""

# ruff: noqa: E501 - one example per line reads as the table that it is

from pathlib import Path
from typing import Any

import pytest

from streamguard.crypto.aead import GcmSealer, SivSealer
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.guard import policytest
from streamguard.guard.matchers import MATCHERS, MISSING, Comparison, faults
from streamguard.guard.policytest import Report, run_tests
from streamguard.policy.problems import Problem, ProblemsError

POLICY = """\
topic: orders
key: tokenize
headers: [trace]
timestamp: {truncate: {to: hour}}
fields:
  name: encrypt
  email: {encrypt: {deterministic: true}}
  secret: drop
  "items[*].note": redact
keep: [id, amount, "items[*].sku"]
quality: [{rule: amount > 0, code: free}]
"""


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return Keyring.in_memory()


@pytest.fixture(scope="module")
def token(keyring: Keyring):
    randomized, deterministic = GcmSealer(keyring.fresh("p", "e", 100)), SivSealer(keyring.pinned("e"))
    return lambda value, kind="e": (randomized if kind == "e" else deterministic).seal([value], 0)[0]


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "orders.yaml").write_text(POLICY)

    def run(tests: str, only: str = "") -> Report:
        path = tmp_path / "orders.test.yaml"
        path.write_text("tests:\n" + tests)
        return run_tests(path, only)

    return run


def problems(report: Report) -> list[Problem]:
    return [problem for result in report.results for problem in result.problems]


# -- matchers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, 1),
        (10, 10.0),
        ("a", "a"),
        (None, None),
        (True, True),
        ({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
        ({"$any": True}, 0),
        ({"$any": True}, None),
        ({"a": {"$absent": True}}, {}),
        ({"$equals": {"$any": True}}, {"$any": True}),
        ({"$not": "a"}, "b"),
        ({"$not": True}, 1),
        ({"$not": {"a": 1}}, {"a": 2}),
        ({"$matches": "tok_[0-9a-f]{4}"}, "tok_12ab"),
        ({"$includes": {"a": 1}}, {"a": 1, "b": 2}),
        ({"$includes": {"a": {"$absent": True}}}, {"b": 2}),
        ({"$includes": [{"$matches": "b.*"}, 1]}, [1, 2, "bc"]),
        ({"$any": True, "$not": "x"}, "y"),
        ({}, {}),
        ([], []),
    ],
)
def test_what_matches(keyring: Keyring, expected: Any, found: Any) -> None:
    assert list(Comparison(keyring).compare(expected, found)) == []


@pytest.mark.parametrize(
    ("expected", "found", "place", "message"),
    [
        (1, 2, (), "expected 1, found 2"),
        (1, True, (), "expected 1, found true"),
        ("1", 1, (), 'expected "1", found 1'),
        (0, None, (), "expected 0, found null"),
        ({"a": 1}, {"a": 2}, ("a",), "expected 1, found 2"),
        ({"a": 1}, {}, ("a",), "expected 1, found nothing"),
        ({}, {"a": 1}, (), "found 'a': 1, which is not expected"),
        ([1, 2], [1], (1,), "expected 2, found nothing"),
        ([1], [1, 2], (), "expected 1 elements, found 2"),
        ({"a": 1}, [1], (), 'expected {"a":1}, found [1]'),
        ({"$any": True}, MISSING, ("$any",), "expected a value, found nothing"),
        ({"a": {"$absent": True}}, {"a": None}, ("a", "$absent"), "expected nothing, found null"),
        ({"$equals": {"a": 1}}, {"a": 2}, ("$equals",), 'expected {"a":1}, found {"a":2}'),
        ({"$equals": 1}, MISSING, ("$equals",), "expected 1, found nothing"),
        ({"$not": "a"}, "a", ("$not",), 'expected anything but "a", found "a"'),
        ({"$not": "a"}, MISSING, ("$not",), 'expected anything but "a", found nothing'),
        ({"$not": [1]}, [1.0], ("$not",), "expected anything but [1], found [1.0]"),
        ({"$matches": "a"}, "ab", ("$matches",), 'expected a text that matches a, found "ab"'),
        ({"$matches": "1"}, 1, ("$matches",), "expected a text that matches 1, found 1"),
        ({"$includes": {"a": 1}}, {"b": 1}, ("$includes", "a"), "expected 1, found nothing"),
        ({"$includes": [3]}, [1, 2], ("$includes", 0), "expected an element 3, found [1,2]"),
        ({"$includes": [3]}, {"a": 3}, ("$includes",), 'expected a list, found {"a":3}'),
        ({"$includes": {"a": 3}}, 3, ("$includes",), "expected an object, found 3"),
        ({"$token": "e"}, "sg1.e.k.x", ("$token",), "expected a token of 'e', found \"sg1.e.k.x\""),
        ({"$token": "e"}, 5, ("$token",), "expected a token of 'e', found 5"),
        ({"$decrypts_to": 1}, "plain", ("$decrypts_to",), 'expected a token, found "plain"'),
        ("x" * 100, "y", (), f'expected "{"x" * 79}…, found "y"'),
    ],
)
def test_what_does_not(keyring: Keyring, expected: Any, found: Any, place: tuple, message: str) -> None:
    (mismatch,) = Comparison(keyring).compare(expected, found)
    assert (mismatch.place, mismatch.message) == (place, message)


def test_tokens(keyring: Keyring, token) -> None:
    compare = Comparison(keyring).compare
    assert not list(compare({"$token": "encrypt", "$decrypts_to": "12"}, token("12")))
    assert not list(compare({"$token": "encrypt"}, token("12", "d")))
    assert not list(compare({"$token": "d", "$decrypts_to": {"a": [1]}}, token({"a": [1]}, "d")))
    assert not list(compare({"$decrypts_to": {"a": {"$any": True}}}, token({"a": 5})))
    assert [m.message for m in compare({"$decrypts_to": "12"}, token(12))] == ['expected "12", found 12']
    assert [m.place for m in compare({"$decrypts_to": {"a": 1}}, token({"a": 2}))] == [("$decrypts_to", "a")]
    assert len(list(compare({"$token": "d"}, token("12")))) == 1
    assert len(list(compare({"$decrypts_to": 1}, token(1)[:-1] + "A"))) == 1, "an edited token"


@pytest.mark.parametrize(
    ("expected", "place", "message", "suggestion"),
    [
        ({"a": {"$tokn": "e"}}, ("a", "$tokn"), "unknown matcher '$tokn'", "did you mean '$token'?"),
        ([{"$x": 1}], (0, "$x"), "unknown matcher '$x'", f"there are: {', '.join(list(MATCHERS)[:-1])} and $includes"),
        ({"$any": True, "a": 1}, ("$any",), "the matcher '$any' stands among names", "write {$equals: …} for names with a '$'"),
        ({"$any": 1}, ("$any",), "'$any' takes true", "write {$any: true}"),
        ({"$absent": False}, ("$absent",), "'$absent' takes true", "write {$absent: true}"),
        ({"$token": "mask"}, ("$token",), "'$token' takes a verb or a kind of token", "write encrypt, e, d, q or s"),
        ({"$matches": "("}, ("$matches",), "'$matches' takes a regular expression", ""),
        ({"$matches": 5}, ("$matches",), "'$matches' takes a regular expression", ""),
        ({"$includes": 5}, ("$includes",), "'$includes' takes a mapping or a list", ""),
        ({"$includes": {"a": {"$y": 1}}}, ("$includes", "a", "$y"), "unknown matcher '$y'", "did you mean '$any'?"),
        ({"$decrypts_to": [{"$any": 2}]}, ("$decrypts_to", 0, "$any"), "'$any' takes true", "write {$any: true}"),
    ],
)  # fmt: skip
def test_matchers_that_are_written_wrongly(
    expected: Any, place: tuple, message: str, suggestion: str
) -> None:
    assert list(faults(expected)) == [(place, message, suggestion)]


def test_what_equals_takes_is_never_a_matcher() -> None:
    assert list(faults({"$equals": {"$whatever": {"$x": 1}}})) == []


# -- running ---------------------------------------------------------------------------------------------------------


def test_a_clean_record(run) -> None:
    report = run("""\
  - name: everything in its place
    input:
      key: k1
      headers: {trace: t1, other: o1}
      timestamp: 2026-01-31T12:34:56Z
      value: {id: 1, name: Ana, email: a@x.com, secret: s, amount: 2.5, items: [{sku: A, note: n}, {sku: B}]}
    clean:
      key: {$matches: "tok_.*"}
      headers: {trace: t1}
      timestamp: 2026-01-31T12:00:00Z
      value:
        id: 1
        name: {$token: e, $decrypts_to: Ana}
        email: {$token: d, $decrypts_to: a@x.com}
        amount: 2.5
        items: [{sku: A, note: "[redacted]"}, {sku: B}]
""")
    assert problems(report) == []
    assert [result.passed for result in report.results] == [True]
    assert report.untested == ()


def test_mismatches_are_shown_where_the_expectation_is_written(run) -> None:
    report = run("""\
  - name: wrong in many ways
    input: {key: k1, headers: {trace: t1}, timestamp: 3600000, value: {id: 1, name: Ana, amount: 2}}
    clean:
      key: k1
      headers: {trace: t2}
      timestamp: 5
      value:
        id: 2
        name: Ana
        amount: {$absent: true}
        more: 1
""")
    found = {(problem.line, problem.column): problem.message for problem in problems(report)}
    assert found.pop((5, 12)).startswith('key: expected "k1", found "tok_')
    assert found.pop((10, 15)).startswith('name: expected "Ana", found "sg1.e.')
    assert found == {
        (6, 24): 'headers.trace: expected "t2", found "t1"',
        (7, 18): "timestamp: expected 5, found 3600000",
        (9, 13): "id: expected 2, found 1",
        (11, 27): "amount: expected nothing, found 2",
        (12, 15): "more: expected 1, found nothing",
    }


def test_a_field_that_is_left_over_fails(run) -> None:
    (problem,) = problems(
        run("  - name: a\n    input: {value: {id: 1, amount: 2}}\n    clean: {value: {id: 1}}\n")
    )
    assert problem.message == "value: found 'amount': 2, which is not expected"


def test_what_clean_does_not_name_is_not_looked_at(run) -> None:
    assert problems(run("  - {name: a, input: {key: k, value: {id: 1, amount: 2}}, clean: {}}\n")) == []


def test_violations(run) -> None:
    report = run("""\
  - {name: as expected, input: {value: {amount: 0}}, violations: [quality.free]}
  - {name: with its path, input: {value: {name: [a], x: 1}}, violations: [{code: schema.undeclared, path: "*"}]}
  - {name: not rejected, input: {value: {amount: 1}}, violations: [quality.free]}
  - {name: another code, input: {value: {amount: 0}}, violations: [decode.json]}
  - {name: another path, input: {value: {x: 1}}, violations: [{code: schema.undeclared, path: x}]}
  - {name: rejected, input: {raw: '{'}, clean: {}}
""")
    assert [result.passed for result in report.results] == [True, True, False, False, False, False]
    assert [(problem.line, problem.message.split(":")[0]) for problem in problems(report)] == [
        (4, "expected quality.free, found a clean record"),
        (5, "expected decode.json, which was not found"),
        (5, "found quality.free, which is not expected"),
        (6, "expected schema.undeclared at 'x', which was not found"),
        (6, "found schema.undeclared at '*', which is not expected"),
        (7, "expected a clean record, found the violation decode.json"),
    ]


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ("tombstone: true, key: k", "clean: {tombstone: true, key: {$not: k}}"),
        ("value: {amount: 1}", "clean: {key: {$absent: true}}"),
        ("raw: ''", "violations: [decode.empty]"),
        ("raw: '[1]'", "violations: [transform.shape]"),
        ("value: {amount: 99999999999999999999999}", "violations: [decode.number]"),
        ("value: {amount: .nan}", "violations: [decode.json]"),
        ('raw: "\\ud800"', "violations: [decode.json]"),
    ],
)
def test_records_of_every_kind(run, record: str, outcome: str) -> None:
    assert problems(run(f"  - {{name: a, input: {{{record}}}, {outcome}}}\n")) == []


def test_a_timestamp_that_is_dropped_is_the_producers_business(run, tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(POLICY.replace("{truncate: {to: hour}}", "drop"))
    case = "{name: a, input: {timestamp: 3600000, value: {amount: 1}}, clean: {timestamp: 0}}"
    assert problems(run(f"  - {case}\n")) == []


def test_a_tombstone_that_was_not_expected(run) -> None:
    (problem,) = problems(run("  - {name: a, input: {value: {amount: 1}}, clean: {tombstone: true}}\n"))
    assert problem.message == "expected a tombstone, found a record"
    (problem,) = problems(run("  - {name: a, input: {tombstone: true}, violations: [decode.empty]}\n"))
    assert problem.message == "expected decode.empty, found a tombstone"
    (problem,) = problems(run("  - {name: a, input: {tombstone: true}, clean: {value: {}}}\n"))
    assert problem.message == "value: expected {}, found nothing"


def test_protected_fields_that_no_clean_record_held(run) -> None:
    report = run("""\
  - {name: a, input: {value: {amount: 1, name: x, items: [{sku: a}]}}, clean: {}}
  - {name: b, input: {value: {amount: 0, email: x}}, violations: [quality.free]}
""")
    assert report.untested == ("email", "secret", "items[*].note")


def test_some_tests_only(run) -> None:
    tests = (
        "  - {name: One, input: {raw: ''}, clean: {}}\n  - {name: two, input: {tombstone: true}, clean: {}}\n"
    )
    assert [result.name for result in run(tests, "TWO").results] == ["two"]
    assert [result.line for result in run(tests).results] == [2, 3]


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tests", "line", "code", "message", "suggestion"),
    [
        ("  - {nme: a, input: {raw: x}, clean: {}}\n", 2, "unknown_key", "unknown key 'nme'", "did you mean 'name'?"),
        ("  - {name: a, clean: {}}\n", 2, "missing", "'input' is missing", ""),
        ("  - {name: a, input: {raw: x}}\n", 2, "wrong_value", "entry 1 of 'tests' must expect either 'clean' or 'violations'", ""),
        ("  - {name: a, input: {raw: x}, clean: {}, violations: [b]}\n", 2, "wrong_value", "entry 1 of 'tests' must expect either 'clean' or 'violations'", ""),
        ("  - {name: a, input: {}, clean: {}}\n", 2, "wrong_value", "'input' must have one of value, raw and tombstone", ""),
        ("  - {name: a, input: {raw: x, value: 1}, clean: {}}\n", 2, "wrong_value", "'input' must have one of value, raw and tombstone", ""),
        ("  - {name: a, input: {raw: x, timestamp: noon}, clean: {}}\n", 2, "wrong_value", "'timestamp' must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970", ""),
        ("  - {name: a, input: {raw: x}, violations: []}\n", 2, "wrong_value", "'violations' must list at least 1", ""),
        ("  - {name: a, input: {raw: x}, clean: {value: {$tokn: e}}}\n", 2, "bad_matcher", "unknown matcher '$tokn'", "did you mean '$token'?"),
        ("  - {name: a, input: {raw: x}, clean: {}}\n  - {name: a, input: {raw: x}, clean: {}}\n", 3, "duplicate_name", "the name 'a' is taken", ""),
    ],
)  # fmt: skip
def test_mistakes(run, tests: str, line: int, code: str, message: str, suggestion: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        run(tests)
    (problem,) = caught.value.problems
    assert (problem.line, problem.code, problem.message, problem.suggestion) == (
        line,
        code,
        message,
        suggestion,
    )


def test_a_policy_with_problems_is_not_tested(run, tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(POLICY.replace("name: encrypt", "name: encypt"))
    with pytest.raises(ProblemsError, match="unknown transform 'encypt'"):
        run("  - {name: a, input: {raw: x}, clean: {}}\n")


def test_which_policy_is_tested(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(POLICY)
    (tmp_path / "more.test.yaml").write_text(
        "policy: orders.yaml\ntests: [{name: a, input: {tombstone: true}, clean: {}}]\n"
    )
    assert run_tests(tmp_path / "more.test.yaml").policy == tmp_path / "orders.yaml"
    (tmp_path / "lost.test.yaml").write_text("tests: [{name: a, input: {tombstone: true}, clean: {}}]\n")
    with pytest.raises(ConfigError, match="There is no policy beside"):
        run_tests(tmp_path / "lost.test.yaml")


def test_the_tests_beside_a_policy(tmp_path: Path) -> None:
    assert policytest.tests_beside(tmp_path / "orders.yaml") is None
    (tmp_path / "orders.test.yaml").touch()
    assert policytest.tests_beside(tmp_path / "orders.yaml") == tmp_path / "orders.test.yaml"


@pytest.mark.parametrize("name", ["orders", "payments", "patients"])
def test_the_examples_pass_and_leave_nothing_untested(name: str) -> None:
    report = run_tests(Path(f"policies/{name}.test.yaml"))
    assert problems(report) == []
    assert report.results
    assert report.untested == ()
