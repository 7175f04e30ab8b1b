"""Real servers for tests, started and ended with the scripts that people use: scripts/kafka, scripts/openbao, …."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

ROOT = Path(__file__).resolve().parent.parent
MISSING_PART = 69  # the exit code with which a script says that a program it needs is missing


LOSSY = {"topic.metadata.refresh.interval.ms": "10", "metadata.recovery.strategy": "none"}
"""Settings of a client that mostly loses a broker that ends for good: it asks for brokers in the milliseconds in which
that one says that there are none, and does not begin anew by itself."""


class MissingPart(Exception):
    """A part that a test needs is not on this machine; the message says which and how to get it."""


class Server:
    """One server of its own, with its own port and data; a subclass per kind.

    ``start`` after ``stop`` or ``kill`` brings the same server back: same address, same content.
    """

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""

    @classmethod
    def script(cls) -> Path:
        """What starts and ends it."""
        return ROOT / "scripts" / cls.kind

    @classmethod
    def shared(cls) -> Self:
        """The one that all tests share: scripts/test gives it a name of its own for each run."""
        return cls(os.environ.get(f"STREAMGUARD_{cls.kind.upper()}_NAME", "default"))

    @classmethod
    def fresh(cls) -> Self:
        """One more, which scripts/test recognizes as belonging to its run."""
        return cls(f"{cls.shared().name}-{uuid.uuid4().hex[:8]}")

    def start(self) -> str:
        """Start it, or find it running, and wait until it answers; returns its address.

        Raises MissingPart where a program is missing.
        """
        self.address = self._run("start").splitlines()[-1]
        return self.address

    def stop(self) -> None:
        """End it in good order; it stays as it is for the next start."""
        self._run("stop")

    def kill(self) -> None:
        """End it at once, with SIGKILL, as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self._run("stop")

    def delete(self) -> None:
        """End it and remove its data."""
        self._run("stop", "--delete")

    @property
    def pid(self) -> int:
        """The server's process, for a test that suspends it (SIGSTOP)."""
        return int(self.pid_file.read_text().split("\n")[0])

    @property
    def folder(self) -> Path:
        """Where it keeps its data and its log."""
        return ROOT / ".cache" / self.kind / self.name

    @property
    def pid_file(self) -> Path:
        """Where it notes its process."""
        return self.folder / "pid"

    def _run(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, str(self.script()), command, "--name", self.name, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == MISSING_PART:
            raise MissingPart(done.stderr.strip().removeprefix(f"{self.kind}: "))
        if done.returncode != 0:
            raise RuntimeError(f"scripts/{self.kind} {command} failed:\n{done.stderr}")
        return done.stdout.strip()


class Broker(Server):
    """One Kafka broker; its address is what ``bootstrap.servers`` takes."""

    kind = "kafka"

    @property
    def bootstrap(self) -> str:
        """The address."""
        return self.address


class Postgres(Server):
    """One PostgreSQL server; its address is the URL of its database, as a user who may do everything."""

    kind = "postgres"

    @property
    def pid_file(self) -> Path:
        return self.folder / "data" / "postmaster.pid"

    def kill(self) -> None:
        sessions = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True, check=True
        )
        for pid in [self.pid, *map(int, sessions.stdout.split())]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._run("stop")


class OpenBao(Server):
    """One OpenBao server; its address is what ``keys: {provider: vault}`` takes."""

    kind = "openbao"

    @property
    def token(self) -> str:
        """The root token."""
        return (self.folder / "token").read_text().strip()

    def ask(self, method: str, path: str, **document: object) -> dict[str, Any]:
        """Call its API as root: ``ask("post", "sys/mounts/transit", type="transit")``."""
        import hvac

        client = hvac.Client(self.address, self.token)
        answer = client.adapter.request(method, f"/v1/{path}", json=document)
        return answer if isinstance(answer, dict) else {}


class Registry(Server):
    """One Schema Registry; its address is what ``registry: {url: …}`` takes."""

    kind = "registry"


def unique(stem: str) -> str:
    """A topic or group name that no other test and no other run uses."""
    return f"{re.sub(r'[^a-zA-Z0-9._-]', '-', stem)}-{uuid.uuid4().hex[:8]}"


@contextmanager
def database_at(address: str) -> Iterator[str]:
    """An empty database on this PostgreSQL server, while it lasts."""
    engine = create_engine(
        address.replace("postgresql://", "postgresql+pg8000://"),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )
    name = f"test_{uuid.uuid4().hex[:12]}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield engine.url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range from which systems give ports to clients."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")
