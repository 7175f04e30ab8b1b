"""Signals, from the first moment of a process to its last."""

import os
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.waiting import until

PRELUDE = """
import asyncio, os, signal, sys, time
from streamguard import logs
from streamguard.streams.signals import Signals
logs.setup("text", "info")
signals = Signals()
"""


def start(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


RUNS = """
async def main():
    stop = asyncio.Event()
    signals.deliver_to(asyncio.get_running_loop(), stop=stop.set, reload=lambda: print("reload", flush=True))
    print("ready", flush=True)
    await stop.wait()
asyncio.run(main())
print("after", flush=True)
time.sleep(0.5)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_before_there_is_anything_to_stop_a_stop_ends_it(number):
    with start("print('ready', flush=True); time.sleep(30)") as process:
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""


@pytest.mark.parametrize("left", ["raise ValueError", "asyncio.run(main())"])
def test_a_stop_that_something_made_another_exception_of_or_none_is_still_a_stop(left: str):
    code = f"""
    async def main():
        signals.deliver_to(asyncio.get_running_loop(), stop=None, reload=None)
        print("runs", flush=True)
    with signals:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            pass
        {left}
    """
    with start(code) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")


def test_before_there_is_anything_to_reload_a_hangup_is_nothing():
    with start("print('ready', flush=True); time.sleep(0.3); print('on', flush=True)") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "on\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_stop_is_harmless_even_after_the_loop(number):
    with start(RUNS) as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.readline() == "after\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.count("process.signal") == 1
    assert "Traceback" not in errors


def test_a_hangup_reloads():
    with start(RUNS) as process:
        process.stdout.readline()
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "reload\n"
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_terminal_that_is_closed_is_an_end_and_no_reload(tmp_path):
    pid, terminal = pty.fork()
    if pid == 0:
        output = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execv(sys.executable, [sys.executable, "-c", PRELUDE + RUNS])  # noqa: S606
    output = tmp_path / "out"
    until(lambda: output.exists() and "ready" in output.read_text())
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "reload" not in output.read_text()
