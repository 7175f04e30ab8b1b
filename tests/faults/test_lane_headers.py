"""A header whose name is no text: Kafka takes it, and our client library cannot tell it."""

import ctypes
import importlib.metadata

from tests.lanes import document, open_site, read
from tests.waiting import until

# librdkafka's rd_kafka_vtype_t
_END, _TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADER = 0, 1, 3, 4, 7, 9
_COPY = 2


def send_with_header(kafka: str, topic: str, value: bytes, name: bytes) -> None:
    """Produce as a client in C would: confluent-kafka takes names of text only."""
    (path,) = [
        str(file.locate())
        for file in importlib.metadata.files("confluent-kafka") or ()
        if file.name.startswith("librdkafka") and ".libs" in str(file)
    ]
    library = ctypes.CDLL(path)
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    trouble = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(settings, b"bootstrap.servers", kafka.encode(), trouble, 512)
    producer = ctypes.c_void_p(library.rd_kafka_new(0, settings, trouble, 512))
    number, size, text = ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
    failed = library.rd_kafka_producev(
        producer,
        *(number(_TOPIC), text(topic.encode())),
        *(number(_PARTITION), ctypes.c_int32(0)),
        *(number(_VALUE), text(value), size(len(value))),
        *(number(_FLAGS), number(_COPY)),
        *(number(_HEADER), text(name), text(b"CANARY"), ctypes.c_ssize_t(6)),
        number(_END),
    )
    assert not failed
    assert not library.rd_kafka_flush(producer, 10_000)
    library.rd_kafka_destroy(producer)


def test_an_unreadable_header_is_a_violation_and_ends_nothing(kafka):
    with open_site(kafka) as site:
        site.send([document(0)])
        send_with_header(kafka, site.source, document(1), b"caf\xe9")
        site.send([document(2)])

        with site.running() as lane:
            clean = read(kafka, site.clean, at_least=2)
            (violation,) = read(kafka, site.violations, at_least=1)
            until(lambda: site.committed(1)[0] >= 3, what="the commit")
            assert lane.state == "running"

        assert [message.key() for message in clean] == [b"k0", b"k0"]
        assert b'"code":"decode.headers"' in violation.value()
        assert b"CANARY" not in violation.value()
