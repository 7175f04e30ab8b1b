"""`streamguard violations`: what was rejected, and why."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from streamguard.cli import app
from streamguard.cli.output import print_json, printable, show_progress, standard_output
from streamguard.cli.times import time_of
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from confluent_kafka import Message
    from rich.text import Text

    from streamguard.streams.reader import Reader

violations_app = typer.Typer(
    name="violations",
    help="What was rejected, and why. Reads the violations topics without leaving a trace in Kafka.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(violations_app)

Config = Annotated[Path, typer.Option("--config", "-c", help="The service file.")]
PolicyName = Annotated[
    list[str] | None, typer.Option("--policy", "-p", help="Of this policy only. May be repeated.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="From then on: 90s, 15m, 1h, 7d, or a time such as 2026-01-31T12:00Z."),
]
Code = Annotated[str, typer.Option("--code", help="Only codes that begin so: inspect, schema.type.")]

_STAGES: Final = {
    "decode": "magenta", "validate": "yellow", "quality": "yellow", "protect": "cyan", "inspect": "red",
    "envelope": "cyan", "encode": "magenta", "produce": "magenta",
}  # fmt: skip
_UNREADABLE: Final = "(unreadable)"


@violations_app.command()
def tail(
    config: Config = Path("streamguard.yaml"),
    policy: PolicyName = None,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="The last so many.")] = 10,
    since: Since = None,
    code: Code = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, as in the topic.")
    ] = False,
) -> None:
    """Show the latest violations, oldest first: when, which record, what was wrong, and where in it.

    With --since, all from then on, in the order in which Kafka gives them.

    [bold]Examples[/bold]

      streamguard violations tail -f

      streamguard violations tail --policy orders --since 1h --code inspect

      streamguard violations tail -n 1000 --json | jq -r .code | sort | uniq -c
    """
    show = _show_json if as_json else _Lines().show
    from_then = time_of("--since", since)
    # Markers of transactions take offsets too, at most one per record.
    last = None if from_then or (code and count) else 2 * count
    with _reader(config, policy, since=from_then, last=last) as reader:
        for violation in _wanted(reader.to_the_end(), code) if from_then else _latest(reader, code, count):
            show(violation)
        if follow:
            with suppress(KeyboardInterrupt):
                for violation in _wanted(reader.for_ever(), code):
                    show(violation)


@violations_app.command()
def stats(
    config: Config = Path("streamguard.yaml"),
    policy: PolicyName = None,
    *,
    since: Since = None,
    code: Code = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of tables.")] = False,
) -> None:
    """Count violations by code and path, and by the partition that the records came from.

    A record with several errors counts once for each of its codes.

    [bold]Examples[/bold]

      streamguard violations stats --since 1h

      streamguard violations stats --policy orders --json
    """
    found = _Stats()
    with _reader(config, policy, since=time_of("--since", since)) as reader, show_progress() as progress:
        task = progress.add_task("reading", total=reader.total)
        for violation in _wanted(reader.to_the_end(), code):
            found.add(violation)
            progress.update(task, completed=reader.done)
    if as_json:
        print_json(found.as_document())
    else:
        found.show()


# -- Reading -------------------------------------------------------------------------------------------------------


def _reader(
    config: Path, names: list[str] | None, *, since: datetime | None = None, last: int | None = None
) -> Reader:
    """A reader of the violations topics of a service's policies."""
    from streamguard import logs
    from streamguard.policy.loader import load_policy
    from streamguard.policy.service import load_service
    from streamguard.streams.reader import Reader

    service = load_service(config)
    logs.setup("text", "error")
    policies = {loaded.policy.name: loaded.policy for loaded in map(load_policy, service.policy_files())}
    unknown = [name for name in names or () if name not in policies]
    if unknown:
        raise UsageError(
            f"There is no policy '{unknown[0]}'.", f"The policies are {', '.join(sorted(policies))}."
        )
    topics = sorted({policies[name].violations_topic for name in names or policies})
    return Reader(service, topics, since=since, last=last)


@dataclass(frozen=True, slots=True)
class Seen:
    """A violation as it was read: `when` in milliseconds, `source` as topic, partition and offset."""

    raw: bytes
    when: int
    code: str
    errors: tuple[dict[str, str], ...]
    source: tuple[str, int, int]
    policy: str


def _latest(reader: Reader, code: str, count: int) -> Iterator[Seen]:
    """The last `count`, oldest first. Those of one batch share their time: their sources tell which is later."""
    found: list[Seen] = reader.latest(
        count, lambda messages: _wanted(messages, code), attrgetter("when", "source")
    )
    return reversed(found)


