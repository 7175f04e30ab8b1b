"""The Schema Registry: a real one, and what else may answer at its address."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY
from pydantic import SecretStr

from streamguard.errors import (
    ConfigError,
    RegistryUnavailableError,
    SchemaMissingError,
    StreamGuardError,
    UnavailableError,
)
from streamguard.formats.framing import FIRST_MESSAGE, VALUE_HEADER, Frame, header, prefix, read, read_prefix
from streamguard.formats.registry import (
    UNKNOWN_FOR,
    Reference,
    Registered,
    Registry,
    nobody,
    open_registry,
)
from streamguard.formats.registry_client import Client
from streamguard.formats.subjects import subject_name
from streamguard.metrics import observe_registry
from streamguard.policy.registry import OAuth, RegistrySettings
from tests.key_services import TlsInFront
from tests.servers import Registry as Server
from tests.servers import unique

LASTS = attrgetter("lasts")
GUID = UUID("6d1b2c3e-89ab-4cde-8f01-23456789abcd")
SECRET = "hunter2"


def avro(name: str, *fields: tuple[str, Any]) -> str:
    return json.dumps(
        {
            "type": "record",
            "name": name,
            "namespace": "shop",
            "fields": [{"name": field, "type": kind} for field, kind in fields],
        }
    )


def json_schema(**keywords: Any) -> str:
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", **keywords})


CUSTOMER = avro("Customer", ("email", "string"))
ORDER = avro("Order", ("customer", "shop.Customer"))
PROTO_CUSTOMER = 'syntax = "proto3";\npackage shop;\nmessage Customer { string email = 1; }\n'
PROTO_ORDER = (
    'syntax = "proto3";\npackage shop;\nimport "shop/customer.proto";\n'
    "message Order { Customer customer = 1; }\n"
)


@pytest.fixture
def registry(registry_url: str) -> Registry:
    return open_registry(RegistrySettings(url=registry_url))


@pytest.fixture
def confluent(registry_url: str) -> Iterator[SchemaRegistryClient]:
    """Confluent's own client, as producers have it."""
    with SchemaRegistryClient({"url": registry_url}) as client:
        yield client


# -- a real registry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text"),
    [("AVRO", CUSTOMER), ("PROTOBUF", PROTO_CUSTOMER), ("JSON", json_schema(title="Customer"))],
)
def test_what_was_registered_is_found(registry: Registry, registry_url: str, kind, text: str):
    subject = f"{unique('orders')}-value"
    assert registry.latest(subject) is None
    made = registry.register(subject, kind, text)
    assert made == Registered(made.id, None, kind, text)
    assert registry.register(subject, kind, text) == made
    assert registry.latest(subject) == made
    # Another process, to whom nobody has said anything.
    assert open_registry(RegistrySettings(url=registry_url)).schema(made.id) == made


def test_the_latest_version_is_the_latest(registry: Registry):
    subject = unique("subject")
    first = registry.register(subject, "AVRO", CUSTOMER)
    assert registry.latest(subject) == first
    second = registry.register(subject, "AVRO", avro("Customer", ("email", "string"), ("age", "int")))
    assert registry.latest(subject) == second != first
    assert registry.schema(first.id) == first


def test_a_schema_is_asked_for_once(second_registry: Server):
    registry = open_registry(RegistrySettings(url=second_registry.address, timeout_ms=3_000))
    made = registry.register("orders-value", "AVRO", CUSTOMER)
    other = open_registry(RegistrySettings(url=second_registry.address, timeout_ms=3_000))
    assert other.schema(made.id) == made
    second_registry.stop()
    assert other.schema(made.id) == registry.schema(made.id) == made
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        other.schema(made.id + 1)
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        other.latest("orders-value")
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        other.health()
    second_registry.start()
    assert other.latest("orders-value") == made
    other.health()


def test_a_registry_that_says_nothing_is_not_waited_for(second_registry: Server):
    registry = open_registry(RegistrySettings(url=second_registry.address, timeout_ms=1_000))
    registry.health()
    os.kill(second_registry.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError) as failure:
            registry.schema(1)
        assert time.monotonic() - started < 30
        assert failure.value.reason == "registry_unavailable"
        assert not failure.value.lasts
    finally:
        os.kill(second_registry.pid, signal.SIGCONT)
    with pytest.raises(SchemaMissingError):
        registry.schema(1)


