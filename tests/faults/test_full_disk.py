"""A full disk under the store: told at the start, waited out at work. Nothing passes meanwhile, nothing is lost."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.ordeal import Site
from tests.waiting import until

COUNT = 2_000

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


class SmallDisk:
    """A file system of half a megabyte at `path`, which only processes started with `inside` see."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._shell = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        target = ("--target", str(self._shell.pid))
        self.inside = ("nsenter", "--user", "--preserve-credentials", "--mount", *target)

    def mount(self) -> bool:
        """True when this machine lets us."""
        return self._do(f"mount -t tmpfs -o size=512k none '{self.path}' && echo mounted") == ["mounted"]

    def fill(self) -> None:
        """Leave no room at all."""
        self._do(f"cat /dev/zero > '{self.path}/filler'")
        assert self._do(f"echo more > '{self.path}/more'; cat '{self.path}/more'")[-1:] != ["more"]

    def free(self) -> None:
        """Give all room back."""
        self._do(f"rm '{self.path}/filler' '{self.path}/more'")

    def copy_out(self, name: str, to: Path) -> None:
        """Bring a file out, for those outside."""
        self._do(f"cp '{self.path}/{name}' '{to}'")

    def close(self) -> None:
        self._shell.communicate(timeout=60)

    def _do(self, command: str) -> list[str]:
        """Run a command in there; returns the lines it said."""
        if self._shell.poll() is not None:
            return []
        self._shell.stdin.write(f"{{ {command}; }} 2>&1; echo; echo .done\n")
        self._shell.stdin.flush()
        said = list(iter(self._shell.stdout.readline, ".done\n"))
        return [line.strip() for line in said if line.strip()]


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "small")
    if not disk.mount():
        disk.close()
        pytest.skip("no file systems can be mounted here (unprivileged user namespaces, or root, are needed)")
    yield disk
    disk.close()


@pytest.fixture
def site(kafka, tmp_path, disk):
    site = Site(tmp_path / "service", kafka, store={"url": f"sqlite:///{disk.path}/keys.db"})
    site.create_topics()
    yield site
    site.close()


def test_a_full_disk_is_told_at_the_start(site, disk):
    site.write(COUNT)
    disk.fill()
    with site.folder.running(within=disk.inside, wait=False) as service:
        assert service.ended(90) == 1
    said = service.said()
    assert "error: The disk under the store is full." in said
    assert "Make room" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 2
    assert site.committed() == 0

    disk.free()
    with site.folder.running(within=disk.inside) as service:
        site.until_done(service)
        assert service.stop() == 0
    _assert_all_came_out(site, disk)


def test_a_disk_that_fills_up_at_work_is_waited_out(site, disk):
    with site.folder.running("--processes", "2", within=disk.inside) as service:
        disk.fill()
        site.write(COUNT)
        until(lambda: b"keys_unavailable" in service.get("/health/ready")[1], what=service.last_words)
        status, body = service.get("/health/ready")
        assert status == 503
        waiting = [lane for slot in json.loads(body)["slots"] for lane in slot["lanes"] if not lane["ready"]]
        assert waiting
        assert {(lane["state"], lane["reason"]) for lane in waiting} == {("paused", "keys_unavailable")}
        assert service.get("/health/live")[0] == 200
        assert site.committed() == 0

        disk.free()
        site.until_done(service)
        service.until_ready()
        assert service.stop() == 0
    _assert_all_came_out(site, disk)


def _assert_all_came_out(site: Site, disk: SmallDisk) -> None:
    copy = site.folder.path / "copy.db"
    disk.copy_out("keys.db", copy)
    site.folder.configure(store={"url": f"sqlite:///{copy}"})
    books = site.close_books()
    assert books.problems == []
    assert books.counts["source"] == COUNT
