"""The results' section of docs/performance.md, written from a run, so that no figure there is copied by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from benchmarks.report import tables

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_RESULTS: Final = re.compile(r"(<!-- results -->\n).*(<!-- /results -->\n)", re.DOTALL)


def write(results: Mapping[str, Any]) -> None:
    """Replace the section with these results."""
    section = "\n".join(
        [_where(results), *(line for table in tables(results) for line in markdown(table)), ""]
    )
    page, count = _RESULTS.subn(lambda found: f"{found[1]}\n{section}\n{found[2]}", PAGE.read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{PAGE} has no place for results: <!-- results --> … <!-- /results -->")
    PAGE.write_text(page, "utf-8")


def markdown(table: Table) -> Iterator[str]:
    """A table as people see it at the terminal, as the lines of a page."""
    yield from ("", f"### {table.title}", "")
    yield "| " + " | ".join(str(column.header) for column in table.columns) + " |"
    yield "|---" + "|---:" * (len(table.columns) - 1) + "|"
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        yield "| " + " | ".join(Text.from_markup(str(cell)).plain for cell in cells) + " |"


def _where(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    return (
        f"Measured on {results['started_at'][:10]}: {machine['cores']} cores of {machine['cpu']}, "
        f"Python {machine['python']}, librdkafka {machine['librdkafka']}; "
        f"load average {results['load_before']} before the run and {results['load_after']} after it."
    )
