"""What is wrong with a file people wrote: where, in our words, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streamguard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend in a file.

    `line` and `column` count from 1 (0 when the problem has no place in the file); `length` is the number of characters
    to underline; `path` is the place inside the file (``fields.customer.ssn``); `code` is stable and documented in
    docs/policy.md. `source` is the text of the line, or empty where that line may hold a secret.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"
    code: str = "invalid"
    length: int = 1
    source: str = ""

    @property
    def where(self) -> str:
        """``policies/orders.yaml:12:3``, as editors and terminals link it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        advice = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.where}: {self.severity}: {self.message}{advice} [{self.code}]"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: everything but the quoted line."""
        return {name: value for name, value in asdict(self).items() if name != "source"}


class ProblemsError(ConfigError):
    """A file that cannot be used, with every problem it has: `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(in_order(problems))
        faults = errors(self.problems)
        count = "a problem" if len(faults) == 1 else f"{len(faults)} problems"
        files = ", ".join(dict.fromkeys(problem.file for problem in faults))
        lines = "".join(f"\n  {problem}" for problem in faults)
        super().__init__(
            f"{files} has {count}:{lines}", "Mend the file; 'streamguard check' shows each line."
        )


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Those that stop a policy from being used; the others are warnings."""
    return [problem for problem in problems if problem.severity == "error"]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted as a reader meets them: by file, line and column. Equal ones are listed once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The known word that `word` was probably meant to be; empty when none is that like it (1 is equal)."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=likeness)
    return by_lower[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """``did you mean 'fields'?``, or empty."""
    near = nearest(word, known, likeness)
    return f"did you mean '{near}'?" if near else ""


def listed(words: Iterable[str], last: str = "or") -> str:
    """``a, b or c``."""
    *head, tail = list(words) or [""]
    return f"{', '.join(head)} {last} {tail}" if head else tail
