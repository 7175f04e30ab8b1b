"""What holds a parent and its children together."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.streams.child import Birth
from streamguard.streams.lifeline import Lifeline, pair
from tests.waiting import until


def test_messages_arrive_whole_and_in_order():
    async def talk():
        ends = [await Lifeline.open(end) for end in pair()]
        sent = [{"n": n, "text": "ä\n" * n * 1000} for n in range(50)]
        for message in sent:
            ends[0].send(message)
        received = [await ends[1].receive() for _ in sent]
        ends[0].close()
        assert await ends[1].receive() is None
        ends[1].send({"nobody": "listens"})
        ends[1].close()
        return sent, received

    sent, received = asyncio.run(talk())
    assert received == sent


@pytest.mark.parametrize("bytes_", [b"", b'{"cut": "of', b"[]\n", b"nonsense\n"])
def test_what_is_no_message_is_the_end(bytes_):
    async def talk():
        ours, theirs = pair()
        theirs.sendall(bytes_)
        theirs.close()
        lifeline = await Lifeline.open(ours)
        try:
            return await lifeline.receive()
        finally:
            lifeline.close()

    assert asyncio.run(talk()) is None


CHILD = """
import sys, time
from streamguard.streams.child import become_child
lifeline, birth = become_child(int(sys.argv[1]))
from streamguard.metrics import RELOADS
RELOADS.labels("applied").inc()
lifeline.sendall(b"born as " + birth.slot.encode())
time.sleep(60)
"""

PARENT = """
import os, subprocess, sys, time
from streamguard.streams.child import Birth
from streamguard.streams.lifeline import pair
ours, theirs = pair()
ours.sendall(Birth(os.getpid(), 1, "a-1", True, sys.argv[2]).encode())
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(theirs.fileno())], pass_fds=[theirs.fileno()])
assert ours.recv(100) == b"born as a-1"
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until(lambda: not is_there(child), what="the child is gone")


def test_a_child_whose_parent_was_gone_before_it_began(tmp_path):
    ours, theirs = pair()
    nobody = Birth(parent=os.getpid() + 1, number=0, slot="a-0", permanent=False, metrics=str(tmp_path))
    ours.sendall(nobody.encode())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    ours.close()
    theirs.close()


def test_a_child_that_hears_nothing_ends():
    ours, theirs = pair()
    ours.close()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        check=False,
        timeout=60,
    )
    theirs.close()
    assert done.returncode == 1


def test_birth_is_one_line():
    line = Birth(1, 2, "a-2", permanent=True, metrics="folder").encode()
    assert line.count(b"\n") == 1
    assert json.loads(line)["slot"] == "a-2"


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
