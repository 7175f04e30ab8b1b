"""The audit topic while its broker goes away and comes back."""

from datetime import UTC, datetime
from functools import partial

import pytest

from streamguard.access.errors import AuditUnavailableError
from streamguard.policy.service import Service
from streamguard.store.audit import HeadRow
from streamguard.streams.audit import AuditTopic, published_heads
from tests.servers import LOSSY, Broker
from tests.waiting import until


def head(seq: int) -> HeadRow:
    return HeadRow(seq=seq, hash=b"h" * 32, signature=b"s" * 64, signed_at=datetime.now(UTC))


def takes(topic: AuditTopic, one: HeadRow) -> bool:
    try:
        topic.publish(one)
    except AuditUnavailableError:
        return False
    return True


def test_heads_are_published_again_once_the_broker_is_back(second_kafka: Broker):
    """Clients that ask for brokers so often are told by the one that ends that there are none: they are made anew."""
    service = Service.model_validate({"kafka": {"bootstrap.servers": second_kafka.address, **LOSSY}})
    topics = [AuditTopic(service, "heads") for _ in range(5)]  # about half of them are
    for topic in topics:
        topic.publish(head(1))
    second_kafka.stop()
    with pytest.raises(AuditUnavailableError):
        topics[0].publish(head(2))
    second_kafka.start()
    for seq, topic in enumerate(topics, start=3):
        until(partial(takes, topic, head(seq)))
    assert {found.seq for found in published_heads(service, "heads") if found} >= {1, 3, 4, 5, 6, 7}
