"""How a lane looks for the record that the broker refused."""

import pytest

from streamguard.errors import StreamGuardError
from streamguard.guard.batch import Batch
from streamguard.streams.client import KafkaTrouble
from streamguard.streams.delivery import Undone
from tests.lanes import Site, document


@pytest.fixture
def lane(monkeypatch):
    """A lane whose producer is told of a refusal while it is handed its first slice: nothing else has been sent."""
    lane = Site("127.0.0.1:1", "people").lane()

    def begin(consumer):
        lane._delivery.is_open = True

    def send(*columns):
        lane._delivery.refusal = "invalid"
        raise Undone("invalid_record")

    monkeypatch.setattr(lane._delivery, "begin", begin)
    monkeypatch.setattr(lane._delivery, "send", send)
    monkeypatch.setattr(lane._delivery, "abort", lane._delivery.close)
    monkeypatch.setattr(lane, "_learn_outputs", lambda: None)
    return lane


def refused(lane, offsets):
    with pytest.raises(Undone) as undone:
        lane._carry(Batch("people", [document(n) for n in offsets], offsets=list(offsets)))
    lane._set_back(undone.value.code)


def test_the_slice_in_hand_is_among_the_suspects(lane):
    refused(lane, range(100, 164))
    assert (lane._search.most, lane._search.found) == (8, {})
    refused(lane, range(100, 108))
    assert (lane._search.most, lane._search.found) == (1, {})
    refused(lane, range(100, 101))
    assert list(lane._search.found) == [(0, 100)]


def test_a_broker_that_is_away_meanwhile_does_not_end_the_search(lane, monkeypatch):
    def away():
        raise KafkaTrouble("transport", "No Kafka broker answers.")

    monkeypatch.setattr(lane, "_learn_outputs", away)
    refused(lane, range(100, 101))
    assert list(lane._search.found) == [(0, 100)]


def test_what_waiting_does_not_mend_ends_the_lane(lane, monkeypatch):
    def forbidden():
        raise KafkaTrouble("topic_authorization_failed", "Kafka does not allow it.")

    monkeypatch.setattr(lane, "_learn_outputs", forbidden)
    with pytest.raises(StreamGuardError, match="does not allow"):
        refused(lane, range(100, 101))
