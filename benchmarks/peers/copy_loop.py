"""The least that can stand between two topics: confluent-kafka's consumer and producer, and no look at the record."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, Message, Producer

from benchmarks.peers.options import Options, parse

BATCH = 1000


def main() -> None:
    options = parse()
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer(
        {"bootstrap.servers": options.bootstrap, "acks": "all"}
        | ({"transactional.id": options.group} if options.exactly_once else {"enable.idempotence": True})
    )
    if options.exactly_once:
        producer.init_transactions()
    consumer.subscribe([options.source])
    while True:
        copy_interval(consumer, producer, options)


def copy_interval(consumer: Consumer, producer: Producer, options: Options) -> None:
    """Copy what one commit interval brings, then commit it."""
    deadline = time.monotonic() + options.commit_ms / 1000
    copied = 0
    if options.exactly_once:
        producer.begin_transaction()
    while time.monotonic() < deadline:
        for message in consumer.consume(BATCH, timeout=0.05):
            if message.error() is None:
                produce(producer, options.sink, message)
                copied += 1
        producer.poll(0)
    if options.exactly_once:
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
        producer.commit_transaction()
    else:
        producer.flush()
        if copied:
            consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)


def produce(producer: Producer, topic: str, message: Message) -> None:
    """Hand over one record whole: value, key, partition, timestamp, headers."""
    while True:
        try:
            producer.produce(
                topic,
                message.value(),
                message.key(),
                message.partition(),
                timestamp=message.timestamp()[1],
                headers=message.headers(),
            )
            return
        except BufferError:  # the queue is full: what was produced first must leave
            producer.poll(0.01)


if __name__ == "__main__":
    main()
