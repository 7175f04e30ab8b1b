"""Two services under one slot: one of them gives way, says why, and no record comes out twice."""

import time

import pytest

from tests.ordeal import Feed, Site
from tests.service import Running
from tests.waiting import until

COUNT = 40_000
IN_USE = "is in use elsewhere"

pytestmark = pytest.mark.long


@pytest.fixture
def site(kafka, tmp_path):
    site = Site(tmp_path / "service", kafka)
    site.create_topics()
    yield site
    site.close()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_of_two_services_with_one_slot_one_gives_way(site, processes):
    options = ("--slot", "only", "--processes", processes)
    feed = Feed(site, COUNT)
    feed.allow(COUNT // 4)
    with site.folder.running(*options) as first, site.folder.running(*options, wait=False) as second:
        feed.allow(COUNT)
        loser, winner = _loser_and_winner(first, second)
        assert loser.process.returncode == 1
        assert IN_USE in loser.said()
        assert "Give each process a slot of its own" in loser.said()
        assert "Traceback" not in loser.said()

        feed.finish()
        site.until_done(winner)
        # It would not be enough for one to end: the other must not have been worn down too.
        time.sleep(2)
        winner.until_ready()
        assert IN_USE not in winner.said()
        assert winner.stop() == 0

    assert site.close_books().problems == []


def _loser_and_winner(*services: Running) -> tuple[Running, Running]:
    """The one that ended by itself, and the one that goes on."""
    until(
        lambda: any(service.process.poll() is not None for service in services),
        within=90,
        what="one of the two gives way; they said:\n"
        + "\n---\n".join(service.said()[-2000:] for service in services),
    )
    return tuple(sorted(services, key=lambda service: service.process.poll() is None))  # type: ignore[return-value]
