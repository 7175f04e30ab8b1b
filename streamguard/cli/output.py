"""What commands have in common when they print: JSON for machines, tables and counts for people, progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def print_json(document: Any) -> None:
    """A document, indented."""
    import orjson

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def print_table(
    headings: Iterable[str], rows: Iterable[Iterable[Any]], styles: Iterable[str | None] = ()
) -> None:
    """A table of rows of cells, where None is an empty cell. `styles`: one a row; without any, all are plain."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=SIMPLE)
    for cells, style in zip_longest(rows, styles):
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells), style=style)
    standard_output().print(table)


def standard_output(width: int = 240) -> Console:
    """Where to print for people. What a pipe reads has no width to fit in: there, lines have up to `width` signs."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width)


def show_progress() -> Progress:
    """A bar on stderr, and only where somebody looks. A context manager."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def printable(text: str) -> str:
    """Text that cannot drive a terminal, whoever wrote it."""
    return "".join(sign if sign.isprintable() else "·" for sign in text)


def counted(count: int, what: str) -> str:
    """``1 key``, ``2 keys``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
