"""Policy tests: records with what must become of them, in a file beside the policy.

```yaml
# orders.test.yaml, beside orders.yaml
tests:
  - name: an order leaves protected
    input:
      key: C00000042
      value: {customer: {id: C00000042, email: ana@example.com}, amount: 10}
    clean:
      key: {$matches: "tok_[0-9a-f]{32}"}
      value: {customer: {id: {$any: true}, email: {$decrypts_to: ana@example.com}}, amount: 10}
  - name: broken JSON is rejected
    input: {raw: '{"customer":'}
    violations: [decode.json]
```

Each record goes alone through the same corridor as in the service, with keys that are made for the run and kept in
memory. Everything that `clean` names must be as it says, and the value must hold nothing else; `violations` are all
codes, in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.formats.base import Form
from streamguard.guard.batch import Batch
from streamguard.guard.check import check
from streamguard.guard.guard import Guard
from streamguard.guard.matchers import MISSING, Comparison, faults
from streamguard.guard.violation import Finding
from streamguard.policy import paths
from streamguard.policy.document import Document, read_document
from streamguard.policy.expected import Expected, Place, refused
from streamguard.policy.loader import TEST_SUFFIXES, LoadedPolicy, load_policy
from streamguard.policy.models import Model
from streamguard.policy.problems import Problem, ProblemsError, errors
from streamguard.policy.wording import problems_of

OURS: Final = "sg-"
"""Headers of StreamGuard's own, which tests need not list."""


def _milliseconds(value: Any) -> Any:
    """A time as Kafka has it. ``2026-01-31T12:00:00Z``, or milliseconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


Timestamp = Annotated[
    int,
    BeforeValidator(_milliseconds),
    Expected("a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970"),
]


class Record(Model):
    """A record as it is consumed: a `value` as a document, or its `raw` text, or a `tombstone`."""

    value: Any = None
    raw: str | None = Field(default=None, description="The value's text, where it is not a JSON document.")
    tombstone: bool = False
    key: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    timestamp: Timestamp = 0

    @model_validator(mode="before")
    @classmethod
    def _one_value(cls, data: Any) -> Any:
        if isinstance(data, dict) and len({"value", "raw", "tombstone"} & data.keys()) != 1:
            raise refused("must have one of value, raw and tombstone")
        return data

    def payload(self, form: Form) -> bytes | None:
        """The value's bytes in a form. Raises ValueError or TypeError for a document that it cannot hold."""
        if self.tombstone:
            return None
        if self.raw is None and form.name != "json":
            lower = form.lower(paths.Path(()))
            return form.encode(self.value if lower is None else lower([self.value])[0])
        text = self.raw if self.raw is not None else json.dumps(self.value, ensure_ascii=False)
        # What YAML can write and JSON cannot is for the guard to judge.
        return text.encode(errors="surrogatepass")


def _missing() -> Any:
    return MISSING


class Clean(Model):
    """What a clean record must look like; what is left out is not looked at. Any value may be a matcher."""

    value: Any = Field(default_factory=_missing)
    tombstone: bool = False
    key: Any = Field(default_factory=_missing)
    headers: Any = Field(default_factory=_missing)
    timestamp: Any = Field(default_factory=_missing)


class ExpectedViolation(Model):
    """A code, and the path if it matters."""

    code: str
    path: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        return {"code": data} if isinstance(data, str) else data


