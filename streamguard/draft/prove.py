"""A draft in its place: only after it has passed `check` and its own tests, and was tried on the records it is from."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from streamguard.crypto.keyring import Keyring
from streamguard.draft.draft import Draft
from streamguard.draft.evidence import Evidence
from streamguard.errors import StreamGuardError, UsageError
from streamguard.guard.batch import Batch
from streamguard.guard.check import check_against
from streamguard.guard.corridor import Corridor, out_form
from streamguard.guard.guard import SLICE
from streamguard.guard.policytest import run_tests
from streamguard.policy.loader import load_policy
from streamguard.policy.problems import Problem, ProblemsError, errors


@dataclass(frozen=True, slots=True)
class Files:
    """Where the files of a draft named `name` go below `folder`; `suffix` ends the name of its schema."""

    folder: Path
    name: str
    suffix: str = ".schema.json"

    @property
    def schema(self) -> Path:
        """The schema."""
        return self.folder / "schemas" / f"{self.name}{self.suffix}"

    @property
    def policy(self) -> Path:
        """The policy."""
        return self.folder / "policies" / f"{self.name}.yaml"

    @property
    def tests(self) -> Path:
        """The policy's tests."""
        return self.folder / "policies" / f"{self.name}.test.yaml"

    def texts(self, draft: Draft) -> dict[Path, str]:
        """What goes where."""
        texts = {self.schema: draft.schema, self.policy: draft.policy, self.tests: draft.tests}
        return {path: text for path, text in texts.items() if text is not None}


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of trying a draft.

    `warnings` are those of `check`; `tests` counts the policy tests, all of which passed. Of the records that the draft
    was made from, `clean` leave, and `violations` counts the codes and places of the others.
    """

    warnings: tuple[Problem, ...]
    tests: int
    clean: int
    violations: Counter[tuple[str, str]]


def refuse_existing(files: Files) -> None:
    """Raises UsageError when a file of that name is there already."""
    there = [path for path in (files.schema, files.policy, files.tests) if path.exists()]
    if there:
        named = ", ".join(f"'{path}'" for path in there)
        raise UsageError(
            f"{named} {'exists' if len(there) == 1 else 'exist'} already.", "Give another --name, or --force."
        )


def put(draft: Draft, files: Files, evidence: Evidence) -> Proof:
    """Try a draft where nobody sees it, and then write its files: none is put in its place before all are written.

    Raises StreamGuardError when the draft does not pass, which is a mistake of ours: nothing is written then.
    """
    with tempfile.TemporaryDirectory(prefix="streamguard-init-") as folder:
        trial = replace(files, folder=Path(folder))
        _write(trial.texts(draft))
        proof = _proven(draft, trial, evidence)
    try:
        _write(files.texts(draft))
    except OSError as error:
        raise StreamGuardError(
            f"The files cannot be written: {error.strerror}.", "Check the folder's permissions and space."
        ) from None
    return proof


def _write(texts: dict[Path, str]) -> None:
    halves = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in texts}
    try:
        for path, half in halves.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            half.write_text(texts[path], encoding="utf-8")
        for path, half in halves.items():
            half.replace(path)
    finally:
        for half in halves.values():
            half.unlink(missing_ok=True)


def _proven(draft: Draft, files: Files, evidence: Evidence) -> Proof:
    tests = _tested(draft, files)
    loaded = load_policy(files.policy)
    form, keyring = draft.described.form, Keyring.in_memory()
    problems = check_against(loaded, form)
    if found := errors(problems):
        raise _mistake(sorted({problem.code for problem in found}))
    corridor = Corridor(loaded.policy, form, keyring, out_form(loaded.policy, form, keyring))
    clean, violations = 0, Counter[tuple[str, str]]()
    for start in range(0, len(evidence.values), SLICE):
        batch = Batch(
            loaded.policy.topic,
            list(evidence.values[start : start + SLICE]),
            keys=None if evidence.keys is None else evidence.keys[start : start + SLICE],
        )
        corridor.process(batch)
        clean += len(batch.live)
        for findings in batch.findings.values():
            violations.update({(finding.code, finding.path) for finding in findings})
    return Proof(tuple(problems), tests, clean, violations)


def _tested(draft: Draft, files: Files) -> int:
    """How many policy tests passed, all of them. Raises StreamGuardError for a policy or a test that does not pass."""
    if draft.tests is None:
        return 0
    try:
        results = run_tests(files.tests).results
    except ProblemsError as error:
        raise _mistake(sorted({problem.code for problem in error.problems})) from None
    if failed := [result.name for result in results if not result.passed]:
        raise _mistake(failed)
    return len(results)


def _mistake(what: list[str]) -> StreamGuardError:
    return StreamGuardError(
        f"The draft does not pass its own check: {', '.join(what)}.",
        "This is a mistake of StreamGuard's; please report it with the shape of your records, not with their values.",
    )
