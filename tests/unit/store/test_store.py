"""The store as a whole: opened by its address, on both databases."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from streamguard.errors import ConfigError
from streamguard.store.store import open_store
from tests.unit.store.rows import PINNED, ROW


def test_opening_again_changes_nothing(url, opened):
    opened(url).keys.add(ROW)
    for create in (True, False):
        assert opened(url, create=create).keys.all() == [ROW]
    opened(url).health()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_is_its_own(url, opened):
    one, other = opened(url), opened(url)
    assert one.keys.add(ROW)
    assert one.keys.get(ROW.id) == ROW
    assert other.keys.all() == []


def test_many_threads_open_a_new_store_at_once(url, opened):
    start = Barrier(8)

    def work(number):
        start.wait()
        return opened(url).keys.add(PINNED)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 1
    assert opened(url).keys.all() == [PINNED]


PROCESS = """
import sys
from datetime import UTC, datetime
from streamguard.store.keys import KeyRow
from streamguard.store.store import open_store
store = open_store(sys.argv[1])
for version in range(20):
    store.keys.add(KeyRow(f"{sys.argv[2]}-{version}", "email", "d", version, b"wrapped", "local:1", datetime.now(UTC)))
"""


def test_many_processes_pin_one_key_per_version(url, opened):
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, url, str(number)]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert sorted(row.version for row in opened(url).keys.all()) == list(range(20))


@pytest.mark.parametrize(
    "url", ["", "keys.db", "oracle://scott:tiger@host/db", "mysql://me:secret@host/db", "x y"]
)
def test_addresses_that_are_not_ours(url):
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert "sqlite:///" in caught.value.remedy
    assert "postgresql://" in caught.value.remedy
    assert "secret" not in str(caught.value)
