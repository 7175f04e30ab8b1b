"""`streamguard reveal`: from protected values back to values, for those who may, and on the record."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from operator import itemgetter
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from streamguard.cli import app
from streamguard.cli.desk import KeyFile, KeyVariable, desk_of, keyring_of, service_of
from streamguard.cli.keys import Config, StoreUrl
from streamguard.cli.output import show_progress
from streamguard.cli.times import time_of
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from confluent_kafka import Message

    from streamguard.access.principal import Principal
    from streamguard.access.reading import Documents
    from streamguard.access.records import Fault, Record, Records
    from streamguard.access.reveal import Answer, Desk
    from streamguard.guard.batch import Headers
    from streamguard.policy.loader import LoadedPolicy
    from streamguard.policy.service import Service

TOKEN_VARIABLE: Final = "STREAMGUARD_TOKEN"  # noqa: S105 - the name of a variable

_PIECE: Final = 1 << 16
_RECORDS: Final = 200  # of a topic, revealed and written down together


@app.command()
def reveal(
    tokens: Annotated[
        list[str] | None, typer.Argument(help="Tokens; without any, one per line of stdin.")
    ] = None,
    *,
    config: Config = None,
    store: StoreUrl = None,
    keys: KeyFile = None,
    keys_env: KeyVariable = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per token: its value or its error.")
    ] = False,
    ndjson: Annotated[
        bool,
        typer.Option("--ndjson", help="JSON documents on stdin, one per line; tokens are revealed in place."),
    ] = False,
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="Of --ndjson: only what this policy protects.")
    ] = None,
    key_id: Annotated[
        list[str] | None,
        typer.Option(
            "--key-id", help="Of --policy: PATH=ID from the record's header sg-keys. May be repeated."
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="A clean topic: its records, revealed, one per line.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Of --topic: from then on, such as 15m, 7d or 2026-01-31T12:00Z."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Of --topic: before then.")] = None,
    any_version: Annotated[
        bool, typer.Option("--any-version", help="Take records that another version of the policy wrote.")
    ] = False,
    masked: Annotated[bool, typer.Option("--masked", help="The masked form is enough.")] = False,
    purpose: Annotated[
        str, typer.Option("--purpose", help="What for: policies may ask, and the audit trail keeps it.")
    ] = "",
    token: Annotated[
        str | None,
        typer.Option("--token", envvar=TOKEN_VARIABLE, help="Who you are, where 'access' is configured."),
    ] = None,
) -> None:
    """Reveal protected values.

    Each is printed as JSON on a line of its own, so that "12" and 12 differ; bytes as base64: and their base64. A token
    that cannot be revealed gives an empty line, its reason on stderr, and exit code 1.

    Where the service file has 'access', you show who you are, and Cedar policies decide; otherwise whoever has the
    master key may reveal. Either way it is on the audit trail before a value is opened.

    [bold]Examples[/bold]

      streamguard reveal sg1.e.K7dq2mXw0a.b64...

      streamguard reveal --ndjson -c streamguard.yaml < clean.ndjson > revealed.ndjson

      streamguard reveal --store sqlite:///streamguard.db --keys keys/master.key --json < tokens.txt
    """
    _check_use(tokens, topic, policy, ndjson=ndjson, as_json=as_json)
    _check_details(since, until, key_id, topic, policy)
    from streamguard.access.principal import Credential
    from streamguard.access.purpose import check_purpose

    check_purpose(purpose)
    begin, end = time_of("--from", since), time_of("--to", until)
    service = service_of(config, store, keys, keys_env)
    loaded = _policy(service, policy, topic) if policy or topic else None
    desk = desk_of(keyring_of(config, store, keys, keys_env), service)
    asker = _Asker(desk, desk.enter(Credential(bearer=token)), purpose, masked=masked)
    if loaded is not None:
        from streamguard.access.reading import Documents, source_form
        from streamguard.access.records import Records
        from streamguard.formats.registry import open_registry

        registry = open_registry(service.registry) if service is not None and service.registry else None
        form = source_form(loaded, registry)
        records = Records(loaded, desk, any_version=any_version, form=form)
        if topic is not None and service is not None:
            documents = Documents(loaded, desk.keyring, registry)
            failed = _reveal_topic(asker, records, documents, service, topic, begin, end)
        else:
            failed = _reveal_records(asker, records, _key_ids(key_id))
    elif ndjson:
        failed = _reveal_documents(sys.stdin.buffer, sys.stdout.buffer, asker)
    else:
        given = [tokens] if tokens else _lines_of_text(sys.stdin.buffer)
        failed = _reveal_tokens(given, asker, _as_object if as_json else _as_line)
    raise typer.Exit(1 if failed else 0)


# -- What is asked for -------------------------------------------------------------------------------------------------


def _check_use(
    tokens: list[str] | None, topic: str | None, policy: str | None, *, ndjson: bool, as_json: bool
) -> None:
    if ndjson and (tokens or as_json):
        raise UsageError(
            "--ndjson reads documents from stdin, and writes documents.", "Leave out tokens and --json."
        )
    if topic is not None and (tokens or ndjson or as_json or policy):
        raise UsageError(
            "--topic reads a topic, and writes documents.", "Leave out tokens, --ndjson, --json and --policy."
        )
    if policy is not None and not ndjson:
        raise UsageError("--policy is for documents.", "Add --ndjson, or leave it out.")
    if not tokens and topic is None and sys.stdin.isatty():
        raise UsageError("There is nothing to reveal.", "Give tokens, or pipe them in.")


def _check_details(
    since: str | None, until: str | None, key_id: list[str] | None, topic: str | None, policy: str | None
) -> None:
    if topic is None and (since or until):
        raise UsageError("--from and --to are a range of a topic.", "Name it with --topic.")
    if key_id and policy is None:
        raise UsageError("--key-id names keys of a policy's fields.", "Name it with --policy.")


def _policy(service: Service | None, name: str | None, topic: str | None) -> LoadedPolicy:
    """The policy of this name, or the one that writes this topic."""
    if service is None:
        raise UsageError("A policy is found by the service file.", "Name that with --config.")
    from streamguard.policy.loader import load_policy

    known = [load_policy(path) for path in service.policy_files()]
    for loaded in known:
        if loaded.policy.name == name or (topic is not None and loaded.policy.clean_topic == topic):
            return loaded
    if topic is not None:
        topics = ", ".join(sorted(loaded.policy.clean_topic for loaded in known))
        raise UsageError(f"No policy writes to '{topic}'.", f"The clean topics are {topics}.")
    names = ", ".join(sorted(loaded.policy.name for loaded in known))
    raise UsageError(f"There is no policy '{name}'.", f"The policies are {names}.")


def _key_ids(written: list[str] | None) -> dict[str, str]:
    pairs = [text.rpartition("=") for text in written or ()]
    if not all(path and key for path, _, key in pairs):
        raise UsageError("--key-id names a path and a key.", "Write it like customer.ssn=K7dq2mXw0a.")
    return {path: key for path, _, key in pairs}


@dataclass(frozen=True, slots=True)
class _Asker:
    """Somebody at the desk, with a purpose."""

    desk: Desk
    principal: Principal
    purpose: str
    masked: bool

    def tokens(self, values: Iterable[str]) -> list[Answer]:
        """Tokens on their own."""
        from streamguard.access.opening import Ask
        from streamguard.access.reveal import Request

        asks = [Ask(value) for value in values]
        return self.desk.reveal(self.principal, Request(asks, self.purpose, masked=self.masked))

    def records(self, of: Records, records: list[Record], topic: str | None = None) -> list[Fault]:
        """Fields of records, in place."""
        return of.reveal(self.principal, records, purpose=self.purpose, topic=topic, masked=self.masked)


# -- Tokens ------------------------------------------------------------------------------------------------------------


def _reveal_tokens(pieces: Iterable[list[str]], asker: _Asker, show: Callable[[Answer], str]) -> int:
    """Print what each token holds; returns how many could not be revealed."""
    failed = number = 0
    for tokens in pieces:
        for answer in asker.tokens(tokens):
            number += 1
            if answer.error is not None:
                failed += 1
                _complain(f"token {number}", answer)
            typer.echo(show(answer))
    return failed


def _as_line(answer: Answer) -> str:
    if answer.error is not None:
        return ""
    if isinstance(answer.value, bytes):
        return _bytes_as_text(answer.value)
    if isinstance(answer.value, float) and not isfinite(answer.value):
        return str(answer.value)
    # JSON leaves some characters as they are that would drive a terminal.
    text = orjson.dumps(answer.value).decode()
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def _as_object(answer: Answer) -> str:
    from streamguard.access.shown import shown

    found: dict[str, Any] = shown(answer.value)
    if answer.error is not None:
        found = {"error": answer.error, "message": answer.message, "remedy": answer.remedy}
    if answer.masked:
        found["masked"] = True
    return orjson.dumps(found).decode()


# -- Documents ---------------------------------------------------------------------------------------------------------


def _reveal_documents(source: IO[bytes], target: IO[bytes], asker: _Asker) -> int:
    """Copy NDJSON with every token replaced by its value; what cannot be revealed stays as it is. Returns how many."""
    from streamguard.access.anywhere import tokens_in

    failed = first = 0
    for lines in _lines(source):
        wrong: list[tuple[int, str]] = []
        read = _documents(lines, wrong, only_with=b'"sg1.')
        places = [(n, place) for n, holder in read.items() for place in tokens_in(holder)]
        answers = asker.tokens([place.value for _, place in places]) if places else []
        for (n, place), answer in zip(places, answers, strict=True):
            if answer.error is None:
                place.holder[place.key] = answer.value
            else:
                wrong.append((n, f": {_why(answer)}"))
        _write(lines, read, target)
        _report(wrong, first)
        failed += len(wrong)
        first += len(lines)
    return failed


def _reveal_records(asker: _Asker, records: Records, key_ids: dict[str, str]) -> int:
    """The same, with what a policy protects and nothing else."""
    from streamguard.access.records import Record

    failed = first = 0
    for lines in _lines(sys.stdin.buffer):
        wrong: list[tuple[int, str]] = []
        read = _documents(lines, wrong)
        numbers = list(read)
        faults = asker.records(records, [Record(read[n][0], key_ids=key_ids) for n in numbers])
        wrong += [(numbers[fault.row], f": {fault.path}: {_why(fault.answer)}") for fault in faults]
        _write(lines, read, sys.stdout.buffer)
        _report(wrong, first)
        failed += len(wrong)
        first += len(lines)
    return failed


def _documents(
    lines: list[bytes], wrong: list[tuple[int, str]], only_with: bytes = b""
) -> dict[int, list[Any]]:
    """The documents by line, each in a list of one. Lines that are left out here pass as they are."""
    read: dict[int, list[Any]] = {}
    for n, line in enumerate(lines):
        if only_with not in line or not line.strip():
            continue
        try:
            read[n] = [orjson.loads(line)]
        except orjson.JSONDecodeError:
            wrong.append((n, ": not a JSON document"))
    return read


def _write(lines: list[bytes], read: dict[int, list[Any]], target: IO[bytes]) -> None:
    for n, line in enumerate(lines):
        target.write(_dumped(read[n][0]) if n in read else line)
    target.flush()


def _report(wrong: list[tuple[int, str]], first: int) -> None:
    for n, what in sorted(wrong, key=itemgetter(0)):
        typer.echo(f"line {first + n + 1}{what}", err=True)


# -- Topics ------------------------------------------------------------------------------------------------------------


def _reveal_topic(
    asker: _Asker,
    records: Records,
    documents: Documents,
    service: Service,
    topic: str,
    begin: datetime | None,
    end: datetime | None,
) -> int:
    """Print the records of a topic, up to where it ends now; returns how many fields could not be revealed."""
    from streamguard import logs
    from streamguard.streams.reader import Reader

    logs.setup("text", "error")
    before = int(end.timestamp() * 1000) if end else None
    failed = 0
    with Reader(service, [topic], since=begin) as reader, show_progress() as progress:
        task = progress.add_task("revealing", total=reader.total)
        messages = (
            message for message in reader.to_the_end() if before is None or message.timestamp()[1] < before
        )
        while some := list(islice(messages, _RECORDS)):
            failed += _reveal_messages(asker, records, documents, topic, some)
            progress.update(task, completed=reader.done)
    return failed


def _reveal_messages(
    asker: _Asker, records: Records, documents: Documents, topic: str, messages: list[Message]
) -> int:
    from streamguard.access.reading import UnreadableError
    from streamguard.access.records import Record

    read: list[Record] = []
    places: list[str] = []
    failed = 0
    for message in messages:
        place = f"{topic}/{message.partition()}/{message.offset()}"
        value = message.value()
        if value is None:
            continue
        try:
            headers = _headers(message)
            read.append(Record(documents.read(value, headers), headers))
            places.append(place)
        except UnreadableError as error:
            failed += 1
            typer.echo(f"{place}: {error.message}", err=True)
    faults = asker.records(records, read, topic)
    for fault in faults:
        _complain(f"{places[fault.row]}: {fault.path}", fault.answer)
    for record in read:
        sys.stdout.buffer.write(_dumped(record.document))
    sys.stdout.buffer.flush()
    return failed + len(faults)


def _headers(message: Message) -> Headers:
    found: Any = message.headers()  # a list of pairs, whatever the library's annotations allow
    return found or []


# -- In and out --------------------------------------------------------------------------------------------------------


def _lines(source: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines that are there, as soon as they are: what is piped in slowly comes out as slowly, and not later."""
    rest = b""
    while piece := source.read1(_PIECE):  # type: ignore[attr-defined]  # stdin's buffer, and files opened for bytes
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield [line + b"\n" for line in lines]
    if rest:
        yield [rest]


def _lines_of_text(source: IO[bytes]) -> Iterator[list[str]]:
    return ([line.decode(errors="replace").strip() for line in lines] for lines in _lines(source))


def _dumped(document: Any) -> bytes:
    return orjson.dumps(document, default=_bytes_as_text, option=orjson.OPT_APPEND_NEWLINE)


def _bytes_as_text(value: Any) -> str:
    return "base64:" + b64encode(value).decode()


def _complain(where: str, answer: Answer) -> None:
    typer.echo(f"{where}: {_why(answer)}", err=True)


def _why(answer: Answer) -> str:
    return f"{answer.message} {answer.remedy}".rstrip()
