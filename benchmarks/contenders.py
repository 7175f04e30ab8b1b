"""Everything that is started between two topics, with the command that starts it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import orjson

from benchmarks import processes
from benchmarks.broker import Broker, Progress
from benchmarks.formats import SCHEMAS, Format
from benchmarks.processes import Program
from benchmarks.records import POLICY
from streamguard.policy.document import read_document

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = ROOT / ".venv" / "bin" / "python"
STREAMGUARD: Final = PYTHON.with_name("streamguard")
PEERS_PYTHON: Final = ROOT / ".cache" / "bench-venv" / "bin" / "python"
COMMIT_MS: Final = 200
"""The policy language's own default, for us and for the copy loop."""
FRAMEWORK_COMMIT_MS: Final = 1000
"""Frameworks commit every few seconds by default; a second is short enough to be seen in a window."""


@dataclass(frozen=True)
class Running:
    """A program at work between two topics: what its group has committed, and the topic it writes to."""

    program: Program
    progress: Progress
    sink: str


class Contender(Protocol):
    """Something that can stand between two topics."""

    @property
    def name(self) -> str:
        """As it is called in the results."""

    @property
    def format(self) -> Format:
        """What the records that it is given are written in."""

    def between(self, broker: Broker, source: str, folder: Path) -> AbstractContextManager[Running]:
        """Run it on `source`; its logs and files go to `folder`."""


@dataclass(frozen=True)
class Peer:
    """A program of `benchmarks.peers`."""

    name: str
    module: str
    exactly_once: bool = False
    guard: bool = False
    python: Path = PEERS_PYTHON
    commit_ms: int = FRAMEWORK_COMMIT_MS
    format: Format = "json"

    @contextmanager
    def between(self, broker: Broker, source: str, folder: Path) -> Iterator[Running]:
        """Run it on `source`, with a topic and a group of its own."""
        sink = broker.create_topic("copy")
        group = f"bench-{uuid.uuid4().hex[:8]}"
        command = [
            *(str(self.python), "-W", "ignore", "-m", f"benchmarks.peers.{self.module}"),
            *("--bootstrap", broker.address, "--source", source, "--sink", sink, "--group", group),
            *("--commit-ms", str(self.commit_ms)),
            *(["--exactly-once"] if self.exactly_once else []),
            *(["--guard"] if self.guard else []),
        ]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        progress = Progress(broker, group, source)
        try:
            with processes.started(command, folder / f"{self.name}.log", env=env, cwd=folder) as program:
                yield Running(program, progress, sink)
        finally:
            progress.close()
            broker.delete_topics(sink)


@dataclass(frozen=True)
class StreamGuard:
    """The service as people run it: ``streamguard run``, the reference policy, a key file, SQLite."""

    name: str
    delivery: str = "exactly_once"
    commit_ms: int = COMMIT_MS
    format: Format = "json"

    @contextmanager
    def between(self, broker: Broker, source: str, folder: Path) -> Iterator[Running]:
        """Run it on `source`, with topics, a group, keys and a store of its own."""
        clean, violations = broker.create_topic("clean"), broker.create_topic("violations")
        name = f"bench-{uuid.uuid4().hex[:8]}"
        home = folder / name
        home.mkdir()
        self._write_policy(home / "orders.yaml", name, source, clean, violations)
        _write(
            home / "streamguard.yaml",
            {
                "kafka": {"bootstrap.servers": broker.address},
                "group": "bench",
                "policies": ["orders.yaml"],
                "web": {"port": 0},
            },
        )
        _streamguard(home, "keys", "init")
        progress = Progress(broker, f"bench.{name}", source)
        try:
            with processes.started([str(STREAMGUARD), "run"], home / "log", cwd=home) as program:
                yield Running(program, progress, clean)
        finally:
            progress.close()
            broker.delete_topics(clean, violations)

    def _write_policy(self, path: Path, name: str, source: str, clean: str, violations: str) -> None:
        policy = read_document(POLICY, what="policy").data | {
            "name": name,
            "topic": source,
            "outputs": {"clean": clean, "violations": violations},
            "value": {"format": self.format, "schema": str(SCHEMAS[self.format])},
            "delivery": self.delivery,
            "commit_interval_ms": self.commit_ms,
        }
        _write(path, policy)


def _write(path: Path, data: object) -> None:
    path.write_bytes(orjson.dumps(data))  # every JSON document is YAML too


def _streamguard(home: Path, *arguments: str) -> None:
    subprocess.run([STREAMGUARD, *arguments], cwd=home, check=True, capture_output=True)
