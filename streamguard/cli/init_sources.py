"""Where `streamguard init` finds records: files of JSON documents, standard input, or a topic."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message
    from rich.progress import Progress, TaskID

    from streamguard.draft.described import Described
    from streamguard.draft.evidence import Evidence
    from streamguard.policy.service import Service
    from streamguard.streams.reader import Reader

DEFAULT_CONFIG: Final = Path("streamguard.yaml")
STDIN: Final = "-"

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,238}")  # ".violations" must find room behind it


def name_of(given: str | None, topic: str | None, sources: list[str]) -> str:
    """The name of the files to write: as given, or after the topic, or after the first file. Raises UsageError."""
    if given is not None:
        if not _NAME.fullmatch(given):
            raise UsageError(
                f"'{given}' cannot be a policy's name.", "Use letters, digits, '_' and '-', at most 64."
            )
        return given
    found = topic or next((Path(source).stem for source in sources if source != STDIN), "")
    name = _NOT_IN_NAMES.sub("-", found).strip("-")[:64]
    if not name:
        raise UsageError("Nothing says what the files should be called.", "Give a --name.")
    return name


def refuse_topic(topic: str) -> None:
    """Raises UsageError for what cannot be the name of a topic that has outputs."""
    if not _TOPIC.fullmatch(topic):
        raise UsageError(
            f"'{topic}' cannot be the name of a topic.", "Use letters, digits, '.', '_' and '-', at most 238."
        )


def of_files(sources: list[str], count: int, progress: Progress) -> Evidence:
    """The first `count` documents of each file. Raises UsageError for a file that cannot be read, ConfigError."""
    from streamguard.draft.described import is_framed
    from streamguard.draft.evidence import read_json

    values: list[bytes | None] = []
    task = progress.add_task("reading", total=count * len(sources))
    for number, source in enumerate(sources, start=1):
        for value in islice(_lines(source), count):
            values.append(value)
            progress.update(task, advance=1)
        progress.update(task, completed=number * count)
    if any(map(is_framed, values)):
        raise ConfigError(
            "The values are framed for a Schema Registry, and lines of a file cannot be told apart then.",
            "Read them from their topic: --topic, with --registry or a service file.",
        )
    return read_json(values)


def _lines(source: str) -> Iterator[bytes]:
    """The lines of a file; a line that is longer than any policy permits counts as an empty one."""
    from streamguard.guard.ndjson import read_lines
    from streamguard.policy.models import Value

    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer if source == STDIN else stack.enter_context(Path(source).open("rb"))
            for lines in read_lines(lambda most: os.read(file.fileno(), most), Value().max_bytes):
                yield from (line.value or b"" for line in lines)
        except OSError as error:
            raise UsageError(f"'{source}' cannot be read: {error.strerror}.", "Check the path.") from None


def service_of(config: Path | None, bootstrap_servers: str | None, registry: str | None) -> Service:
    """Where the broker and the registry are. Raises UsageError, ProblemsError."""
    from pydantic import ValidationError

    from streamguard.policy.service import Service, load_service

    if bootstrap_servers is None:
        if config is None and not DEFAULT_CONFIG.exists():
            raise UsageError(
                "Nothing says where the broker is.", "Give --bootstrap-servers, or a service file with -c."
            )
        if registry is not None:
            raise UsageError("A service file names its registry itself.", "Add it there: registry: {url: …}")
        return load_service(config or DEFAULT_CONFIG)
    if config is not None:
        raise UsageError("A service file names its broker itself.", "Give --config or --bootstrap-servers.")
    named = {} if registry is None else {"registry": {"url": registry}}
    try:
        return Service.model_validate({"kafka": {"bootstrap.servers": bootstrap_servers}, **named})
    except ValidationError:
        raise UsageError(
            f"'{registry}' cannot be the address of a registry.",
            "Write https://… (http:// on this host only).",
        ) from None


def of_topic(
    topic: str, service: Service, count: int, progress: Progress, *, oldest: bool
) -> tuple[Evidence, Described | None]:
    """The latest `count` records of a topic by their timestamps, or the first ones that Kafka gives from its beginning.

    With their schema, where they name one in a registry. Raises KafkaTrouble when the topic cannot be read, ConfigError
    when its values cannot.
    """
    from streamguard import logs
    from streamguard.draft.described import is_framed, read_registered
    from streamguard.draft.evidence import read_json
    from streamguard.formats.registry import open_registry
    from streamguard.streams.reader import Reader

    logs.setup("text", "error")
    # Markers of transactions take offsets too, at most one per record.
    with Reader(service, [topic], last=None if oldest else 2 * count) as reader:
        task = progress.add_task("reading", total=min(reader.total, count) if oldest else reader.total)
        if oldest:
            messages = list(islice(progress.track(reader.to_the_end(), task_id=task), count))
        else:
            messages = _latest(reader, count, progress, task)
    if not messages:
        raise ConfigError(f"The topic '{topic}' holds no records.", "Wait until it has some.")
    values = [message.value() for message in messages]
    headers: list[Any] = [message.headers() for message in messages]  # pairs, whatever the annotations allow
    keys = [message.key() for message in messages]
    if not any(map(is_framed, values, headers)):
        return read_json(values, keys), None
    if service.registry is None:
        raise ConfigError(
            "The values are framed for a Schema Registry: a schema's id stands before each of them.",
            "Say where it is: --registry, or 'registry: {url: …}' in the service file.",
        )
    registry = open_registry(service.registry)
    try:
        return read_registered(values, headers, keys, registry)
    finally:
        registry.close()


def _latest(reader: Reader, count: int, progress: Progress, task: TaskID) -> list[Message]:
    """The latest records by their timestamps, on a bar."""

    def followed(messages: Iterator[Message]) -> Iterator[Message]:
        progress.update(task, total=reader.total)
        for message in messages:
            yield message
            progress.update(task, completed=reader.done)

    return reader.latest(count, followed, lambda message: message.timestamp()[1])
