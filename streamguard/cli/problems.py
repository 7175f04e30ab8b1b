"""Problems on the screen: for people with the line quoted and a caret under it, for pipes one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

import typer

from streamguard.cli.output import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from streamguard.errors import StreamGuardError
    from streamguard.policy.problems import Problem

_STYLES: Final = {"error": "bold red", "warning": "bold yellow"}


def complain(error: StreamGuardError) -> None:
    """An error on stderr: one paragraph with its remedy; for a file with problems, all of them."""
    from rich.console import Console

    from streamguard.policy.problems import ProblemsError, errors

    if isinstance(error, ProblemsError):
        faults = errors(error.problems)
        console = Console(stderr=True)
        show(faults, console)
        console.print(summary(faults, len({problem.file for problem in faults})), highlight=False)
        return
    typer.secho(f"error: {error.message}", err=True, fg="red")
    if error.remedy:
        typer.echo(f"  {error.remedy}", err=True)


def show(problems: Sequence[Problem], console: Console) -> None:
    """Print problems on `console`: quoted on a terminal; elsewhere ``file:line:column: error: …`` each."""
    from rich.text import Text

    if not console.is_terminal:
        for problem in problems:
            console.print(Text(str(problem)), soft_wrap=True)  # as text: rich would read :100: as an emoji
        return
    for _, group in groupby(problems, key=lambda problem: (problem.where, problem.code)):
        for line in _screen(list(group)):
            console.print(line, soft_wrap=True)


def summary(problems: Sequence[Problem], files: int) -> Text:
    """``2 errors and 1 warning in 3 files``."""
    from rich.text import Text

    counts = [
        Text(counted(count, severity), style)
        for severity, style in _STYLES.items()
        if (count := sum(problem.severity == severity for problem in problems))
    ]
    found = Text(" and ").join(counts) if counts else Text("no problems", "bold green")
    return found + Text(f" in {counted(files, 'file')}")


def _screen(group: Sequence[Problem]) -> Iterable[Text]:
    """Problems of one place: what they are, where, the line itself, and what to write instead."""
    from rich.text import Text

    first = group[0]
    style = _STYLES[first.severity]
    for problem in group:
        yield Text.assemble((f"{problem.severity}[{problem.code}]", style), (f": {problem.message}", "bold"))
    margin = " " * len(str(first.line))
    bar = Text(f"{margin} │", "blue")
    yield Text.assemble((f"{margin}╭─▸ ", "blue"), (first.where, "cyan"))
    advice = list(dict.fromkeys(problem.suggestion for problem in group if problem.suggestion))
    if first.source:
        yield bar
        yield Text.assemble((f"{first.line} │ ", "blue"), first.source)
        indent = " " * (first.column - 1)
        caret = "^" * max(1, min(first.length, len(first.source) - first.column + 1))
        yield bar + Text.assemble(" ", indent, (caret, style), (f" {advice[0]}" if advice else "", "green"))
        for more in advice[1:]:
            yield bar + Text.assemble(" ", indent, " " * (len(caret) + 1), (more, "green"))
    else:
        for line in advice:
            yield bar + Text.assemble(" ", (line, "green"))
    yield Text()