def test_references_come_before_what_refers_to_them(registry: Registry):
    subjects = [unique("subject") for _ in range(3)]
    registry.register(subjects[0], "AVRO", CUSTOMER)
    customer = Reference("shop.Customer", subjects[0], 1)
    order = registry.register(subjects[1], "AVRO", ORDER, (customer,))
    assert order.references == (customer,)
    basket = avro("Basket", ("orders", {"type": "array", "items": "shop.Order"}), ("of", "shop.Customer"))
    references = (Reference("shop.Order", subjects[1], 1), customer)
    made = registry.register(subjects[2], "AVRO", basket, references)
    assert registry.latest(subjects[2]) == made
    assert list(registry.references(made).items()) == [("shop.Customer", CUSTOMER), ("shop.Order", ORDER)]
    assert registry.references(registry.schema(made.id)) == registry.references(made)
    assert registry.references(registry.latest(subjects[0])) == {}


@pytest.mark.parametrize(
    ("kind", "inner", "name", "outer"),
    [
        ("PROTOBUF", PROTO_CUSTOMER, "shop/customer.proto", PROTO_ORDER),
        (
            "JSON",
            json_schema(**{"$id": "customer.json", "properties": {"email": {"type": "string"}}}),
            "customer.json",
            json_schema(properties={"customer": {"$ref": "customer.json"}}),
        ),
    ],
)
def test_imports_of_protobuf_and_references_of_json_schema(
    registry: Registry, registry_url: str, kind, inner: str, name: str, outer: str
):
    subject, other = unique("subject"), unique("subject")
    registry.register(subject, kind, inner)
    made = registry.register(other, kind, outer, (Reference(name, subject, 1),))
    stranger = open_registry(RegistrySettings(url=registry_url))
    assert stranger.schema(made.id) == made
    assert stranger.references(stranger.schema(made.id)) == {name: inner}


def test_what_cannot_follow_the_latest_version(registry: Registry, confluent: SchemaRegistryClient):
    subject = unique("subject")
    changed = avro("Customer", ("email", "int"))
    assert registry.incompatible(subject, "AVRO", changed) == ()
    registry.register(subject, "AVRO", CUSTOMER)
    confluent.set_compatibility(subject, "BACKWARD")
    assert registry.incompatible(subject, "AVRO", CUSTOMER) == ()
    (reason,) = registry.incompatible(subject, "AVRO", changed)
    assert "INT not compatible with writer type: STRING" in reason
    (reason,) = registry.incompatible(subject, "JSON", json_schema())
    assert reason
    with pytest.raises(ConfigError, match="INT not compatible with writer type: STRING"):
        registry.register(subject, "AVRO", changed)
    assert registry.latest(subject).text == CUSTOMER


def test_several_processes_register_the_same_at_once(registry_url: str):
    """Each of them gets its id, for a first version and for a later one; Apicurio refuses all but one at first."""
    versions = [avro("Customer", *((f"f{n}", "int") for n in range(count))) for count in range(1, 4)]
    for _ in range(4):
        subject = unique("subject")
        registries = [open_registry(RegistrySettings(url=registry_url)) for _ in range(6)]
        together = threading.Barrier(len(registries))

        def register(each: Registry, text: str, subject=subject, together=together) -> int | None:
            together.wait()
            return each.register(subject, "AVRO", text).id

        for text in versions:
            with ThreadPoolExecutor(len(registries)) as pool:
                ids = set(pool.map(register, registries, [text] * len(registries)))
            assert len(ids) == 1


@pytest.mark.parametrize(
    ("kind", "text", "references"),
    [
        ("AVRO", '{"type": "nothing"}', ()),
        ("JSON", "{", ()),
        ("AVRO", ORDER, (Reference("shop.Customer", "never-registered", 1),)),
    ],
)
def test_what_the_registry_does_not_take(registry: Registry, kind, text: str, references):
    subject = unique("subject")
    with pytest.raises(ConfigError, match=r"The Schema Registry refuses the schema: \w+"):
        registry.register(subject, kind, text, references)
    assert registry.latest(subject) is None