class Case(Model):
    """One test: a record, and what must become of it."""

    name: str
    input: Record
    clean: Clean | None = None
    violations: Annotated[tuple[ExpectedViolation, ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_outcome(cls, data: Any) -> Any:
        if isinstance(data, dict) and len({"clean", "violations"} & data.keys()) != 1:
            raise refused("must expect either 'clean' or 'violations'")
        return data


class PolicyTests(Model):
    """The file: the policy that is tested (default: the one beside it), and the tests."""

    policy: str | None = Field(default=None, description="Default: orders.yaml beside orders.test.yaml")
    tests: tuple[Case, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test; it passed when there are no problems."""

    name: str
    line: int
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one file. `untested` are protected fields that no passing record held."""

    path: Path
    policy: Path
    results: tuple[Result, ...]
    untested: tuple[str, ...] = field(default=())


def tests_beside(policy: Path) -> Path | None:
    """``orders.test.yaml`` beside ``orders.yaml``, if it exists."""
    beside = (policy.with_name(policy.stem + suffix) for suffix in TEST_SUFFIXES)
    return next((path for path in beside if path.is_file()), None)


def run_tests(path: Path, only: str = "") -> Report:
    """Run the tests of a file whose names hold `only`.

    Raises ProblemsError when the file or its policy is not well formed, ConfigError when one of them is missing.
    """
    document = read_document(path, what="policy test")
    tests = _read(document)
    loaded = load_policy(_policy_of(path, tests))
    if found := errors(check(loaded)):
        raise ProblemsError(found)
    if loaded.policy.value.registry is not None and loaded.schema is None:
        raise ConfigError(
            f"The policy '{loaded.path}' takes its schemas from a registry, so its tests have none to be written in.",
            "Name a copy of the schema's file as 'value.schema'.",
        )
    guard = Guard(loaded.policy, loaded.schema, Keyring.in_memory())
    chosen = [(index, case) for index, case in enumerate(tests.tests) if only.lower() in case.name.lower()]
    results = [_run(index, case, guard, document) for index, case in chosen]
    seen = [
        case.input.value
        for (_, case), result in zip(chosen, results, strict=True)
        if case.clean and result.passed
    ]
    return Report(path, loaded.path, tuple(results), tuple(_untested(loaded, seen)))


def _read(document: Document) -> PolicyTests:
    try:
        tests = PolicyTests.model_validate(document.data)
    except ValidationError as error:
        raise ProblemsError(problems_of(error, PolicyTests, document)) from None
    problems = [
        document.problem((*place, *below), message, code="bad_matcher", suggestion=advice, on="key")
        for index, case in enumerate(tests.tests)
        if case.clean is not None
        for place, expected in _expectations(index, case.clean)
        for below, message, advice in faults(expected)
    ]
    names = [case.name for case in tests.tests]
    problems += [
        document.problem(("tests", index, "name"), f"the name '{name}' is taken", code="duplicate_name")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    if problems:
        raise ProblemsError(problems)
    return tests


def _policy_of(path: Path, tests: PolicyTests) -> Path:
    if tests.policy is not None:
        return path.parent / tests.policy
    stem = next((path.name.removesuffix(s) for s in TEST_SUFFIXES if path.name.endswith(s)), "")
    beside = [path.with_name(stem + suffix) for suffix in (".yaml", ".yml") if stem]
    found = next((policy for policy in beside if policy.is_file()), None)
    if found is None:
        raise ConfigError(f"There is no policy beside '{path}'.", "Name it in the file: policy: orders.yaml")
    return found


def _expectations(index: int, clean: Clean) -> Iterator[tuple[Place, Any]]:
    for name in ("value", "key", "headers", "timestamp"):
        if (expected := getattr(clean, name)) is not MISSING:
            yield ("tests", index, "clean", name), expected


# -- running ---------------------------------------------------------------------------------------------------------


def _run(index: int, case: Case, guard: Guard, document: Document) -> Result:
    record = case.input
    place: Place = ("tests", index)
    try:
        payload = record.payload(guard.form)
    except (ValueError, TypeError, OverflowError):
        message = f"the value cannot be written in {guard.form.name} as its schema asks for"
        problem = document.problem((*place, "input", "value"), message, code="bad_input", on="key")
        return Result(case.name, document.span(place).line, (problem,))
    batch = Batch(
        guard.policy.topic,
        [payload],
        keys=[record.key.encode() if record.key is not None else None],
        headers=[[(name, value.encode()) for name, value in record.headers.items()]],
        timestamps=[record.timestamp],
        offsets=[index],
    )
    guard.process(batch)
    findings = list(dict.fromkeys(batch.findings.get(0, [])))
    if case.violations is not None:
        problems = list(
            _compare_violations(case.violations, findings, batch, (*place, "violations"), document)
        )
    elif findings:
        problems = [_rejected(finding, (*place, "clean"), document) for finding in findings]
    else:
        problems = list(_compare_clean(case.clean or Clean(), batch, index, guard, document))
    return Result(case.name, document.span(place).line, tuple(problems))


def _rejected(finding: Finding, place: Place, document: Document) -> Problem:
    where = f" at '{finding.path}'" if finding.path else ""
    message = f"expected a clean record, found the violation {finding.code}{where}: {finding.message}"
    return document.problem(place, message, code="rejected", on="key")


def _compare_violations(
    expected: tuple[ExpectedViolation, ...],
    findings: list[Finding],
    batch: Batch,
    place: Place,
    document: Document,
) -> Iterator[Problem]:
    if not findings:
        found = "a tombstone" if batch.out_values[0] is None else "a clean record"
        message = f"expected {', '.join(violation.code for violation in expected)}, found {found}"
        yield document.problem(place, message, code="not_rejected", on="key")
        return
    for number, violation in enumerate(expected):
        if not any(_is(violation, finding) for finding in findings):
            where = f" at '{violation.path}'" if violation.path is not None else ""
            message = f"expected {violation.code}{where}, which was not found"
            yield document.problem((*place, number), message, code="mismatch")
    for finding in findings:
        if not any(_is(violation, finding) for violation in expected):
            where = f" at '{finding.path}'" if finding.path else ""
            message = f"found {finding.code}{where}, which is not expected: {finding.message}"
            yield document.problem(place, message, code="mismatch", on="key")


def _is(violation: ExpectedViolation, finding: Finding) -> bool:
    return violation.code == finding.code and violation.path in (None, finding.path)


def _compare_clean(
    clean: Clean, batch: Batch, index: int, guard: Guard, document: Document
) -> Iterator[Problem]:
    key, value = batch.out_keys[0], batch.out_values[0]
    headers = {name: _text(content) for name, content in batch.out_headers[0] if not name.startswith(OURS)}
    found = {
        "value": MISSING if value is None else guard.out.plain(guard.out.decode(value)),
        "key": MISSING if key is None else _text(key),
        "headers": headers,
        "timestamp": batch.out_timestamps[0],
    }
    comparison = Comparison(guard.keyring)
    if clean.tombstone and value is not None:
        at: Place = ("tests", index, "clean", "tombstone")
        yield document.problem(at, "expected a tombstone, found a record", code="mismatch", on="key")
    for place, expected in _expectations(index, clean):
        name = str(place[-1])
        wanted = _milliseconds(expected) if name == "timestamp" else expected
        for mismatch in comparison.compare(wanted, found[name]):
            at = (*place, *mismatch.place)
            what = _path(name, mismatch.place)
            yield document.problem(at, f"{what}: {mismatch.message}", code="mismatch")


def _path(name: str, place: Place) -> str:
    """Where in the record: ``customer.email``, ``items[0].note``, ``key``."""
    text = "" if name == "value" else name
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not step.startswith("$"):
            text += f".{step}" if text else step
    return text or name


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")


def _untested(loaded: LoadedPolicy, documents: list[Any]) -> Iterator[str]:
    for text in loaded.policy.fields:
        path = paths.parse_path(text)
        if not any(value is not None for document in documents for value in path.values_in(document)):
            yield text
