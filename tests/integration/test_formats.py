"""Producers and consumers with Confluent's serializers, and StreamGuard between them: a real broker and registry."""

import json
import os
import signal
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from streamguard.access.authn import Credential
from streamguard.access.reading import Documents, source_form
from streamguard.access.records import Record, Records
from streamguard.access.setup import open_desk
from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.formats.registry import open_registry
from streamguard.guard.guard import Guard
from streamguard.guard.registered import RegisteredCorridors, registered_keys
from streamguard.policy.loader import load_policy
from streamguard.policy.registry import RegistrySettings
from streamguard.streams.client import Slot
from streamguard.streams.lane import Lane
from tests.lanes import Site, at_work, open_site, read
from tests.servers import Registry
from tests.waiting import until

TIMESTAMP = FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)

AVRO = {
    "type": "record",
    "name": "Person",
    "namespace": "shop",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "name", "type": "string", "confluent:tags": ["PII"], "doc": "as on the passport"},
        {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
        {"name": "balance", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "secret", "type": "double"},
    ],
}
JSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Person",
    "type": "object",
    "additionalProperties": False,
    "required": ["n", "name"],
    "properties": {
        "n": {"type": "integer"},
        "name": {"type": "string", "confluent:tags": ["PII"], "description": "as on the passport"},
        "born": {"type": ["string", "null"], "format": "date"},
        "balance": {"type": "string"},
        "secret": {"type": "number"},
    },
}
TEXT = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"}'
ANOTHER = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string", "title": "again"}'
POLICY = """
name: people
version: "1"
topic: {topic}
key: keep
value: {{format: {format}, registry: {{framing: {framing}}}}}
fields:
  born: {{generalize: {{date: year}}}}
  secret: drop
tags:
  PII: encrypt
keep: [n, balance]
commit_interval_ms: 50
"""


@dataclass
class Stage:
    """One guarded topic with its registry, and the policy file that a test may change."""

    site: Site
    url: str
    folder: Path
    format: str
    framing: str = "prefix"
    policy: str = POLICY
    keyring: Keyring = field(default_factory=Keyring.in_memory)
    timeout_ms: int = 5000

    def __post_init__(self) -> None:
        self.client = SchemaRegistryClient({"url": self.url})
        self.registry = open_registry(
            RegistrySettings.model_validate({"url": self.url, "timeout_ms": self.timeout_ms})
        )

    def close(self) -> None:
        self.client.close()
        self.registry.close()

    def lane(self) -> Lane:
        file = self.folder / "people.yaml"
        file.write_text(self.policy.format(topic=self.site.source, format=self.format, framing=self.framing))
        loaded = load_policy(file)
        keys = registered_keys(loaded.policy, self.registry)
        corridors = RegisteredCorridors(loaded, self.registry, self.keyring, keys)
        guard = Guard(loaded.policy, loaded.schema, self.keyring, corridors, keys)
        return Lane(self.site.make_service(), guard, Slot("0", permanent=False))

    def send(self, *records: tuple[bytes | None, list[tuple[str, Any]]], key: str | bytes = "k") -> None:
        producer = Producer({"bootstrap.servers": self.site.kafka})
        for value, headers in records:
            producer.produce(self.site.source, value, key=key, headers=headers)
        assert producer.flush(30) == 0

    def written(self, serializer: Any, document: Any) -> tuple[bytes | None, list[tuple[str, Any]]]:
        """A record as Confluent's serializer makes it: its value, and its headers."""
        headers: list[tuple[str, Any]] = []
        context = SerializationContext(self.site.source, MessageField.VALUE, headers)
        return serializer(document, context), headers

    def clean(self, at_least: int) -> list[Message]:
        return read(self.site.kafka, self.site.clean, at_least=at_least)

    def violations(self, at_least: int) -> list[dict[str, Any]]:
        found = read(self.site.kafka, self.site.violations, at_least=at_least)
        return [json.loads(message.value() or b"") for message in found]

    def read_back(self, deserializer: Any, message: Message) -> Any:
        headers = message.headers()
        context = SerializationContext(self.site.clean, MessageField.VALUE, headers)
        return deserializer(message.value(), context)

    def revealed(self, message: Message) -> Any:
        """What `streamguard reveal --topic` makes of a clean record."""
        loaded = load_policy(self.folder / "people.yaml")
        headers: Any = message.headers() or []
        document = Documents(loaded, self.keyring, self.registry).read(message.value() or b"", headers)
        desk = open_desk(self.keyring, None)
        records = Records(loaded, desk, form=source_form(loaded, self.registry))
        assert (
            records.reveal(desk.enter(Credential()), [Record(document, headers)], topic=self.site.clean) == []
        )
        return document

    def latest_text(self) -> str:
        return self.client.get_latest_version(f"{self.site.clean}-value").schema.schema_str or ""

    def latest(self) -> Any:
        return json.loads(self.latest_text())


