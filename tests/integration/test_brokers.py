"""The brokers that the other tests stand on: scripts/kafka, as people and fixtures use it."""

import subprocess
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers import Broker

SCRIPT = Broker.script()


def kafka_script(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=100
    )


def write(bootstrap, topic, value):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"writer-{topic}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.commit_transaction(60)


def read(bootstrap, topic, count):
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"reader-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    values = []
    while len(values) < count:
        values += [message.value() for message in consumer.consume(count - len(values), timeout=1.0)]
    consumer.close()
    return values


def test_topic_fixture_creates_what_was_asked_for(kafka, topic):
    name = topic("orders", partitions=3)
    other = topic("orders")

    described = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=30).topics

    assert name != other
    assert len(described[name].partitions) == 3
    assert len(described[other].partitions) == 1


def test_a_topic_that_nobody_created_does_not_appear(kafka):
    client = AdminClient({"bootstrap.servers": kafka})

    assert (
        client.list_topics("nobody-created-this", timeout=30).topics["nobody-created-this"].error is not None
    )
    assert "nobody-created-this" not in client.list_topics(timeout=30).topics


def test_a_broker_keeps_address_and_records_over_stop_and_kill(second_kafka):
    address = second_kafka.bootstrap
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(timeout=60)
    write(address, "kept", b"before the stop")

    second_kafka.stop()
    assert kafka_script("status", "--name", second_kafka.name).returncode == 1
    assert second_kafka.start() == address
    write(address, "kept", b"before the kill")

    second_kafka.kill()
    assert second_kafka.start() == address
    assert read(address, "kept", 2) == [b"before the stop", b"before the kill"]


def test_start_prints_the_address_last_and_twice_is_the_same_broker(second_kafka):
    again = kafka_script("start", "--name", second_kafka.name)

    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == second_kafka.bootstrap
    assert kafka_script("status", "--name", second_kafka.name).stdout.strip() == second_kafka.bootstrap


def test_delete_leaves_nothing_behind(start_broker):
    broker = start_broker()
    assert (broker.folder / "data" / "meta.properties").exists()

    broker.delete()

    assert not broker.folder.exists()