@pytest.mark.parametrize("schema_id", [0, 2**31 - 1, 2**31, 2**32 - 1, GUID])
def test_an_id_that_is_not_there(registry: Registry, schema_id: int | UUID):
    for _ in range(2):
        with pytest.raises(SchemaMissingError) as failure:
            registry.schema(schema_id)
        # It may be a piece of a record.
        assert str(schema_id) not in str(failure.value).split()


def test_requests_are_counted(registry_url: str):
    def count(operation: str, outcome: str) -> float:
        labels = {"operation": operation, "outcome": outcome}
        return REGISTRY.get_sample_value("streamguard_registry_seconds_count", labels) or 0.0

    before = count("schema", "ok"), count("latest", "ok"), count("latest", "unavailable")
    registry = open_registry(RegistrySettings(url=registry_url), observe_registry)
    for _ in range(3):
        with pytest.raises(SchemaMissingError):
            registry.schema(2**31 - 2)
    registry.latest("nobody's")
    assert (count("schema", "ok"), count("latest", "ok")) == (before[0] + 1, before[1] + 1)
    with Answers(500) as server, pytest.raises(RegistryUnavailableError):
        hurried(server.url, observe_registry).latest("x")
    assert count("latest", "unavailable") - before[2] == len(server.requests) > 1


# -- messages of Confluent's serializers -----------------------------------------------------------------------------


def test_messages_of_the_avro_serializer(registry: Registry, confluent: SchemaRegistryClient):
    topic = unique("orders")
    serialize = AvroSerializer(confluent, CUSTOMER)
    message = serialize({"email": "a@b.c"}, SerializationContext(topic, MessageField.VALUE))
    (frame,), (payload,) = read_prefix([message])
    assert payload == b"\x0aa@b.c"
    found = registry.schema(frame.schema)
    assert (found.kind, json.loads(found.text)) == ("AVRO", json.loads(CUSTOMER))
    assert registry.latest(subject_name("topic", topic)) == found
    assert message == prefix(found.id) + payload


def test_messages_of_the_json_serializer(registry: Registry, confluent: SchemaRegistryClient):
    topic = unique("orders")
    serialize = JSONSerializer(json_schema(title="Customer"), confluent)
    message = serialize({"email": "a@b.c"}, SerializationContext(topic, MessageField.KEY))
    (frame,), (payload,) = read_prefix([message])
    assert json.loads(payload) == {"email": "a@b.c"}
    assert registry.schema(frame.schema).kind == "JSON"
    assert registry.latest(subject_name("topic", topic, is_key=True)).id == frame.schema


def test_messages_of_the_protobuf_serializer(registry: Registry, confluent: SchemaRegistryClient):
    topic = unique("orders")
    serialize = ProtobufSerializer(Timestamp, confluent, {"skip.known.types": False})
    message = serialize(Timestamp(seconds=5), SerializationContext(topic, MessageField.VALUE))
    (frame,), (payload,) = read_prefix([message], message=True)
    assert frame.message == FIRST_MESSAGE
    assert Timestamp.FromString(payload) == Timestamp(seconds=5)
    found = registry.schema(frame.schema)
    assert found.kind == "PROTOBUF"
    # Confluent's Python client registers descriptors, which Apicurio gives back as it got them.
    assert found.text == b64encode(Timestamp.DESCRIPTOR.file.serialized_pb).decode()


def test_an_id_in_a_header(registry: Registry):
    made = registry.register(unique("subject"), "AVRO", CUSTOMER)
    (frame,), (payload,) = read([b"\x0aa@b.c"], [[(VALUE_HEADER, header(made.id))]], VALUE_HEADER)
    assert (frame, payload) == (Frame(made.id), b"\x0aa@b.c")
    assert registry.schema(frame.schema) == made


# -- who we are to it ------------------------------------------------------------------------------------------------