@contextmanager
def staged(kafka: str, url: str, folder: Path, form: str, **settings: Any) -> Iterator[Stage]:
    with open_site(kafka) as site, closing(Stage(site, url, folder, form, **settings)) as stage:
        yield stage


def avro(stage: Stage, schema: Any = AVRO) -> Callable[[Any], Any]:
    serializer = AvroSerializer(stage.client, json.dumps(schema))
    return lambda document: stage.written(serializer, document)


def json_schema(stage: Stage, schema: Any = JSON) -> Callable[[Any], Any]:
    serializer = JSONSerializer(json.dumps(schema), stage.client)
    return lambda document: stage.written(serializer, document)


def message_of(text: str, name: str) -> Any:
    """The class of a message: from the text of a .proto file, or a descriptor in base64, as Python registers it."""
    files = _compiled(text) if "syntax" in text else [FileDescriptorProto.FromString(b64decode(text))]
    pool = DescriptorPool()
    for known in (TIMESTAMP, *files):
        pool.Add(known)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _compiled(text: str) -> list[FileDescriptorProto]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{uuid.uuid4().hex}.proto"
        file.write_text(text)
        includes = resources.files("grpc_tools") / "_proto"
        out = Path(folder) / "set"
        assert (
            protoc.main(["", f"-I{folder}", f"-I{includes}", f"--descriptor_set_out={out}", str(file)]) == 0
        )
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def person(n: int, **more: Any) -> dict[str, Any]:
    return {"n": n, "name": f"Ana {n}", "born": "1984-02-11", "balance": "12.50", "secret": 1.5, **more}


def test_json_from_serializer_to_deserializer(kafka: str, registry_url: str, tmp_path: Path):
    with staged(kafka, registry_url, tmp_path, "json") as stage:
        write = json_schema(stage)
        stage.send(*[write(person(n)) for n in range(20)], (None, []))
        with at_work(stage.lane()):
            messages = stage.clean(21)
        assert messages[20].value() is None
        deserializer = JSONDeserializer(None, schema_registry_client=stage.client)
        for n, message in enumerate(messages[:20]):
            document = stage.read_back(deserializer, message)
            assert open_token(document.pop("name"), stage.keyring) == f"Ana {n}"
            assert document == {"n": n, "born": "1984", "balance": "12.50"}
        schema = stage.latest()
        assert schema["properties"]["name"] == {"type": "string", "description": "as on the passport"}
        assert schema["properties"]["born"] == {"type": ["string", "null"]}
        assert "secret" not in schema["properties"]


