"""`streamguard filter`: a policy on lines of JSON, without Kafka."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from select import select
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from streamguard.cli import app
from streamguard.cli.keys import DEFAULT_CONFIG, Config, StoreUrl, master_keys, store_url
from streamguard.errors import StreamGuardError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from streamguard.guard.guard import Guard
    from streamguard.policy.models import Policy

_STDIN: Final = Path("-")
# What shells expect of a program that SIGINT or SIGPIPE ended.
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141

_LISTEN_EVERY: Final = 0.2  # seconds


@app.command("filter")
def filter_lines(
    policy: Annotated[Path, typer.Argument(help="The policy file.")],
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="JSON documents, one per line. Default: stdin.")
    ] = _STDIN,
    *,
    violations: Annotated[
        Path | None, typer.Option("--violations", help="Write violations to this file, not to stderr.")
    ] = None,
    config: Config = None,
    store: StoreUrl = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="The master key file, without a service file.")
    ] = None,
    keys_env: Annotated[
        str | None, typer.Option("--keys-env", help="The variable that holds it instead.")
    ] = None,
    ephemeral_keys: Annotated[
        bool,
        typer.Option(
            "--ephemeral-keys", help="Keys that end with this run: nothing can be revealed or joined."
        ),
    ] = False,
    ok_with_violations: Annotated[
        bool, typer.Option("--ok-with-violations", help="Exit code 0 even when there are violations.")
    ] = False,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress", help="Default: when nothing else is written to the terminal."
        ),
    ] = None,
) -> None:
    """Protect JSON documents, one per line: clean ones go to stdout, violations to stderr or a file.

    Policies and keys are those of the service, so that the same values get the same pseudonyms here and there. The
    offset in a violation's source is the number of its line, from 0. Exit code 1 when there are violations.

    [bold]Examples[/bold]

      streamguard filter policies/orders.yaml orders.ndjson > clean.ndjson

      kcat -C -e -t orders | streamguard filter policies/orders.yaml -c prod.yaml --violations bad.ndjson

      streamguard filter policies/orders.yaml orders.ndjson --ephemeral-keys | head
    """
    from streamguard import logs

    # Beside violations on stderr, and never with what a library says of a value: as JSON lines, too.
    logs.setup("json", "error")
    guard = _guard(policy, (config, store, keys, keys_env), ephemeral=ephemeral_keys)
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == _STDIN else stack.enter_context(_open(file, "rb"))
        rejects: IO[bytes] = sys.stderr.buffer
        if violations is not None:
            if file.exists() and violations.exists() and violations.samefile(file):
                raise UsageError("--violations names the input itself.", "Name another file.")
            rejects = stack.enter_context(_open(violations, "wb"))
        run = _Run(guard, source, sys.stdout.buffer, rejects)
        watched = sys.stderr.isatty() and not sys.stdout.isatty() and violations is not None
        if watched if progress is None else progress:
            stack.enter_context(run.show_progress())
        code = run.to_the_end()
    run.sum_up()
    raise typer.Exit(code or (1 if run.found and not ok_with_violations else 0))


class _Run:
    """One pass over the input. `found` counts violations by code."""

    def __init__(self, guard: Guard, source: IO[bytes], clean: IO[bytes], rejects: IO[bytes]) -> None:
        self.found: Counter[str] = Counter()
        self._guard = guard
        self._source = source.fileno()
        self._clean = clean
        self._rejects = rejects
        self._passed = 0
        self._read_bytes = 0
        self._on_progress: Callable[[], None] = lambda: None

    def to_the_end(self) -> int:
        """Copy until the input ends or somebody stops it; returns 0, or the exit code for who did."""
        try:
            self._copy()
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            _forget(self._clean, self._rejects)
            return _PIPE_CLOSED
        except OSError as error:
            _forget(*({self._clean, self._rejects} - {sys.stderr.buffer}))  # where the error will be told
            raise StreamGuardError(
                f"Input or output failed: {error.strerror}.", "What was written until then is complete lines."
            ) from None
        return 0

    def _copy(self) -> None:
        from streamguard.guard.heap import settle
        from streamguard.guard.ndjson import filter_lines, read_lines

        settle()
        for lines in read_lines(self._read, self._guard.policy.value.max_bytes):
            for filtered in filter_lines(self._guard, lines):
                self._clean.writelines(b"%s\n" % document for document in filtered.clean)
                self._rejects.writelines(b"%s\n" % body for _, body in filtered.violations)
                self._passed += len(filtered.clean)
                self.found.update(code for code, _ in filtered.violations)
            # What came in together goes out together: whoever waits at the other end of a pipe sees it at once.
            self._clean.flush()
            self._rejects.flush()
            self._on_progress()

    def _read(self, most: int) -> bytes:
        # Python notices Ctrl-C between two steps of its own. One that comes right before a read that waits would be
        # heard when input comes: perhaps never.
        while not select([self._source], [], [], _LISTEN_EVERY)[0]:
            pass
        data = os.read(self._source, most)
        self._read_bytes += len(data)
        return data

    def show_progress(self) -> Progress:
        """A line on stderr that follows this run. A context manager."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TransferSpeedColumn,
        )

        status = os.fstat(self._source)
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        columns = (
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        progress = Progress(*columns, console=Console(stderr=True))
        task = progress.add_task("", total=size)
        self._on_progress = lambda: progress.update(
            task, completed=self._read_bytes, description=self._counts()
        )
        return progress

    def sum_up(self) -> None:
        """For whoever looks at a terminal: what became of the records."""
        if sys.stderr.isatty():
            codes = ", ".join(f"{count:,} {code}" for code, count in self.found.most_common())
            typer.echo(self._counts() + (f": {codes}" if codes else ""), err=True)

    def _counts(self) -> str:
        count = self.found.total()
        return f"{self._passed:,} clean, {count:,} violation{'' if count == 1 else 's'}"


def _forget(*streams: IO[bytes]) -> None:
    """Let what a stream still holds go nowhere, or Python would try, and fail, to write it at its own end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def _guard(path: Path, key_options: tuple[Any, ...], *, ephemeral: bool) -> Guard:
    from streamguard.crypto.keyring import Keyring
    from streamguard.crypto.setup import open_keyring
    from streamguard.guard.guard import Guard

    config, store, file, env = key_options
    if ephemeral:
        if any(option is not None for option in key_options):
            raise UsageError("--ephemeral-keys takes no other keys.", "Give either, not both.")
        policy, schema = _policy(path)
        # Nobody could ever open an original that is enclosed under a key of this run.
        forgetful = policy.model_copy(
            update={"quarantine": policy.quarantine.model_copy(update={"retain": "none"})}
        )
        return Guard(forgetful, schema, Keyring.in_memory())
    if config is file is env is None and not DEFAULT_CONFIG.exists():
        raise UsageError(
            "There are no keys to protect values with.",
            "Give --config, or --keys and --store, or, when nothing needs to be revealed or joined, --ephemeral-keys.",
        )
    policy, schema = _policy(path)
    return Guard(policy, schema, open_keyring(master_keys(config, file, env), store_url(config, store)))


def _policy(path: Path) -> tuple[Policy, dict[str, Any] | None]:
    """A policy that has passed `check`, and its schema. Raises ProblemsError."""
    from streamguard.guard.check import check
    from streamguard.policy.loader import load_policy
    from streamguard.policy.problems import ProblemsError, errors

    loaded = load_policy(path)
    if problems := errors(check(loaded)):
        raise ProblemsError(problems)
    form = loaded.policy.value.format
    if form not in ("json", "text"):
        raise UsageError(
            f"'{path}' is a policy for values in {form.capitalize()}, and lines are JSON or text.",
            "Let the service read them from their topic.",
        )
    return loaded.policy, loaded.schema


def _open(path: Path, mode: str) -> IO[Any]:
    try:
        return path.open(mode)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be opened: {error.strerror}.", "Check the path.") from None