class Answers:
    """A server that gives what it was told to, and remembers what it was asked.

    `answer` is a status, or a status and a body by path; where it is called, it gets path and headers.
    """

    def __init__(self, answer: int | Callable[[str, dict[str, str]], tuple[int, Any]]) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heads = {name.lower(): value for name, value in self.headers.items()}
                answers.requests.append((self.path, heads))
                status, body = (answer, {}) if isinstance(answer, int) else answer(self.path, heads)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def hurried(url: str, observe: Callable[[str, Any, float], None] = nobody, **settings: Any) -> Registry:
    """A registry by whose clock each request takes 2 of its 5 seconds: it asks three times."""
    passed = [0.0]

    def observed(operation: str, outcome: Any, seconds: float) -> None:
        passed[0] += 2.0
        observe(operation, outcome, seconds)

    return Registry(Client(RegistrySettings(url=url, **settings)), 5.0, observed, clock=lambda: passed[0])


def guarded(expected: str) -> Callable[[str, dict[str, str]], tuple[int, Any]]:
    def answer(path: str, heads: dict[str, str]) -> tuple[int, Any]:
        if heads.get("authorization") != expected:
            return 401, {"error_code": 40101, "message": SECRET}
        return 200, {"schema": CUSTOMER}

    return answer


BASIC = "Basic " + b64encode(f"sg:{SECRET}:x".encode()).decode()
WAYS = [
    (BASIC, {"username": "sg", "password": SecretStr(f"{SECRET}:x")}),
    (f"Bearer {SECRET}", {"token": SecretStr(SECRET)}),
]


@pytest.mark.parametrize(("expected", "way"), WAYS)
def test_credentials_reach_the_registry(expected: str, way: dict[str, Any]):
    with Answers(guarded(expected)) as server:
        settings = RegistrySettings(url=server.url, **way)
        assert open_registry(settings).schema(1).text == CUSTOMER


def test_the_names_of_a_cluster_go_with_a_token():
    with Answers(guarded(f"Bearer {SECRET}")) as server:
        settings = RegistrySettings(
            url=server.url, token=SecretStr(SECRET), cluster="lsrc-1", identity_pool="pool-1"
        )
        open_registry(settings).schema(1)
    ((_, heads),) = server.requests
    assert (heads["target-sr-cluster"], heads["confluent-identity-pool-id"]) == ("lsrc-1", "pool-1")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("way", [{}, *(way for _, way in WAYS)])
def test_credentials_that_are_refused_are_for_a_person(caplog, status: int, way: dict[str, Any]):
    with Answers(lambda *_: (status, {"error_code": status, "message": SECRET})) as server:
        registry = open_registry(RegistrySettings(url=server.url, **way))
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="does not let us in") as failure:
            registry.schema(1)
        assert len(server.requests) == 1
    shown = str(failure.value) + repr(failure.value) + repr(registry) + repr(vars(registry)) + caplog.text
    assert SECRET not in shown
    assert failure.value.remedy
    assert failure.value.__cause__ is None


def test_a_registry_that_is_read_only_is_for_a_person():
    """Confluent's answers as if something were wrong with the schema."""
    refusal = {"error_code": 42205, "message": "Subject orders-value is in read-only mode"}
    with Answers(lambda *_: (422, refusal)) as server:
        registry = open_registry(RegistrySettings(url=server.url))
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="does not allow us") as failure:
            registry.register("orders-value", "AVRO", CUSTOMER)
    assert "mode" in failure.value.remedy


def oauth(url: str) -> OAuth:
    return OAuth(url=url, client_id="sg", client_secret=SecretStr("client-secret"), scope="schemas")


def test_client_credentials_become_a_token():
    token = {"access_token": SECRET, "token_type": "Bearer", "expires_in": 3600}
    with Answers(guarded(f"Bearer {SECRET}")) as server, Answers(lambda *_: (200, token)) as tokens:
        registry = open_registry(RegistrySettings(url=server.url, oauth=oauth(f"{tokens.url}/token")))
        assert registry.schema(1).text == registry.schema(2).text == CUSTOMER
    ((path, heads),) = tokens.requests
    assert path == "/token"
    assert heads["authorization"] == "Basic " + b64encode(b"sg:client-secret").decode()


