"""Console blocks, executed: what a page tells people to type is typed at a terminal, and what it shows must appear.

How a block is read:

- A line that begins with ``$`` is a command; it goes on through here-documents, and over lines that end in a backslash.
- The lines after it are what it prints. ``…`` stands for anything within a line, and alone on a line for any lines.
- A command fails when it ends with anything but 0, or but what its own comment says: ``# exit code 1``.
- What does not end by itself is left running: a service once it is ready, others once they printed what is shown.
  ``^C`` among the lines is typed. At the end of the page it is typed to all that still runs, which must end well.

The blocks of a page share one folder and their variables, as in one shell. The folder is made as a fresh checkout, with
the environment of this one. Ports are free ones, brokers have names of their own, and the commands in `BOUNDED` are
shortened; everything else is done to the letter.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self

from tests.docs.pages import ROOT, Block
from tests.servers import free_ports

BOUNDED: Final = {
    "scripts/demo": "scripts/demo --seconds 4",
    "scripts/test": "scripts/test --unit -k test_paths",
    "scripts/test --unit": "scripts/test --unit -k test_paths",
    "scripts/test --lint": "bash -n scripts/test",
    "scripts/bench": "scripts/bench --help",
    "scripts/lock": "bash -n scripts/lock",
    ".venv/bin/ruff check --fix . && .venv/bin/ruff format .": ".venv/bin/ruff check docs",
}
"""Commands that take minutes, need a network or change files of the checkout, and what is run in their place."""

_WIDTH: Final = 120
_HEREDOC: Final = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_EXIT_CODE: Final = re.compile(r"#\s*exit code (\d+)")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
_SECONDS: Final = 100.0
_AT_TERMINAL: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp('bash', ['bash', '-c', sys.argv[1]])"
)
"""A shell for which Ctrl-C at its terminal is what it is for people: a signal to all that runs in the foreground."""


@dataclass
class Command:
    """One command of a block, with the lines that the page shows below it."""

    block: Block
    line: int
    text: str
    shown: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.block.page}:{self.line}: {self.text.splitlines()[0]}"

    @property
    def exit_code(self) -> int:
        found = _EXIT_CODE.search(self.text)
        return int(found[1]) if found else 0


def typed(block: Block) -> list[Command]:
    """The commands of a console block, in their order."""
    found: list[Command] = []
    lines = iter(enumerate(block.text.splitlines(), start=block.line + 1))
    for number, line in lines:
        if line.startswith("$ "):
            found.append(Command(block, number, _whole(line[2:], (text for _, text in lines))))
        elif found:
            found[-1].shown.append(line)
        else:
            raise AssertionError(f"{block}: a console block begins with a command, '$ …'")
    return found


def unwritten(text: str, *shown: str) -> Command:
    """A command that stands on no page."""
    return Command(Block("command", 0, "console", (), ""), 0, text, list(shown))


def _whole(line: str, following: Iterator[str]) -> str:
    """A command's first line, with the lines that belong to it."""
    text = line
    while text.endswith("\\"):
        text += "\n" + next(following)
    if here := _HEREDOC.search(text):
        for more in following:
            text += "\n" + more
            if more == here[2]:
                break
    return text


def pattern(lines: Iterable[str]) -> re.Pattern[str]:
    """What is shown, as a pattern for what is printed."""
    parts = [
        r"(?:[^\n]*\n)*?"
        if line.strip() == "…"
        else re.escape(line.rstrip()).replace("…", "[^\n]*") + r" *\n"
        for line in lines
    ]
    return re.compile("".join(parts))


class Process:
    """A command at a terminal of its own. What it prints, on stdout and stderr, is collected as people see it."""

    def __init__(self, text: str, folder: Path, environment: Mapping[str, str]) -> None:
        master, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
        self._master = master
        self._raw = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, text],
            cwd=folder,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        os.set_blocking(master, False)

    @property
    def printed(self) -> str:
        return _ESCAPES.sub("", self._raw.decode(errors="replace"))

    def read(self) -> None:
        """Take in what has been printed."""
        try:
            while piece := os.read(self._master, 65536):
                self._raw += piece
        except BlockingIOError:
            pass
        except OSError:  # the terminal is gone, as its last process is
            pass

    def wait(self, until: Callable[[], object] = lambda: False) -> None:
        """Wait for the end, or until something else is true."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            self.read()
            if ended or until():
                return
            time.sleep(0.02)
        raise AssertionError(f"not within {_SECONDS:.0f} s; until then it printed:\n{self.printed}")

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        os.write(self._master, b"\x03")

    def end(self) -> None:
        """End it and all that it started, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        os.close(self._master)


