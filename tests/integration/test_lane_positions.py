"""Lag must read 0 when all is done: positions are committed behind the markers that end a source's transactions."""

import pytest
from confluent_kafka import Producer

from tests.lanes import document, open_site, until

pytestmark = pytest.mark.timeout(60)


def test_a_source_written_in_transactions_is_committed_to_its_very_end(kafka: str):
    with open_site(kafka) as site:
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": site.source})
        producer.init_transactions(30)
        for commits in (True, False, True):
            producer.begin_transaction()
            for n in range(5_000):
                producer.produce(site.source, document(n))
            producer.flush(30)
            producer.commit_transaction(30) if commits else producer.abort_transaction(30)
        with site.running():
            # The lane is slower than its consumer here, so the last records and the partition's end are one slice.
            until(lambda: site.committed(1) == [3 * (5_000 + 1)], within=20)
