"""A broker that goes away amid the work of a whole service, and comes back."""

import pytest

from tests.ordeal import Site
from tests.waiting import until

COUNT = 150_000

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_a_service_outlives_its_broker_and_repeats_nothing(second_kafka, tmp_path):
    site = Site(tmp_path / "service", second_kafka.bootstrap)
    site.create_topics()
    site.write(COUNT)
    with site.folder.running("--processes", "2", "--slot", "patient") as service:
        children = service.children()
        for end_it in (second_kafka.stop, second_kafka.kill):
            begun = site.committed()
            until(lambda begun=begun: site.committed() > begun + 3_000, within=60, what=service.last_words)
            assert site.committed() < COUNT  # or it would strike when all is done
            end_it()
            until(lambda: service.get("/health/ready")[0] == 503, what=service.last_words)
            # Restarting it would help nobody: it is alive, and says what it waits for.
            assert service.get("/health/live")[0] == 200
            second_kafka.start()
        site.until_done(service)
        service.until_ready()
        assert service.children() == children
        assert service.stop() == 0
        assert "Traceback" not in service.said()

    books = site.close_books()
    site.close()
    assert books.problems == []
    assert books.counts["source"] == COUNT
