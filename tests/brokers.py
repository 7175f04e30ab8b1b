"""Real Kafka brokers for tests, started and ended with scripts/kafka."""

import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "kafka"
MISSING_PART = 69  # the exit code with which scripts/kafka says that Java or Maven is missing


class MissingPart(Exception):
    """A part that a test needs is not on this machine; the message says which and how to get it."""


class Broker:
    """One broker of its own, with its own port and data.

    ``start`` after ``stop`` or ``kill`` brings the same broker back: same address, same topics, same offsets.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bootstrap = ""

    def start(self) -> str:
        """Start it, or find it running, and wait until it answers.

        Returns its address, as ``bootstrap.servers`` takes it. Raises MissingPart where Java or Maven is missing.
        """
        self.bootstrap = self._run("start").splitlines()[-1]
        return self.bootstrap

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
        """The broker's process, for a test that suspends it (SIGSTOP)."""
        return int((ROOT / ".cache" / "kafka" / self.name / "pid").read_text())

    def _run(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), command, "--name", self.name, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == MISSING_PART:
            raise MissingPart(done.stderr.strip().removeprefix("kafka: "))
        if done.returncode != 0:
            raise RuntimeError(f"scripts/kafka {command} failed:\n{done.stderr}")
        return done.stdout.strip()


def default_name() -> str:
    """The broker that all tests share: scripts/test gives it a name of its own for each run."""
    return os.environ.get("STREAMGUARD_KAFKA_NAME", "default")


def fresh_name() -> str:
    """A name for one more broker, which scripts/test recognizes as belonging to its run."""
    return f"{default_name()}-{uuid.uuid4().hex[:8]}"


def unique(stem: str) -> str:
    """A topic or group name that no other test and no other run uses."""
    return f"{re.sub(r'[^a-zA-Z0-9._-]', '-', stem)}-{uuid.uuid4().hex[:8]}"
