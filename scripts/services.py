"""What the servers for development and tests have in common: those of scripts/kafka, openbao, postgres and registry.

Each server has a name, a folder below .cache/ with its port, its data and its log, and goes on running after the
command that started it. Loopback only. Of Python, the standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent

HOST = "127.0.0.1"
# Below the range from which systems hand out ports to clients (32768 and up), so that a stopped server finds its
# port still free when it comes back.
PORTS = range(19092, 32000)

STOP_WITHIN = 30.0  # seconds for a clean shutdown, before SIGKILL
MISSING_PART = 69  # EX_UNAVAILABLE of sysexits.h


class Trouble(Exception):
    """What went wrong and what to do about it, in words for the person at the terminal."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Server(ABC):
    """One server. A subclass per kind says what it is, and how it starts."""

    kind: ClassVar[str]  # names the script, the folder below .cache/, and the variable that gives a name
    what: ClassVar[str]  # in messages: "broker"
    reserved: ClassVar[frozenset[str]] = frozenset()  # names that the folder has another use for
    ports_needed: ClassVar[int] = 1
    ready_within: ClassVar[float]  # seconds
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = self.home() / name
        self.data = self.folder / "data"
        self.log = self.folder / f"{self.what}.log"

    @classmethod
    def home(cls) -> Path:
        """Where servers of this kind live."""
        return ROOT / ".cache" / cls.kind

    @property
    @abstractmethod
    def address(self) -> str:
        """How clients find it."""

    @abstractmethod
    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""

    @abstractmethod
    def pid(self) -> int | None:
        """The process id, when that process lives and is this server (a process id may have been reused)."""

    def stop(self, *, delete: bool) -> None:
        """End it in good order, or by force when that takes too long."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, self.stop_signal)
            if not self._gone_within(STOP_WITHIN):
                say(self.kind, f"process {pid} did not end within {STOP_WITHIN:.0f} s: killing it")
                os.kill(pid, signal.SIGKILL)
                self._gone_within(STOP_WITHIN)
        if delete:
            shutil.rmtree(self.folder, ignore_errors=True)

    def ports(self) -> list[int]:
        """The ports, chosen at the first start and kept."""
        kept = self.folder / "ports"
        if not kept.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(" ".join(map(str, free_ports(self.ports_needed))) + "\n")
        return [int(port) for port in kept.read_text().split()]

    def ports_to_bind(self) -> list[int]:
        """The same, or new ones when another program has taken one of them."""
        ports = self.ports()
        if not all(map(is_free, ports)):
            say(
                self.kind,
                f"port {' or '.join(map(str, ports))} is in use by another program: taking new ones",
            )
            (self.folder / "ports").unlink()
            ports = self.ports()
        return ports

    def wait_until(self, ready: Callable[[], bool], ended: Callable[[], bool]) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + self.ready_within
        while not ready():
            if ended():
                raise Trouble(f"the {self.what} ended while it started:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise Trouble(
                    f"the {self.what} did not answer within {self.ready_within:.0f} s:\n{tail(self.log)}"
                )
            time.sleep(0.1)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def say(kind: str, message: str) -> None:
    print(f"{kind}: {message}", file=sys.stderr, flush=True)


def command_line(pid: int) -> str:
    """The command a process runs; empty when there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    candidates = random.sample(PORTS, 500)
    ports = [port for port in candidates if is_free(port)][:count]
    if len(ports) < count:
        raise Trouble(f"no free port between {PORTS.start} and {PORTS.stop}")
    return ports


def tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def find_java(program: str) -> str:
    """The Java of JAVA_HOME or of PATH, at least 17, which `program` asks for."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    said = ""
    if java:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if not java or not version or int(version[1]) < 17:
        found = f"found version {version[1]}" if version else "found none"
        raise Trouble(
            f"{program} needs Java 17 or newer ({found}). Debian, Ubuntu: apt-get install default-jre-headless maven; "
            "macOS: brew install openjdk maven",
            MISSING_PART,
        )
    return java


def download(kind: str, what: str, pom: Path, goal: str, target: Path) -> None:
    """Fill `target` with what `pom` depends on, by a goal of Maven's dependency plugin; anew when `pom` changed."""
    made_from = target / pom.name
    if made_from.exists() and made_from.read_bytes() == pom.read_bytes():
        return
    maven = shutil.which("mvn")
    if not maven:
        raise Trouble(
            f"Maven is needed to download {what}. Debian, Ubuntu: apt-get install maven; macOS: brew install maven",
            MISSING_PART,
        )
    say(kind, f"downloading {what}, once")
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    done = subprocess.run(
        [
            *(maven, "--quiet", "--batch-mode", "--file", str(pom), f"dependency:{goal}"),
            *(f"-DoutputDirectory={fresh}", f"-DmarkersDirectory={fresh}", "-DincludeScope=runtime"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(f"Maven could not download {what}:\n{done.stdout}{done.stderr}")
    shutil.copy(pom, fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


@contextlib.contextmanager
def alone(kind: type[Server]) -> Iterator[None]:
    """Lets one start or stop run at a time; a second waits and finds the work done."""
    kind.home().mkdir(parents=True, exist_ok=True)
    with (kind.home() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def parse(kind: type[Server], about: str | None, arguments: list[str]) -> argparse.Namespace:
    def name(text: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", text) or text in kind.reserved:
            raise argparse.ArgumentTypeError("a name is made of a-z, 0-9 and -")
        return text

    parser = argparse.ArgumentParser(
        prog=f"scripts/{kind.kind}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["start", "stop", "status"])
    variable = f"STREAMGUARD_{kind.kind.upper()}_NAME"
    parser.add_argument("--name", type=name, default=os.environ.get(variable, "default"))
    parser.add_argument(
        "--delete", action="store_true", help=f"with stop: remove the {kind.what}'s data, port and log too"
    )
    options = parser.parse_args(arguments)
    if options.delete and options.command != "stop":
        parser.error("--delete goes with stop")
    return options


def run(kind: type[Server], options: argparse.Namespace) -> int:
    server = kind(options.name)
    if options.command == "status":
        if server.pid() is None:
            print(f"{kind.what} '{server.name}' is not running")
            return 1
        print(server.address)
        return 0
    with alone(kind):
        if options.command == "start":
            server.start()
            print(server.address)
        else:
            server.stop(delete=options.delete)
            say(kind.kind, f"{kind.what} '{server.name}' is stopped")
    return 0


def main(kind: type[Server], about: str | None) -> NoReturn:
    """Do what the command line says, and end with its exit code."""
    try:
        sys.exit(run(kind, parse(kind, about, sys.argv[1:])))
    except Trouble as trouble:
        say(kind.kind, str(trouble))
        sys.exit(trouble.exit_code)
