"""The embedded broker: other clients reach it, and it ends when it is closed."""

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamguard.demo.broker import PARTITIONS, EmbeddedBroker


@pytest.fixture
def broker():
    broker = EmbeddedBroker()
    yield broker
    broker.close()


def test_a_record_goes_in_and_comes_out(broker):
    broker.create(["orders", "orders.clean"])
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce("orders", b"value", key=b"key", partition=2)
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition("orders", 2, 0)])
    message = consumer.poll(10)
    consumer.close()
    assert (message.key(), message.value(), message.partition()) == (b"key", b"value", 2)


def test_topics_are_there_once_they_are_created(broker):
    broker.create(["orders", "orders.clean"])
    topics = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "orders": PARTITIONS,
        "orders.clean": PARTITIONS,
    }


def test_nobody_answers_after_it_is_closed(broker):
    address = broker.address
    broker.close()
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1)
