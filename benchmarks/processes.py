"""Programs under measurement: started, watched through /proc, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENDS_WITHIN: Final = 20.0  # seconds after SIGTERM; then SIGKILL


class Ended(Exception):
    """A program under measurement ended by itself; the message holds the end of what it printed."""


class Program:
    """A running program with all processes it started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raise Ended when it no longer runs."""
        if self._process.poll() is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise Ended(f"exit code {self._process.returncode}:\n{tail}")

    def cpu(self) -> float:
        """Seconds of CPU used so far, in user and system mode, by it and its living children."""
        return sum(_cpu(pid) for pid in self._family())

    def rss(self) -> int:
        """Resident bytes of it and its living children."""
        return sum(_rss(pid) for pid in self._family())

    def _family(self) -> list[int]:
        family = [self._process.pid]
        for pid in family:  # grows while it is walked
            for task in _children(pid):
                family.extend(task)
        return family


def _children(pid: int) -> Iterator[list[int]]:
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield [int(child) for child in listed.read_text().split()]


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        # proc(5): after the name in parentheses, utime and stime are fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Program]:
    """Run `command`, its output in `log`; ended with SIGTERM on the way out."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield Program(process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
