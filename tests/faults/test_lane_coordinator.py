"""A group's coordinator that moves to another broker while a lane asks it for its position."""

import json

import pytest
from confluent_kafka import KafkaError

from tests.lanes import Site, at_work, document, read
from tests.scripted_broker import OFFSET_FETCH, ScriptedBroker
from tests.waiting import until


@pytest.fixture
def site():
    broker = ScriptedBroker()
    site = Site(broker.address, "people")
    broker.create([site.source, site.clean, site.violations])
    yield site, broker
    broker.close()


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE])
def test_a_position_that_could_not_be_learnt_is_asked_for_again(site, code):
    """librdkafka does not ask twice, and a partition without a position stands still for ever (its issue 5586)."""
    site, broker = site

    def arrived() -> set[int]:
        return {json.loads(message.value() or b"")["n"] for message in read(site.kafka, site.clean)}

    with at_work(site.lane()) as lane:
        until(lambda: lane.partitions)
        site.send([document(0)])
        until(lambda: 0 in arrived())
        lane.pause()
        until(lambda: lane.state == "paused")
        broker.fail(OFFSET_FETCH, code, code)
        lane.resume()
        site.send([document(1)])
        until(lambda: 1 in arrived(), what=lambda: f"the lane is {lane.state}, {lane.reason}")