def test_a_schema_that_changes_amid_the_stream(kafka: str, registry_url: str, tmp_path: Path):
    """A tagged field is protected from its first record; one that nobody classified never passes."""
    tagged = JSON | {"properties": {**JSON["properties"], "mail": {"type": "string", "x-streamguard": "PII"}}}
    untagged = tagged | {"properties": {**tagged["properties"], "shoe": {"type": "integer"}}}
    with staged(kafka, registry_url, tmp_path, "json") as stage:
        first, second, third = (json_schema(stage, schema) for schema in (JSON, tagged, untagged))
        earliest = first(person(0))
        stage.client.set_compatibility(f"{stage.site.source}-value", "NONE")
        stage.send(
            earliest,
            second(person(1, mail="ana@example.com")),
            third(person(2, mail="ana@example.com", shoe=39)),
            first(person(3)),
        )
        with at_work(stage.lane()):
            clean = [json.loads((message.value() or b"")[5:]) for message in stage.clean(3)]
            (violation,) = stage.violations(1)
        assert [document["n"] for document in clean] == [0, 1, 3]
        assert open_token(clean[1]["mail"], stage.keyring) == "ana@example.com"
        assert violation["code"] == "schema.unclassified"
        assert violation["message"] == "nothing says what happens to 'shoe'"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "decode.frame"),
        (b"\0\0\0", "decode.frame"),
        (b'{"n": 1}', "decode.frame"),
        (b"\0\x7f\xff\xff\xf0{}", "decode.schema"),
        (b"\0\xff\xff\xff\xff{}", "decode.schema"),
    ],
)
def test_frames_that_lead_nowhere(kafka: str, registry_url: str, tmp_path: Path, value: bytes, code: str):
    with staged(kafka, registry_url, tmp_path, "json") as stage:
        stage.send(json_schema(stage)(person(0)), (value, []), json_schema(stage)(person(1)))
        with at_work(stage.lane()):
            assert len(stage.clean(2)) == 2
            (violation,) = stage.violations(1)
        assert violation["code"] == code


def test_a_registry_that_hangs_pauses_the_lane_and_nothing_is_lost(
    kafka: str, second_registry: Registry, tmp_path: Path
):
    with staged(kafka, second_registry.address, tmp_path, "json", timeout_ms=500) as stage:
        records = [json_schema(stage)(person(n)) for n in range(5)]
        os.kill(second_registry.pid, signal.SIGSTOP)
        stage.send(*records)
        with at_work(stage.lane()) as lane:
            until(lambda: (lane.state, lane.reason) == ("paused", "registry_unavailable"))
            assert read(kafka, stage.site.clean) == []
            os.kill(second_registry.pid, signal.SIGCONT)
            assert len(stage.clean(5)) == 5
            until(lambda: stage.site.committed(1) == [5])
            until(lambda: lane.state == "running")
        assert read(kafka, stage.site.violations) == []


def test_avro_from_serializer_to_deserializer(kafka: str, registry_url: str, tmp_path: Path):
    with staged(kafka, registry_url, tmp_path, "avro") as stage:
        write = avro(stage)
        document = {"born": date(1984, 2, 11), "balance": Decimal("12.50"), "secret": 1.5}
        stage.send(*[write({"n": n, "name": f"Ana {n}", **document}) for n in range(20)])
        stage.send(write({"n": 20, "name": "Eva", **document, "born": None}))
        with at_work(stage.lane()):
            messages = stage.clean(21)
        deserializer = AvroDeserializer(stage.client)
        for n, message in enumerate(messages):
            found = stage.read_back(deserializer, message)
            assert open_token(found.pop("name"), stage.keyring) == (f"Ana {n}" if n < 20 else "Eva")
            assert found == {"n": n, "born": "1984" if n < 20 else None, "balance": Decimal("12.50")}
        assert stage.revealed(messages[3]) == {"n": 3, "name": "Ana 3", "born": "1984", "balance": "12.50"}
        fields = {each["name"]: each for each in stage.latest()["fields"]}
        assert fields["name"] == {"name": "name", "type": "string", "doc": "as on the passport"}
        assert fields["born"] == {"name": "born", "type": ["null", "string"], "default": None}
        assert "secret" not in fields


