"""The command line as its own parser knows it, and the page docs/commands.md made of it.

``.venv/bin/python -m tests.docs.commands`` writes the page anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from typer.main import get_command

from streamguard.cli import app
from tests.docs.pages import DOCS

PAGE: Final = DOCS / "commands.md"
_INTRODUCTION: Final = """\
# Commands

Every command and option, as `--help` of each tells it, with examples there. This page is made from the code, by
`python -m tests.docs.commands`.

Exit codes: 0 fine, 1 found problems, 2 wrong use. `--json` is for machines. Where stdout is piped it carries data and
nothing else. An error is one paragraph on stderr: what happened, and what to do.
"""


def commands() -> dict[str, Any]:
    """Every command by its words: ``keys init``."""
    return dict(sorted(_walk(get_command(app), ())))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _walk(below, (*words, name))
    else:
        yield " ".join(words), command


def find(words: list[str]) -> tuple[Any, list[str]]:
    """The command, or group of commands, that these words name, and the words that are left for it."""
    command, rest = get_command(app), words
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def parse(words: list[str]) -> None:
    """Let the real parser read a command line. Raises its UsageError where it would refuse it."""
    command, rest = find(words)
    assert not hasattr(command, "commands"), f"no such command: {' '.join(words)}"
    command.make_context("streamguard", rest)


def options(command: Any) -> list[Any]:
    """The options that people see."""
    return [
        option
        for option in command.params
        if type(option).__name__ == "TyperOption" and not getattr(option, "hidden", False)
    ]


def arguments(command: Any) -> list[Any]:
    """What a command takes without a name."""
    return [argument for argument in command.params if type(argument).__name__ == "TyperArgument"]


def spellings(command: Any) -> set[str]:
    """All that an option of this command, or of those below it, may be called, ``-h`` and ``--help`` included."""
    below = getattr(command, "commands", {}).values()
    own = {name for option in options(command) for name in (*option.opts, *option.secondary_opts)}
    return {"-h", "--help"}.union(own, *map(spellings, below))


def examples(command: Any) -> list[str]:
    """The command lines in a command's help."""
    lines = re.sub(r"\[/?(?:bold|dim)\]", "", command.help or "").splitlines()
    return [
        re.split(r"\s+# ", line)[0].strip() for line in lines if re.match(r"\s+(\S.*\s)?streamguard ", line)
    ]


def page() -> str:
    """The text of docs/commands.md."""
    return "\n".join([_INTRODUCTION, *(_section(words, command) for words, command in commands().items())])


def _section(words: str, command: Any) -> str:
    summary = re.split(r"\n\s*\n", command.help.strip())[0].replace("\n", " ")
    rows = [_row([_shown(argument)], argument) for argument in arguments(command)]
    rows += [_row([*option.opts, *option.secondary_opts], option) for option in options(command)]
    table = "\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"## streamguard {words}\n\n{summary}\n{table}"


def _shown(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _row(names: list[str], parameter: Any) -> str:
    return f"| {', '.join(f'`{name}`' for name in names)} | {parameter.help} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
