"""The demo, whole: the real service on the embedded broker. Needs nothing that is not in the repository."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.service import STREAMGUARD
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DEMO = [str(STREAMGUARD), "demo"]
FOLDER = "streamguard-demo-*"


@pytest.fixture
def temporary(tmp_path):
    """An environment whose temporary files are this test's."""
    return tmp_path, {**os.environ, "TMPDIR": str(tmp_path)}


def left_behind(folder):
    return list(folder.glob(FOLDER))


def services_of(process_group_leader):
    """The processes that a demo has started."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process_group_leader)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def test_it_runs_for_so_many_seconds_and_sums_up(temporary):
    folder, environment = temporary
    done = subprocess.run(
        [*DEMO, "--seconds", "5", "--rate", "300", "--faults", "0.2"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    taken = re.search(
        r"took ([\d,]+) orders in \d+ s: ([\d,]+) left protected, ([\d,]+) were rejected", done.stdout
    )
    orders, clean, rejected = (int(number.replace(",", "")) for number in taken.groups())
    assert orders == clean + rejected
    assert orders > 300
    assert rejected > 30
    assert "each once; no name, e-mail, phone, SSN or card number leaked" in done.stdout
    for code in (
        "decode.json",
        "schema.type",
        "schema.undeclared",
        "quality.negative_amount",
        "inspect.card",
    ):
        assert code in done.stdout
    assert "\x1b" not in done.stdout
    assert left_behind(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(temporary, number):
    folder, environment = temporary
    with subprocess.Popen(
        [*DEMO, "--seconds", "600"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "orders in" in line:
                break
        (service,) = services_of(process.pid)
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert "each once" in rest
    assert left_behind(folder) == []
    assert not Path(f"/proc/{service}").exists()


def test_a_signal_before_the_first_order_ends_it_too(temporary):
    folder, environment = temporary
    with subprocess.Popen(
        DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if "service process" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0
    assert left_behind(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_service_does_not_outlive_a_demo_that_is_killed(temporary):
    _, environment = temporary
    with subprocess.Popen(
        DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            if "orders in" in line:
                break
        (service,) = services_of(process.pid)
        process.kill()
        process.wait(60)
        until(lambda: not Path(f"/proc/{service}").exists())


def test_a_service_that_ends_by_itself_is_told_with_its_last_words(temporary):
    folder, environment = temporary
    with subprocess.Popen(
        [*DEMO, "--seconds", "600"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "orders in" in line:
                break
        (service,) = services_of(process.pid)
        os.kill(service, signal.SIGTERM)
        assert process.wait(60) == 1
        told = process.stderr.read()
    assert "The service ended by itself." in told
    assert "process.stopped" in told
    assert left_behind(folder) == []


def test_on_a_terminal_it_draws_and_gives_the_terminal_back(temporary):
    folder, environment = temporary
    ours, theirs = pty.openpty()
    os.set_blocking(ours, True)
    with subprocess.Popen(
        [*DEMO, "--seconds", "4"],
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "34"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = []

        def read():
            while True:
                try:
                    data = os.read(ours, 65536)
                except OSError:
                    return
                if not data:
                    return
                shown.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        assert process.wait(120) == 0
        reader.join(10)
    os.close(ours)
    text = b"".join(shown).decode(errors="replace")
    screen, after = text.rsplit(
        "\x1b[?1049l", 1
    )  # leaves the second screen, and with it what was there before
    assert screen.count("\x1b[?1049h") == 1
    for words in ("customer.email", "sg1.d.", "violations by code", "Ctrl-C ends it"):
        assert words in screen
    assert "left protected" in after
    assert left_behind(folder) == []


def test_scripts_demo_sets_up_and_passes_its_options_on():
    done = subprocess.run(
        [ROOT / "scripts" / "demo", "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--seconds" in done.stdout


def test_wrong_options_are_told():
    done = subprocess.run([*DEMO, "--faults", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--faults" in done.stderr
