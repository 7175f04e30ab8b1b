"""The big proofs, with their figures.

    scripts/prove                exactly once: 200,000 records, a service that is killed again and again; 3 minutes
    scripts/prove --records N    the same with another number
    scripts/prove --soak         memory over two million records, of which one in nineteen is bad; 6 minutes

A broker of their own is started for them (Java and Maven) and removed afterwards; STREAMGUARD_TEST_KAFKA names one to
use instead. What they do is told in tests/ordeal.py and tests/soak.py.

Exit codes: 0 proven, 1 not, 2 wrong use, 69 Java or Maven is missing.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.audit import Audit
from tests.load import FAULTS
from tests.ordeal import TRIALS, Ordeal, Site
from tests.servers import MISSING_PART, Broker, MissingPart
from tests.soak import Soak

out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--records", type=int, help="how many records (default: 200,000; of the soak: 2,000,000)"
    )
    parser.add_argument(
        "--soak", action="store_true", help="memory over millions of records, instead of kills"
    )
    options = parser.parse_args()
    prove = soak if options.soak else exactly_once
    try:
        with broker() as bootstrap, tempfile.TemporaryDirectory(prefix="streamguard-proof-") as folder:
            site = Site(Path(folder) / "service", bootstrap)
            site.create_topics()
            try:
                return 0 if prove(site, options.records) else 1
            except AssertionError as failure:
                out.print(f"[bold red]not proven[/]: {failure}", markup=True)
                return 1
            finally:
                site.close()
    except MissingPart as missing:
        Console(stderr=True).print(str(missing), markup=False)
        return MISSING_PART


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker."""
    if given := os.environ.get("STREAMGUARD_TEST_KAFKA"):
        yield given
        return
    own = Broker.fresh()
    try:
        yield own.start()
    finally:
        own.delete()


@contextmanager
def bar(total: int, unit: str) -> Iterator[tuple[Progress, int]]:
    """A progress bar; lines instead where nobody sees it move."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, disable=not sys.stdout.isatty()) as progress:
        yield progress, progress.add_task("", total=total)


# -- Exactly once ----------------------------------------------------------------------------------------------------


def exactly_once(site: Site, records: int | None) -> bool:
    began = time.monotonic()
    with bar(len(TRIALS) + 2, "trials") as (progress, task):

        def tell(name: str, _committed: int) -> None:
            progress.update(task, description=name)
            progress.advance(task)
            if progress.disable:
                out.print(f"{time.monotonic() - began:6.1f} s  {name}")

        ordeal = Ordeal(site, records or 200_000, tell)
        books = ordeal.run()
        progress.advance(task)

    table = Table("trial", "offsets done", "waiting", "seconds", title="What was done to it while it worked")
    for trial in ordeal.trials:
        table.add_row(trial.name, f"{trial.committed:,}", f"{trial.waiting:,}", f"{trial.seconds:.1f}")
    out.print(table)
    _print_books(books)
    out.print(
        f"{ordeal.kills} SIGKILLs and {ordeal.moves} moves of partitions in {time.monotonic() - began:.0f} s, "
        f"two processes, {site.partitions} partitions, {os.cpu_count()} cores ({platform.machine()})"
    )
    return not books.problems


def _print_books(books: Audit) -> None:
    counts = books.counts
    table = Table("what was found by a read_committed reader", "records", title="The books")
    for name, key in (
        ("in the source", "source"),
        ("on the clean topic", "clean"),
        ("on violations", "violations"),
    ):
        table.add_row(name, f"{counts[key]:,}")
    for fault in FAULTS:
        table.add_row(f"  {fault.name} → {', '.join(sorted(fault.codes))}", f"{counts[fault.name]:,}")
    out.print(table)
    if books.problems:
        out.print("[bold red]not exactly once:[/]")
        for problem in books.problems:
            out.print(f"  {problem}", markup=False)
    else:
        out.print(
            "[bold green]exactly once[/]: each input's offset on one output, once, in order; keys, timestamps, headers "
            "and values intact; every violation explained as expected, its original intact under its key"
        )


# -- Memory ----------------------------------------------------------------------------------------------------------


def soak(site: Site, records: int | None) -> bool:
    count = records or 2_000_000
    with bar(count, "records") as (progress, task):

        def tell(done: int, megabytes: float) -> None:
            progress.update(task, completed=done, description=f"{megabytes:.0f} MB")
            if progress.disable:
                out.print(f"{done:>10,} records  {megabytes:7.1f} MB")

        memory = Soak(site, count, tell)
        books = memory.run()

    _print_books(books)
    out.print(
        f"memory of the service: {memory.settled:.1f} MB after a quarter, {memory.samples[-1][1]:.1f} MB at the end, "
        f"{memory.highest:.1f} MB at most; slope {memory.slope:+.2f} MB per million records"
    )
    out.print("[bold green]flat[/]" if memory.is_flat else "[bold red]it grows[/]")
    return memory.is_flat and not books.problems


if __name__ == "__main__":
    sys.exit(main())