def test_a_schema_in_a_header(kafka: str, registry_url: str, tmp_path: Path):
    schema = Schema(json.dumps(JSON), "JSON")
    with staged(kafka, registry_url, tmp_path, "json", framing="header") as stage:
        schema_id = stage.client.register_schema(f"{stage.site.source}-value", schema)
        header = ("__value_schema_id", b"\0" + schema_id.to_bytes(4))
        stage.send((json.dumps(person(1)).encode(), [header]))
        with at_work(stage.lane()):
            (message,) = stage.clean(1)
        headers = dict(message.headers() or ())
        assert json.loads(message.value() or b"")["n"] == 1
        assert headers["__value_schema_id"] != header[1]
        deserializer = JSONDeserializer(None, schema_registry_client=stage.client)
        assert stage.read_back(deserializer, message)["born"] == "1984"


PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Other { string x = 1; }
message Person {
  int64 n = 1;
  string name = 2;
  google.protobuf.Timestamp born = 3;
  repeated string roles = 4;
  double secret = 5;
}
"""


def test_protobuf_from_serializer_to_deserializer(kafka: str, registry_url: str, tmp_path: Path):
    policy = POLICY.replace("balance", '"roles[*]"').replace("tags:\n  PII: encrypt", "  name: encrypt")
    with staged(kafka, registry_url, tmp_path, "protobuf", policy=policy) as stage:
        made = message_of(PROTO, "shop.Person")
        serializer = ProtobufSerializer(made, stage.client, {"use.deprecated.format": False})
        people = [
            made(n=n, name=f"Ana {n}", born={"seconds": 445305600}, roles=["a", "b"], secret=1.5)
            for n in range(20)
        ]
        stage.send(*[stage.written(serializer, each) for each in people])
        with at_work(stage.lane()):
            messages = stage.clean(20)
        clean = message_of(stage.latest_text(), "shop.Person")
        deserializer = ProtobufDeserializer(clean, {"use.deprecated.format": False}, stage.client)
        for n, message in enumerate(messages):
            found = stage.read_back(deserializer, message)
            assert open_token(found.name, stage.keyring) == f"Ana {n}"
            assert (found.n, found.born, list(found.roles)) == (n, "1984", ["a", "b"])
            assert "secret" not in found.DESCRIPTOR.fields_by_name


@pytest.mark.parametrize("framed", ["prefix", "header"])
@pytest.mark.parametrize("form", ["avro", "json"])
def test_keys_that_name_their_schema(kafka: str, registry_url: str, tmp_path: Path, form: str, framed: str):
    """Equal keys become equal ones, whichever schema they name; what no schema describes is a violation."""
    policy = POLICY.replace("key: keep", "key: tokenize\nkey_format: {format}\nheaders: keep")
    with staged(kafka, registry_url, tmp_path, "json", framing=framed) as stage:
        stage.policy = policy.replace("key_format: {format}", f"key_format: {form}")
        subject = f"{stage.site.source}-key"
        texts = ('"string"', '{"type": "string", "doc": "again"}') if form == "avro" else (TEXT, ANOTHER)
        ids = [stage.client.register_schema(subject, Schema(text, form.upper())) for text in texts]
        encoded = b"\x0cperson" if form == "avro" else b'"person"'
        write = json_schema(stage)
        for schema_id in ids:
            stage.send(write(person(1)), key=b"\0" + schema_id.to_bytes(4) + encoded)
        value, headers = write(person(1))
        named = ("__key_schema_id", b"\0" + ids[0].to_bytes(4))
        stage.send((value, [*headers, named]), key=encoded)
        stage.send(write(person(1)), key=b"no frame")
        stage.send((None, []), key=b"\0" + ids[0].to_bytes(4) + encoded)
        with at_work(stage.lane()):
            messages = stage.clean(4)
            (violation,) = stage.violations(1)
        assert violation["code"] == "decode.key"
        assert len({message.key() for message in messages}) == 1
        assert messages[3].value() is None
        deserializer = (
            AvroDeserializer(stage.client)
            if form == "avro"
            else JSONDeserializer(None, schema_registry_client=stage.client)
        )
        for message in messages:
            context = SerializationContext(stage.site.clean, MessageField.KEY, message.headers())
            assert str(deserializer(message.key(), context)).startswith("tok_")
            names = [name for name, _ in message.headers() or ()]
            assert names.count("__key_schema_id") == (framed == "header")


# -- schemas and registries that are a trial ---------------------------------------------------------------------------

TREE = {
    "type": "record",
    "name": "Tree",
    "namespace": "shop",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "children", "type": {"type": "array", "items": "shop.Tree"}},
    ],
}
TREES = """
name: trees
version: "1"
topic: {topic}
key: keep
value: {{format: {format}, registry: {{framing: {framing}}}}}
fields:
  "children[*].n": redact
  "children[*].children": encrypt