class Session:
    """A folder like a fresh checkout, and the commands typed in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port, self.api_port = map(str, free_ports(2))
        self._state = folder.parent / f"{folder.name}.variables"
        self._running: list[tuple[Command, Process]] = []
        venv = ROOT / ".venv" / "bin"
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG", "JAVA_HOME") if name in os.environ},
            "PATH": f"{venv}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "NO_COLOR": "1",
            **(environment or {}),
        }
        _checkout(folder)
        self._take_a_free_port()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.interrupt()
        finally:
            for _command, process in self._running:
                process.end()

    def interrupt(self) -> None:
        """Type Ctrl-C to all that still runs, the latest first; it must end well."""
        while self._running:
            command, process = self._running[-1]
            process.interrupt()
            process.wait()
            assert process.process.returncode == 0, f"{command}, after ^C:\n{process.printed}"
            self._running.pop()
            process.end()

    def type(self, command: Command) -> str:
        """Run one command as its page shows it; returns what it printed."""
        text = BOUNDED.get(_bare(command.text), command.text).replace("8088", self.port)
        text = text.replace("8089", self.api_port)
        process = Process(self._shell(text), self.folder, self.environment)
        try:
            return self._watch(command, process)
        except AssertionError as failed:
            raise AssertionError(f"{command}\n{failed}") from None
        finally:
            if process not in [running for _, running in self._running]:
                process.end()

    def _watch(self, command: Command, process: Process) -> str:
        shown = [] if _bare(command.text) in BOUNDED else command.shown
        shown = [line.replace("8089", self.api_port) for line in shown]
        seen = 0
        for part, interrupted in _parts(shown):
            wanted = pattern(part)
            if part:
                process.wait(until=partial(_find, wanted, process, seen))
                found = _find(wanted, process, seen)
                assert found, f"shown:\n{_text(part)}\nprinted:\n{process.printed[seen:]}"
                seen = found.end()
            if interrupted:
                process.interrupt()
        if _goes_on(command.text) and "^C" not in shown:
            if "streamguard run" in command.text:
                process.wait(until=self._is_ready)
            if "streamguard api" in command.text:
                process.wait(until=lambda: "api.started" in process.printed)
            assert process.process.poll() is None, f"it ended:\n{process.printed}"
            self._running.append((command, process))
            return process.printed
        process.wait()
        code = process.process.returncode
        assert code == command.exit_code, f"exit code {code}, printed:\n{process.printed}"
        return process.printed

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _shell(self, text: str) -> str:
        """A command between the variables that earlier ones left and those that it leaves."""
        state = shlex.quote(str(self._state))
        return f"set -a; [ ! -e {state} ] || . {state}\ntrap 'export -p > {state}' EXIT\n{text}\n"

    def _take_a_free_port(self) -> None:
        file = self.folder / "streamguard.yaml"
        file.write_text(file.read_text().replace("8088", self.port))


def _parts(shown: list[str]) -> list[tuple[list[str], bool]]:
    """Shown lines, cut at each ``^C``; true where one follows."""
    parts: list[tuple[list[str], bool]] = [([], False)]
    for line in shown:
        if line.startswith("^C"):
            parts[-1] = (parts[-1][0], True)
            parts.append(([], False))
        else:
            parts[-1][0].append(line)
    return parts


def _find(wanted: re.Pattern[str], process: Process, since: int) -> re.Match[str] | None:
    return wanted.search(process.printed, since)


def _goes_on(text: str) -> bool:
    """Commands that do not end by themselves."""
    return bool(re.search(r"streamguard (run\b|api\b|demo$|violations tail\b.*(--follow|-f\b))", text))


def _bare(text: str) -> str:
    """A command without its comment."""
    return re.sub(r"\s+#.*$", "", text)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _checkout(folder: Path) -> None:
    """A copy of the files, with this checkout's own environment and scripts: nothing is set up or started twice."""
    shutil.copytree(
        ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.db*", "*.key", "keys")
    )
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for script in (ROOT / "scripts").iterdir():
        if script.is_file() and os.access(script, os.X_OK):
            place = folder / "scripts" / script.name
            place.write_text(f'#!/bin/sh\nexec {shlex.quote(str(script))} "$@"\n')
