"""`streamguard init` on a real topic: its latest or oldest records, with their keys, and nothing left in Kafka."""

import json
import subprocess
from contextlib import closing
from datetime import date

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from streamguard.crypto.keyring import Keyring
from streamguard.formats.registry import open_registry
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.guard.registered import RegisteredCorridors
from streamguard.policy.loader import load_policy
from streamguard.policy.registry import RegistrySettings
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
    def init(topic, *arguments, code=0, as_json=True):
        broker = ("--bootstrap-servers", kafka) if "-c" not in arguments else ()
        command = [str(STREAMGUARD), "init", "--topic", topic, *broker, *arguments]
        command += ["--json"] if as_json else []
        done = subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 and as_json else done.stderr

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
    admin = AdminClient({"bootstrap.servers": kafka})  # the answer would die with it
    listed = admin.list_consumer_groups().result(60)
    assert listed.errors == []
    assert not [group for group in listed.valid if group.group_id.endswith(".reader")]
    assert "example.net" not in "".join(path.read_text() for path in tmp_path.rglob("*.*") if path.is_file())


def test_the_latest_records_stand_before_a_long_aborted_transaction(kafka, topic, init):
    name = topic("people")
    write(kafka, name, [(None, person(n)) for n in range(20)])
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": name})
    producer.init_transactions(60)
    producer.begin_transaction()
    for n in range(300):
        producer.produce(name, person(n))
    producer.flush(60)
    producer.abort_transaction(60)
    assert init(name, "-n", "10", "--name", "people")["records"] == 10


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


@pytest.mark.parametrize("value", [b"\x0csecretdata", b"secretdata", b'["secretdata"]'])
def test_values_that_are_no_json_objects_get_advice_for_a_topic(kafka, topic, init, value):
    """Lines and jq are for files."""
    name = topic("people")
    write(kafka, name, [(b"a", value)])
    said = " ".join(init(name, "--name", "people", code=1).split())
    assert "the policy by hand" in said
    assert "jq" not in said
    assert "secretdata" not in said


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


AVRO = {
    "type": "record",
    "name": "Person",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "email", "type": ["null", "string"], "default": None},
        {"name": "born", "type": {"type": "int", "logicalType": "date"}, "confluent:tags": ["PII"]},
        {"name": "amount", "type": "double"},
        {"name": "level", "type": "int", "x-streamguard": "PII"},
        {"name": "shoe", "type": ["null", "int"], "default": None},
    ],
}
JSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Person",
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "email": {"type": "string", "format": "email"},
        "born": {"type": "string", "format": "date", "confluent:tags": ["PII"]},
        "amount": {"type": "number"},
        "level": {"type": "integer", "x-streamguard": "PII"},
        "shoe": {"type": "integer"},
    },
}
TREATED = {
    "id": "tokenize",
    "born": "{generalize: {date: year}}",
    "amount": "keep",
    "level": "encrypt",
    "shoe": "keep",
}


def serialized(serializer, topic, documents):
    context = SerializationContext(topic, MessageField.VALUE)
    return [(b"k", serializer(document, context)) for document in documents]


def people(born):
    return [
        {"id": f"C{n}", "email": f"person{n}@example.net", "born": born, "amount": n + 0.5, "level": n}
        for n in range(20)
    ]


@pytest.mark.parametrize("form", ["avro", "json"])
def test_a_topic_whose_schema_is_registered(kafka, registry_url, topic, init, tmp_path, form):
    """The registered schema is the policy's, and the service's own guard passes what the producers write."""
    name = topic("people")
    with closing(SchemaRegistryClient({"url": registry_url})) as client:
        if form == "avro":
            serializer = AvroSerializer(client, json.dumps(AVRO))
            records = serialized(serializer, name, people(date(1984, 2, 11)))
        else:
            records = serialized(JSONSerializer(json.dumps(JSON), client), name, people("1984-02-11"))
    write(kafka, name, records)
    report = init(name, "--registry", registry_url, "--name", "people")
    found = {field["path"]: field["treatment"] for field in report["fields"]}
    assert found == {**TREATED, "email": "{encrypt: {deterministic: true}, element: email}"}
    assert (report["clean"], report["violations"]) == (20, [])
    assert report["tests"] >= 2
    shown = init(name, "--registry", registry_url, "--name", "again", as_json=False)
    assert "what was never filled, and was judged by its name alone: shoe" in shown
    loaded = load_policy(tmp_path / "policies" / "people.yaml")
    assert loaded.policy.value.registry is not None
    assert loaded.schema_path.suffix == {"avro": ".avsc", "json": ".json"}[form]
    assert "example.net" not in "".join(path.read_text() for path in tmp_path.rglob("*.*") if path.is_file())
    with closing(open_registry(RegistrySettings.model_validate({"url": registry_url}))) as registry:
        keyring = Keyring.in_memory()
        guard = Guard(loaded.policy, loaded.schema, keyring, RegisteredCorridors(loaded, registry, keyring))
        batch = Batch(name, [value for _, value in records])
        guard.process(batch)
        assert batch.findings == {}


def test_tests_without_a_record_are_owned_up_to(kafka, registry_url, topic, init, tmp_path):
    """Which record of a union stands there is not to be chosen from the leaves alone."""
    name = topic("people")
    phone = {"type": "record", "name": "Phone", "fields": [{"name": "number", "type": "string"}]}
    post = {"type": "record", "name": "Post", "fields": [{"name": "zip", "type": "int"}]}
    fields = [{"name": "n", "type": "int"}, {"name": "contact", "type": ["null", phone, post]}]
    schema = {"type": "record", "name": "P", "fields": fields}
    with closing(SchemaRegistryClient({"url": registry_url})) as client:
        serializer = AvroSerializer(client, json.dumps(schema))
        write(kafka, name, serialized(serializer, name, [{"n": 1, "contact": ("Post", {"zip": 1000})}]))
    shown = init(name, "--registry", registry_url, "--name", "people", as_json=False)
    assert "It passes check and its test; 1 of the 1 records leave clean under it." in shown
    assert "policy tests, which hold no record that passes" in shown


def test_a_registry_that_nobody_named(kafka, registry_url, topic, init, tmp_path):
    name = topic("people")
    with closing(SchemaRegistryClient({"url": registry_url})) as client:
        write(kafka, name, serialized(JSONSerializer(json.dumps(JSON), client), name, people("1984-02-11")))
    assert "Say where it is: --registry" in " ".join(init(name, "--name", "people", code=1).split())
    (tmp_path / "streamguard.yaml").write_text(
        f"kafka: {{bootstrap.servers: '{kafka}'}}\nregistry: {{url: '{registry_url}'}}\n"
    )
    assert init(name, "-c", "streamguard.yaml", "--name", "people")["clean"] == 20