def test_client_credentials_that_are_refused():
    with Answers(lambda *_: (401, {"error": "invalid_client", "error_description": SECRET})) as tokens:
        registry = open_registry(RegistrySettings(url="http://127.0.0.1:1", oauth=oauth(tokens.url)))
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="No token") as failure:
            registry.schema(1)
        assert len(tokens.requests) == 1
    assert SECRET not in str(failure.value)


def test_a_token_endpoint_that_is_away():
    registry = hurried("http://127.0.0.1:1", oauth=oauth("http://127.0.0.1:1"))
    with pytest.raises(RegistryUnavailableError, match="does not answer") as failure:
        registry.schema(1)
    assert not failure.value.lasts


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_a_certificate_of_an_authority_of_ones_own(registry_url: str, tmp_path: Path):
    host, _, path = registry_url.removeprefix("http://").partition("/")
    with TlsInFront(f"http://{host}", tmp_path) as tls:
        url = f"{tls.address}/{path}"
        open_registry(RegistrySettings(url=url, ca=tls.certificate)).health()
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="certificate is not trusted"):
            open_registry(RegistrySettings(url=url)).health()


def test_a_certificate_of_ours(tmp_path: Path):
    with TlsInFront("http://127.0.0.1:1", tmp_path) as tls:  # for its certificate
        certificate, key = tls.certificate, tls.certificate.with_name("key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with Answers(lambda *_: (200, ["AVRO"])) as server:
        server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
        server.scheme = "https"
        settings = RegistrySettings(url=server.url, ca=certificate, certificate=certificate, key=key)
        open_registry(settings).health()
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="does not take our certificate"):
            open_registry(settings.model_copy(update={"certificate": None, "key": None})).health()


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_files_that_are_missing_or_no_certificates(tmp_path: Path, name: str):
    wrong = tmp_path / "wrong.pem"
    files = dict.fromkeys({"ca", "certificate", "key"} if name == "key" else {name}, wrong)
    settings = RegistrySettings(url="https://registry:8081", **files)
    with pytest.raises(ConfigError, match=r"There is no file .*wrong\.pem"):
        open_registry(settings)
    wrong.write_text(SECRET)
    with pytest.raises(ConfigError, match="cannot be used") as failure:
        open_registry(settings)
    assert SECRET not in str(failure.value)


# -- what else may answer --------------------------------------------------------------------------------------------

ASK: list[Callable[[Registry], object]] = [
    lambda registry: registry.schema(1),
    lambda registry: registry.schema(GUID),
    lambda registry: registry.latest("orders-value"),
    lambda registry: registry.register("orders-value", "AVRO", CUSTOMER),
    lambda registry: registry.incompatible("orders-value", "AVRO", CUSTOMER),
    lambda registry: registry.references(Registered(1, None, "AVRO", ORDER, (Reference("a", "b", 1),))),
    lambda registry: registry.health(),
]


@pytest.mark.parametrize(
    ("ask", "status"),
    [(ask, 503) for ask in ASK] + [(ASK[0], status) for status in (408, 429, 500, 502, 504)],
)
def test_a_registry_that_cannot_serve_now_is_asked_again(ask, status: int):
    with Answers(lambda *_: (status, SECRET.encode())) as server:
        with pytest.raises(RegistryUnavailableError, match=f"HTTP {status}") as failure:
            ask(hurried(server.url))
        assert len(server.requests) == 3
    assert not failure.value.lasts
    assert SECRET not in str(failure.value)


def test_and_serves_again_within_the_same_request():
    replies = iter([500, 429, 503])
    with Answers(lambda *_: (next(replies, 200), {"schema": CUSTOMER})) as server:
        assert open_registry(RegistrySettings(url=server.url)).schema(1).text == CUSTOMER
        assert len(server.requests) == 4


@pytest.mark.parametrize("ask", ASK)
def test_a_server_that_hangs_is_left(ask):
    release = threading.Event()
    with Answers(lambda *_: (500 if release.wait() else 0, {})) as server:
        registry = open_registry(RegistrySettings(url=server.url, timeout_ms=200))
        with pytest.raises(RegistryUnavailableError, match=r"within 0\.2 seconds|does not answer"):
            ask(registry)
        release.set()