keep: [n]
commit_interval_ms: 50
"""


def test_a_schema_with_a_cycle(kafka: str, registry_url: str, tmp_path: Path):
    """What holds itself is protected as a whole, however deep it is; beyond max_depth it is a violation."""
    policy = TREES.replace(
        '  "children[*].n": redact\n  "children[*].children": encrypt\n', "  children: encrypt\n"
    )
    deep: dict[str, Any] = {"n": 99, "children": []}
    for n in range(90):
        deep = {"n": n, "children": [deep]}
    tree = {"n": 1, "children": [{"n": 2, "children": [{"n": 3, "children": []}]}]}
    with staged(kafka, registry_url, tmp_path, "avro", policy=policy) as stage:
        write = avro(stage, TREE)
        stage.send(write(tree), write(deep), write(tree))
        with at_work(stage.lane()):
            messages = stage.clean(2)
            (violation,) = stage.violations(1)
        assert violation["code"] == "decode.depth"
        deserializer = AvroDeserializer(stage.client)
        for message in messages:
            found = stage.read_back(deserializer, message)
            assert found["n"] == 1
            assert open_token(found["children"], stage.keyring) == tree["children"]


@pytest.mark.parametrize("form", ["json", "avro", "protobuf"])
def test_five_hundred_fields(kafka: str, registry_url: str, tmp_path: Path, form: str):
    names = [f"field_{n:03}" for n in range(500)]
    rules = "\n".join(f"  {name}: encrypt" for name in names[1::2])
    policy = POLICY[: POLICY.index("fields:")] + f"fields:\n{rules}\nkeep: [{', '.join(names[0::2])}]\n"
    document = {name: name for name in names}
    with staged(kafka, registry_url, tmp_path, form, policy=policy) as stage:
        if form == "json":
            schema = {**JSON, "properties": {name: {"type": "string"} for name in names}, "required": names}
            record = json_schema(stage, schema)(document)
        elif form == "avro":
            record = avro(stage, {**AVRO, "fields": [{"name": name, "type": "string"} for name in names]})(
                document
            )
        else:
            fields = " ".join(f"string {name} = {n + 1};" for n, name in enumerate(names))
            made = message_of(f'syntax = "proto3"; message Wide {{ {fields} }}', "Wide")
            serializer = ProtobufSerializer(made, stage.client, {"use.deprecated.format": False})
            record = stage.written(serializer, made(**document))
        stage.send(record, record)
        with at_work(stage.lane()):
            assert len(stage.clean(2)) == 2
            assert stage.violations(0) == []


class Failing(BaseHTTPRequestHandler):
    """Answers `status` to everything while `failing` is set, and otherwise as the registry behind it does."""

    behind: str
    failing: Event
    status = 500

    def _answer(self) -> None:
        if self.failing.is_set():
            self.send_error(self.status)
            return
        length = int(self.headers.get("Content-Length") or 0)
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        answer = httpx.request(
            self.command, self.behind + self.path, content=self.rfile.read(length), headers=headers
        )
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


def test_a_registry_that_answers_500_pauses_the_lane_and_nothing_is_lost(
    kafka: str, registry_url: str, tmp_path: Path
):
    failing = Event()
    handler = type("Handler", (Failing,), {"behind": registry_url, "failing": failing})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with (
        closing(server.socket),
        staged(kafka, f"http://127.0.0.1:{server.server_port}", tmp_path, "json") as stage,
    ):
        write = json_schema(stage)
        records = [write(person(n)) for n in range(5)]
        failing.set()
        stage.send(*records)
        with at_work(stage.lane()) as lane:
            until(lambda: (lane.state, lane.reason) == ("paused", "registry_unavailable"))
            assert read(kafka, stage.site.clean) == []
            failing.clear()
            assert len(stage.clean(5)) == 5
            until(lambda: lane.state == "running")
        assert read(kafka, stage.site.violations) == []
        server.shutdown()


def test_a_slice_of_which_half_is_known_waits_as_a_whole(
    kafka: str, registry_url: str, tmp_path: Path, caplog
):
    """Nothing of it leaves before all of it can, and then in order and once; the log says what is the matter."""
    failing = Event()
    handler = type("Handler", (Failing,), {"behind": registry_url, "failing": failing, "status": 401})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    later = JSON | {"properties": {**JSON["properties"], "mail": {"type": "string", "x-streamguard": "PII"}}}
    with (
        closing(server.socket),
        staged(kafka, f"http://127.0.0.1:{server.server_port}", tmp_path, "json") as stage,
    ):
        first = json_schema(stage)
        early = first(person(0))
        stage.client.set_compatibility(f"{stage.site.source}-value", "NONE")
        second = json_schema(stage, later)
        # The unknown schema comes first: however these records are cut into slices, nothing may overtake it.
        records = [(second if n % 2 else first)(person(n)) for n in range(1, 40)]
        stage.send(early)
        with at_work(stage.lane()) as lane:
            assert len(stage.clean(1)) == 1
            failing.set()
            stage.send(*records, (b"no frame", []))
            until(lambda: (lane.state, lane.reason) == ("paused", "registry_unavailable"))
            assert len(read(kafka, stage.site.clean)) == 1
            assert read(kafka, stage.site.violations) == []
            failing.clear()
            messages = stage.clean(40)
            until(lambda: stage.site.committed(1) == [41])
            until(lambda: lane.state == "running")
        assert [json.loads((message.value() or b"")[5:])["n"] for message in messages] == list(range(40))
        assert [found["source"]["offset"] for found in stage.violations(1)] == [40]
        server.shutdown()
    paused = [vars(record)["streamguard_fields"] for record in caplog.records if record.msg == "lane.paused"]
    assert paused
    assert "does not let us in" in paused[0]["message"]
    assert "credentials" in paused[0]["remedy"]


@pytest.mark.parametrize("form", ["avro", "protobuf"])
@pytest.mark.parametrize("cut", [5, 6, -1])
def test_values_that_are_cut(kafka: str, registry_url: str, tmp_path: Path, form: str, cut: int):
    policy = POLICY.replace("balance", '"roles[*]"').replace("tags:\n  PII: encrypt", "  name: encrypt")
    with staged(kafka, registry_url, tmp_path, form, policy=POLICY if form == "avro" else policy) as stage:
        if form == "avro":
            document = {"born": None, "balance": Decimal("12.50"), "secret": 1.5}
            value, headers = avro(stage)({"n": 1, "name": "Ana", **document})
        else:
            made = message_of(PROTO, "shop.Person")
            serializer = ProtobufSerializer(made, stage.client, {"use.deprecated.format": False})
            value, headers = stage.written(serializer, made(n=1, name="Ana", secret=1.5))
        assert value is not None
        stage.send((value, headers), (value[:cut], headers), (value, headers))
        with at_work(stage.lane()):
            assert len(stage.clean(2)) == 2
            (violation,) = stage.violations(1)
        assert violation["code"] in (f"decode.{form}", "decode.empty", "decode.frame")
