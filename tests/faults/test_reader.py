"""Who follows a topic while its broker goes away and comes back."""

from contextlib import ExitStack

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamguard.policy.service import Service
from streamguard.streams.reader import Reader
from tests.servers import LOSSY, Broker
from tests.waiting import until


def test_records_that_come_after_a_restart_are_shown(second_kafka: Broker):
    """Clients that ask for brokers so often are told by the one that ends that there are none: they are made anew."""
    service = Service.model_validate({"kafka": {"bootstrap.servers": second_kafka.address, **LOSSY}})
    admin = AdminClient({"bootstrap.servers": second_kafka.address})
    admin.create_topics([NewTopic("people", 1, 1)])["people"].result(timeout=60)
    producer = Producer({"bootstrap.servers": second_kafka.address})
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(service, ["people"])).for_ever() for _ in range(5)]
        shown: list[list[bytes]] = [[] for _ in readers]

        def shows(value: bytes) -> bool:
            for reader, values in zip(readers, shown, strict=True):
                message = next(reader)
                if message is not None:
                    values.append(message.value() or b"")
            return all(value in values for values in shown)

        producer.produce("people", b"before")
        until(lambda: shows(b"before"))
        second_kafka.stop()
        second_kafka.start()
        producer.produce("people", b"after")
        assert producer.flush(60) == 0
        until(lambda: shows(b"after"), within=120)
    assert shown == [[b"before", b"after"]] * 5