def test_a_server_that_sends_a_byte_now_and_then_is_left_too():
    """The library's own limit is for each piece of an answer."""
    release = threading.Event()

    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not release.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Drip)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        settings = RegistrySettings(url=f"http://127.0.0.1:{server.server_address[1]}", timeout_ms=1_000)
        # On a machine that stands still for a moment the library gives up by itself.
        with pytest.raises(
            RegistryUnavailableError, match=r"did not answer within 1 seconds|does not answer"
        ):
            open_registry(settings).schema(1)
    finally:
        release.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"error_code": 404, "message": "HTTP 404 Not Found"}),
        (404, b"<html>hunter2</html>"),
        (302, b""),
        (400, {"error_code": 400, "message": SECRET}),
        (200, b"<html>hunter2</html>"),
        (200, {}),
        (200, {"schema": 7}),
        (200, {"schema": CUSTOMER, "references": [{"name": 1}]}),
    ],
)
def test_something_else_at_its_address_is_for_a_person(answer: tuple[int, Any]):
    with Answers(lambda *_: answer) as server:
        registry = open_registry(RegistrySettings(url=server.url))
        with pytest.raises(RegistryUnavailableError, check=LASTS, match="is no Schema Registry") as failure:
            registry.schema(1)
        assert len(server.requests) == 1
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize("answer", [(200, [SECRET]), (200, b"")])
def test_what_the_library_trips_over_stays_inside(caplog, answer: tuple[int, Any]):
    with (
        Answers(lambda *_: answer) as server,
        pytest.raises(RegistryUnavailableError, match="library failed") as failure,
    ):
        hurried(server.url).schema(1)
    assert SECRET not in str(failure.value) + caplog.text


def test_a_kind_that_nobody_here_reads():
    with (
        Answers(lambda *_: (200, {"schema": "struct", "schemaType": "THRIFT"})) as server,
        pytest.raises(ConfigError, match="a kind that StreamGuard does not read"),
    ):
        open_registry(RegistrySettings(url=server.url)).schema(1)


def test_confluents_messages_about_a_schema():
    """Its answer differs from Apicurio's: a list, and each piece may hold a whole schema."""
    messages = ["{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'}", "{oldSchema: '" + "x" * 5000 + "\n'}"]
    with Answers(lambda *_: (200, {"is_compatible": False, "messages": messages})) as server:
        registry = open_registry(RegistrySettings(url=server.url))
        first, second = registry.incompatible("orders-value", "AVRO", CUSTOMER)
    assert first == messages[0]
    assert second.startswith("{oldSchema: 'xxx")
    assert len(second) == 501
    ((path, _),) = server.requests
    assert path == "/compatibility/subjects/orders-value/versions/latest?verbose=true"


def test_a_registry_with_guids():
    """Confluent's, from version 8 on. Apicurio has none."""

    def answer(path: str, _: object) -> tuple[int, Any]:
        if path == f"/schemas/guids/{GUID}":
            return 200, {"schema": CUSTOMER, "guid": str(GUID)}
        return 200, {"id": 7, "guid": str(GUID), "version": 1, "subject": "s", "schema": CUSTOMER}

    with Answers(answer) as server:
        registry = open_registry(RegistrySettings(url=server.url))
        assert registry.schema(GUID) == Registered(None, GUID, "AVRO", CUSTOMER)
        assert registry.schema(GUID).guid == GUID
        assert registry.register("s", "AVRO", CUSTOMER) == Registered(7, GUID, "AVRO", CUSTOMER)
        assert registry.latest("s") == Registered(7, GUID, "AVRO", CUSTOMER)
    assert len(server.requests) == 3


# -- ids and references that lead nowhere ----------------------------------------------------------------------------