def _wanted(messages: Iterable[Message | None], code: str) -> Iterator[Seen]:
    for message in messages:
        if message is not None and (seen := _seen(message)).code.startswith(code):
            yield seen


def _seen(message: Message) -> Seen:
    """What a message says; what others may have written to the topic is told apart."""
    raw, when = message.value() or b"", message.timestamp()[1]
    try:
        found = orjson.loads(raw)
        source, errors = found["source"], found["errors"]
        return Seen(
            raw,
            when,
            str(found["code"]),
            tuple(
                {name: str(error[name]) for name in ("code", "path", "stage", "message")} for error in errors
            ),
            (str(source["topic"]), int(source["partition"]), int(source["offset"])),
            str(found["policy"]["name"]),
        )
    except (ValueError, LookupError, TypeError):
        unreadable = {"code": _UNREADABLE, "path": "", "stage": "", "message": "not written by StreamGuard"}
        return Seen(raw, when, _UNREADABLE, (unreadable,), ("?", -1, -1), "?")


# -- Showing -------------------------------------------------------------------------------------------------------


def _show_json(violation: Seen) -> None:
    sys.stdout.buffer.write(violation.raw + b"\n")
    sys.stdout.buffer.flush()


class _Lines:
    """One line per error; those of one violation stand below each other."""

    def __init__(self) -> None:
        self.console = standard_output()

    def show(self, violation: Seen) -> None:
        """Print it."""
        from rich.text import Text

        when = datetime.fromtimestamp(violation.when / 1000, UTC).astimezone()
        record = "/".join(map(str, violation.source))
        for number, error in enumerate(violation.errors):
            line = Text.assemble(
                (f"{when:%Y-%m-%d %H:%M:%S}  " if number == 0 else " " * 21, "dim"),
                f"{printable(record):24}  ",
                (f"{printable(error['code']):24}", _STAGES.get(error["stage"], "")),
                f"  {printable(error['path']):20}",
                (f"  {printable(error['message'])}", "dim"),
            )
            self.console.print(line, soft_wrap=True, highlight=False)


@dataclass(slots=True)
class _Stats:
    """Violations, counted."""

    total: int = 0
    first: int = 0
    last: int = 0
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    partitions: Counter[tuple[str, int]] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)

    def add(self, violation: Seen) -> None:
        """Count one."""
        topic, partition, _ = violation.source
        self.total += 1
        self.first = min(self.first or violation.when, violation.when)
        self.last = max(self.last, violation.when)
        self.codes.update({(error["code"], error["path"]) for error in violation.errors})
        self.partitions[topic, partition] += 1
        self.policies[violation.policy] += 1

    def as_document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "total": self.total,
            "first": _iso(self.first) if self.total else None,
            "last": _iso(self.last) if self.total else None,
            "by_code": [
                {"code": code, "path": path, "count": count}
                for (code, path), count in self.codes.most_common()
            ],
            "by_partition": [
                {"topic": topic, "partition": partition, "count": count}
                for (topic, partition), count in sorted(self.partitions.items())
            ],
            "by_policy": dict(self.policies.most_common()),
        }

    def show(self) -> None:
        """For people."""
        from rich.table import Table

        console = standard_output()
        if not self.total:
            console.print("No violations.")
            return
        console.print(
            f"{self.total:,} violations from {_iso(self.first)} to {_iso(self.last)}",
            style="bold",
            highlight=False,
        )
        codes = Table("code", "path", box=None, pad_edge=False, header_style="dim")
        codes.add_column("records", justify="right")
        codes.add_column("share", justify="right")
        codes.add_column("")
        most = self.codes.most_common(1)[0][1]
        for (code, path), count in self.codes.most_common():
            codes.add_row(
                *map(_cell, (code, path, f"{count:,}", f"{count / self.total:.1%}", _bar(count / most)))
            )
        partitions = Table("from", box=None, pad_edge=False, header_style="dim")
        partitions.add_column("records", justify="right")
        for (topic, partition), count in sorted(self.partitions.items()):
            partitions.add_row(*map(_cell, (f"{topic}/{partition}", f"{count:,}")))
        for table in (codes, partitions):
            console.print()
            console.print(table)


def _bar(share: float) -> str:
    return "█" * max(1, round(24 * share))


def _cell(text: str) -> Text:
    from rich.text import Text

    return Text(printable(text))


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
