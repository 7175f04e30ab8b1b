"""`streamguard init` on a real topic: its latest or oldest records, with their keys, and nothing left in Kafka."""

import json
import subprocess

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamguard.policy.loader import load_policy
from tests.service import STREAMGUARD


def write(kafka, topic, records):
    producer = Producer({"bootstrap.servers": kafka})
    for number, (key, value) in enumerate(records):
        producer.produce(topic, value, key=key, timestamp=1_767_225_600_000 + number)
    assert producer.flush(30) == 0


def person(number, **more):
    return json.dumps(
        {"customer": {"id": f"C{number}", "email": f"person{number}@example.net"}, **more}
    ).encode()


@pytest.fixture
def init(kafka, tmp_path):
    def init(topic, *arguments, code=0):
        broker = ("--bootstrap-servers", kafka) if "-c" not in arguments else ()
        command = [str(STREAMGUARD), "init", "--topic", topic, *broker, "--json", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    return init


def test_the_latest_records_of_a_topic_with_their_keys(kafka, topic, init, tmp_path):
    name = topic("people", partitions=3)
    write(kafka, name, [(f"C{n}".encode(), person(n, **({"old": n} if n < 50 else {}))) for n in range(200)])
    report = init(name, "-n", "100", "--name", "people")
    assert (report["records"], report["clean"]) == (100, 100)
    assert {field["path"] for field in report["fields"]} == {"customer.id", "customer.email"}
    assert report["key"]["treatment"] == f"{{tokenize: {{}}, element: {name}.customer.id}}"
    policy = load_policy(tmp_path / "policies" / "people.yaml").policy
    assert (policy.topic, policy.key.element) == (name, f"{name}.customer.id")
    groups = AdminClient({"bootstrap.servers": kafka}).list_consumer_groups().result(30).valid
    assert not [group for group in groups if "reader" in group.group_id]
    assert "example.net" not in "".join(path.read_text() for path in tmp_path.rglob("*.*") if path.is_file())


def test_the_oldest_records_through_the_service_file(kafka, topic, init, tmp_path):
    name = topic("people")
    write(kafka, name, [(None, person(n, **({"old": n} if n < 50 else {}))) for n in range(200)])
    (tmp_path / "streamguard.yaml").write_text(f"kafka: {{bootstrap.servers: '{kafka}'}}\n")
    report = init(name, "-n", "50", "--oldest", "-c", "streamguard.yaml", "--name", "people")
    assert report["records"] == 50
    assert "old" in {field["path"] for field in report["fields"]}
    assert report["key"]["reason"].startswith("No record that was read had a key")


def test_tombstones_and_what_cannot_be_read(kafka, topic, init):
    name = topic("people")
    write(kafka, name, [(b"a", person(1)), (b"a", None), (b"b", b"secretdata"), (b"c", person(2))])
    report = init(name, "--name", "people")
    assert (report["records"], report["tombstones"], report["unreadable"]) == (2, 1, {"decode.json": 1})


def test_values_that_are_framed_for_a_registry(kafka, topic, init, tmp_path):
    name = topic("people")
    write(kafka, name, [(b"a", b"\x00\x00\x00\x00\x07secretdata")])
    said = init(name, "--name", "people", code=1)
    assert "framed for a Schema Registry" in said
    assert "secretdata" not in said
    assert not (tmp_path / "policies").exists()


def test_a_topic_that_is_empty_or_not_there(topic, init):
    name = topic("people")
    assert f"The topic '{name}' holds no records." in init(name, code=1)
    assert "does not exist" in init(f"{name}-not", code=1)
