"""What a slice gives back is there for the next: counted in a process of its own, whose heap nobody else has shaped."""

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import gc, resource
from streamguard.guard.heap import settle

def faults():
    letter, before = b"x", resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        slice_ = [letter * 1_000 for _ in range(1_000)]
        del slice_
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

restless = faults()
settle()
faults()
print(restless, faults(), gc.get_freeze_count())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc's heap can be told")
def test_a_settled_heap_takes_no_page_twice():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    restless, settled, frozen = map(int, done.stdout.split())
    assert restless > 50 * 100  # a hundred pages and more, each time
    assert settled < restless / 50
    assert frozen > 1_000