def test_an_unknown_id_is_not_asked_for_again_so_soon():
    found = threading.Event()
    clock = [0.0]

    def answer(*_: object) -> tuple[int, Any]:
        if found.is_set():
            return 200, {"schema": CUSTOMER}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    with Answers(answer) as server:
        registry = Registry(Client(RegistrySettings(url=server.url)), 5.0, clock=lambda: clock[0])
        for _ in range(100):
            with pytest.raises(SchemaMissingError):
                registry.schema(5)
        found.set()
        clock[0] = UNKNOWN_FOR - 1
        with pytest.raises(SchemaMissingError):
            registry.schema(5)
        assert len(server.requests) == 1
        clock[0] = UNKNOWN_FOR
        assert registry.schema(5).text == CUSTOMER
        assert len(server.requests) == 2


def refers(*places: tuple[str, str, int]) -> dict[str, Any]:
    references = [{"name": name, "subject": subject, "version": version} for name, subject, version in places]
    return {"schema": f"of {places}", "references": references, "id": 1, "subject": "x", "version": 1}


@pytest.fixture
def referring() -> Iterator[Callable[[dict[str, Any]], Registry]]:
    servers: list[Answers] = []

    def serve(versions: dict[str, Any]) -> Registry:
        def answer(path: str, _: object) -> tuple[int, Any]:
            found = versions.get(path.removeprefix("/subjects/").split("/")[0])
            return (200, found) if found else (404, {"error_code": 40401, "message": "Subject not found"})

        server = Answers(answer)
        servers.append(server)
        server.__enter__()
        return open_registry(RegistrySettings(url=server.url))

    yield serve
    for server in servers:
        server.__exit__()


BEGINNING = Registered(1, None, "AVRO", ORDER, (Reference("a", "A", 1),))


@pytest.mark.parametrize(
    ("versions", "error", "message"),
    [
        ({"A": refers(("a", "A", 1))}, ConfigError, "lead back"),
        ({"A": refers(("b", "B", 1)), "B": refers(("a", "A", 1))}, ConfigError, "lead back"),
        ({"A": refers(("a", "B", 1)), "B": refers()}, ConfigError, "one name to two schemas"),
        ({}, SchemaMissingError, "is not in the Schema Registry"),
        ({"A": refers(("b", "B", 1))}, SchemaMissingError, "is not in the Schema Registry"),
        ({f"{'A' * n}": refers(("x" * n, "A" * (n + 1), 1)) for n in range(1, 200)}, ConfigError, "more schemas"),
        (
            {"A": refers(*((f"n{n}", f"N{n}", 1) for n in range(1100)))}
            | {f"N{n}": refers() for n in range(1100)},
            ConfigError, "more schemas",
        ),
    ],
)  # fmt: skip
def test_references_that_lead_nowhere(
    referring, versions: dict[str, Any], error: type[StreamGuardError], message: str
):
    with pytest.raises(error, match=message):
        referring(versions).references(BEGINNING)


def test_references_that_meet_again_are_read_once(referring):
    """Sixty layers of two, each of which refers to both of the next: 2^60 ways through them."""
    versions = {"A": refers(("l0", "L0", 1), ("r0", "R0", 1))}
    for layer in range(60):
        below = [(f"{side.lower()}{layer + 1}", f"{side}{layer + 1}", 1) for side in "LR"]
        for side in "LR":
            versions[f"{side}{layer}"] = {**refers(*below), "schema": f"{side}{layer}"}
    versions["L60"] = {**refers(), "schema": "L60"}
    versions["R60"] = {**refers(), "schema": "R60"}
    texts = list(referring(versions).references(BEGINNING))
    assert len(texts) == 1 + 2 * 61
    assert texts[0] == "l60"
    assert texts[-1] == "a"


# -- without the library ---------------------------------------------------------------------------------------------


def test_without_the_extra_it_is_named():
    code = """
import sys
sys.modules["confluent_kafka.schema_registry"] = None
from streamguard.errors import ConfigError
from streamguard.formats.registry import open_registry
from streamguard.policy.registry import RegistrySettings
try:
    open_registry(RegistrySettings(url="https://registry"))
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'streamguard[registry]'" in done.stdout


def test_nothing_of_the_library_is_imported_before_it_is_needed():
    code = (
        "import sys, streamguard.formats.registry; print('httpx2' in sys.modules, 'authlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
