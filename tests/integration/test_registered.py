"""Guards of records that name their schema: what a registry may answer, and what becomes of the records meanwhile."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import generate, write_file
from streamguard.errors import RegistryUnavailableError
from streamguard.formats.framing import KEY_HEADER, prefix
from streamguard.formats.registry import UNKNOWN_FOR, Registry, open_registry
from streamguard.guard import registered
from streamguard.guard.batch import Batch
from streamguard.guard.check.registered import preview
from streamguard.guard.guard import Guard
from streamguard.guard.keys import RegisteredKeys
from streamguard.guard.registered import RegisteredCorridors
from streamguard.policy.loader import LoadedPolicy, load_policy
from streamguard.policy.registry import RegistrySettings
from tests.integration.test_registry import Answers
from tests.servers import unique

PERSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "required": ["n"],
    "properties": {"n": {"type": "integer"}, "name": {"type": "string"}, "born": {"type": "string"}},
}
POLICY = """
name: people
version: "1"
topic: {topic}
key: keep
value: {{format: json, registry: true}}
fields:
  name: encrypt
  born: drop
keep: [n]
"""
PLAIN = b'{"n":1,"name":"Ana"}'


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class People:
    """A guard of a topic of its own, at a registry."""

    def __init__(self, url: str, folder: Path, policy: str = POLICY) -> None:
        self.topic = unique("people")
        self.clock = Clock()
        file = folder / "people.yaml"
        file.write_text(policy.format(topic=self.topic))
        self.loaded: LoadedPolicy = load_policy(file)
        self.registry: Registry = open_registry(RegistrySettings(url=url))
        self.registry._unknown._clock = self.clock
        keyring, policy_ = Keyring.in_memory(), self.loaded.policy
        keys = None
        if policy_.key_format != "text":
            keys = RegisteredKeys(policy_, self.registry, clock=self.clock)
        corridors = RegisteredCorridors(self.loaded, self.registry, keyring, keys, clock=self.clock)
        self.guard = Guard(policy_, self.loaded.schema, keyring, corridors, keys)

    def guarded(self, *values: bytes | None, **columns: Any) -> Batch:
        batch = Batch(self.topic, list(values), **columns)
        self.guard.process(batch)
        return batch

    def codes(self, *values: bytes | None, **columns: Any) -> list[str]:
        """The code of each record's first finding; nothing for one that passes."""
        batch = self.guarded(*values, **columns)
        return ["" if row in batch.live else batch.findings[row][0].code for row in range(len(batch.values))]


@pytest.fixture
def confluent(registry_url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry_url}) as client:
        yield client


def test_a_schema_that_is_refused_is_looked_at_again(
    registry_url: str, confluent: SchemaRegistryClient, tmp_path: Path
):
    """A reload would not help: it compiles only the policies that changed."""
    people = People(registry_url, tmp_path)
    clean = f"{people.topic}.clean-value"
    other = {**PERSON, "properties": {"n": {"type": "string"}}}
    confluent.register_schema(clean, Schema(json.dumps(other), "JSON"))
    confluent.set_compatibility(clean, "BACKWARD")
    value = prefix(confluent.register_schema(f"{people.topic}-value", Schema(json.dumps(PERSON), "JSON")))
    assert people.codes(value + PLAIN) == ["schema.incompatible"]
    confluent.set_compatibility(clean, "NONE")
    people.clock.now = UNKNOWN_FOR - 1
    assert people.codes(value + PLAIN) == ["schema.incompatible"]
    people.clock.now = UNKNOWN_FOR
    assert people.codes(value + PLAIN) == [""]


MISSING = 404, {"error_code": 40401, "message": "Subject not found"}


@contextmanager
def at(
    tmp_path: Path,
    answers: dict[str, tuple[int, Any]],
    *,
    slow: tuple[str, float] = ("", 0.0),
    **settings: Any,
) -> Iterator[tuple[People, Answers]]:
    """A guard at a registry that answers so to what its paths begin with, and takes every schema.

    What begins as `slow` takes so many seconds, by the guard's clock.
    """

    def answer(path: str, _: object) -> tuple[int, Any]:
        if path.startswith(slow[0]):
            people.clock.now += slow[1]
        found = [reply for begins, reply in answers.items() if path.startswith(begins)]
        return found[0] if found else (200, {"id": 70})

    with Answers(answer) as server:
        people = People(server.url, tmp_path, **settings)
        yield people, server


def schema(document: Any = PERSON, **more: Any) -> tuple[int, Any]:
    return 200, {"schema": json.dumps(document), "schemaType": "JSON", **more}


def test_a_reference_that_comes_a_moment_too_late(tmp_path: Path):
    """It is asked for once meanwhile, and not with every slice."""
    referring = {**PERSON, "properties": {**PERSON["properties"], "born": {"$ref": "day.json"}}}
    reference = {"name": "day.json", "subject": "day", "version": 1}
    answers = {"/schemas/ids/7": schema(referring, references=[reference]), "/subjects/day/": MISSING}
    with at(tmp_path, answers) as (people, server):
        for _ in range(3):
            assert people.codes(prefix(7) + PLAIN, prefix(7) + PLAIN) == ["decode.schema"] * 2
        assert len(server.requests) == 2
        day = {"$schema": PERSON["$schema"], "$id": "day.json", "type": "string"}
        answers["/subjects/day/"] = schema(day, subject="day", version=1, id=8)
        people.clock.now = UNKNOWN_FOR
        assert people.codes(prefix(7) + PLAIN) == [""]


def test_a_kind_of_schema_that_nobody_here_reads(tmp_path: Path):
    thrift = 200, {"schema": "struct", "schemaType": "THRIFT"}
    avro = 200, {"schema": '"string"', "schemaType": "AVRO"}
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/8": thrift, "/schemas/ids/9": avro}
    with at(tmp_path, answers) as (people, server):
        batch = people.guarded(prefix(8) + b"x", prefix(7) + PLAIN, prefix(9) + b"\x02a", prefix(8) + b"y")
        assert batch.live == [1]
        assert {found[0] for found in batch.findings.values()} == {registered.OTHER}
        people.codes(prefix(8) + b"x", prefix(9) + b"x")
        assert len([path for path, _ in server.requests if path.startswith("/schemas")]) == 3


def test_a_step_that_does_not_fit_a_later_version(tmp_path: Path):
    """What a policy says of another version is no failure of ours."""
    later = {**PERSON, "properties": {**PERSON["properties"], "n": {"type": ["integer", "string"]}}}
    policy = POLICY + "clean:\n  n: coerce\n"
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/8": schema(later)}
    with at(tmp_path, answers, policy=policy) as (people, _):
        assert people.codes(prefix(7) + PLAIN, prefix(8) + PLAIN) == ["", "schema.refused"]


def test_a_registry_that_gives_no_id(tmp_path: Path):
    answers = {"/schemas/ids/7": schema(), "/subjects/": (200, {"version": 1})}
    with at(tmp_path, answers) as (people, _):
        assert people.codes(prefix(7) + PLAIN, None) == ["schema.incompatible", ""]


def test_schemas_that_are_refused_push_no_corridor_out(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(registered, "MOST", 2)
    wider = {**PERSON, "properties": {**PERSON["properties"], "shoe": {"type": "integer"}}}
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/": schema(wider)}
    caplog.set_level("INFO")
    with at(tmp_path, answers) as (people, _):
        for other in range(100, 110):
            assert people.codes(prefix(7) + PLAIN, prefix(other) + PLAIN) == ["", "schema.unclassified"]
    assert caplog.messages.count("corridor.compiled") == 1
    assert caplog.messages.count("corridor.refused") == 10


def test_the_rows_of_several_schemas_stay_in_their_order(tmp_path: Path):
    """With what belongs to them: keys, headers, timestamps, places."""
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/8": schema({**PERSON, "title": "again"})}
    count = 40
    kinds = [n % 5 for n in range(count)]
    values = [
        [None, b"no frame", prefix(7) + b'{"n":%d}' % n, prefix(8) + b'{"n":%d}' % n, prefix(7) + b"{"][kind]
        for n, kind in enumerate(kinds)
    ]
    with at(tmp_path, answers, policy=POLICY + "headers: keep\n") as (people, _):
        batch = people.guarded(
            *values,
            keys=[b"%d" % n for n in range(count)],
            headers=[[("h", b"%d" % n)] for n in range(count)],
            timestamps=[1000 + n for n in range(count)],
            partitions=[n % 3 for n in range(count)],
            offsets=[500 + n for n in range(count)],
        )
        assert batch.live == [n for n, kind in enumerate(kinds) if kind in (0, 2, 3)]
        for row in batch.live:
            value = batch.out_values[row]
            assert (value is None) if kinds[row] == 0 else json.loads((value or b"")[5:]) == {"n": row}
            assert batch.out_keys[row] == b"%d" % row
            assert batch.out_timestamps[row] == 1000 + row
            headers = dict(batch.out_headers[row])
            assert headers["h"] == b"%d" % row
            assert headers["sg-source"] == f"{people.topic}/{row % 3}/{500 + row}".encode()


NO_SCHEMA = 404, {"error_code": 40403, "message": "Schema not found"}


def test_more_unknown_schemas_than_a_slow_registry_can_answer_for(tmp_path: Path):
    """A pause instead of a slice that takes longer than a member of a group may be silent; it goes on after it."""
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/": NO_SCHEMA}
    values = [prefix(schema_id) + PLAIN for schema_id in (7, *range(100, 115))]
    with at(tmp_path, answers, slow=("/schemas/ids/1", 2.0)) as (people, server):
        with pytest.raises(RegistryUnavailableError, match="too slow for the number of schemas") as failure:
            people.guarded(*values)
        assert not failure.value.lasts
        assert len([path for path, _ in server.requests if path.startswith("/schemas/ids/1")]) == 10
        assert people.codes(*values) == [""] + ["decode.schema"] * 15
        assert len([path for path, _ in server.requests if path.startswith("/schemas/ids/1")]) == 15


# -- keys ------------------------------------------------------------------------------------------------------------

KEYS = POLICY.replace("key: keep", "key: tokenize\nkey_format: {form}")


@pytest.mark.parametrize("form", ["avro", "json"])
def test_keys_whose_schema_the_clean_subject_does_not_take(
    registry_url: str, confluent: SchemaRegistryClient, tmp_path: Path, form: str
):
    people = People(registry_url, tmp_path, KEYS.replace("{form}", form))
    numbers = {"avro": '"int"', "json": json.dumps({"$schema": PERSON["$schema"], "type": "integer"})}[form]
    texts = {"avro": '"string"', "json": json.dumps({"$schema": PERSON["$schema"], "type": "string"})}[form]
    clean = f"{people.topic}.clean-key"
    confluent.register_schema(clean, Schema(numbers, form.upper()))
    confluent.set_compatibility(clean, "FULL")
    key = prefix(confluent.register_schema(f"{people.topic}-key", Schema(texts, form.upper())))
    value = prefix(confluent.register_schema(f"{people.topic}-value", Schema(json.dumps(PERSON), "JSON")))
    key += b"\x06ana" if form == "avro" else b'"ana"'
    columns = {"keys": [key, None, key]}
    records = (value + PLAIN, value + PLAIN, None)
    batch = people.guarded(*records, **columns)
    assert batch.live == [1]
    assert {(found[0].code, found[0].path) for found in batch.findings.values()} == {
        ("schema.incompatible", "$key")
    }
    confluent.set_compatibility(clean, "NONE")
    people.clock.now = UNKNOWN_FOR
    assert people.codes(*records, **columns) == ["", "", ""]


def test_a_key_of_another_kind_of_schema_is_not_misread(tmp_path: Path):
    """A JSON Schema of one type is an Avro schema as well, and 17 letters in quotes begin as its datum does."""
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/8": schema({"type": "string"})}
    with at(tmp_path, answers, policy=KEYS.replace("{form}", "avro")) as (people, server):
        for _ in range(3):
            keys: list[bytes | None] = [prefix(8) + b'"sixteen letters!"']
            assert people.codes(prefix(7) + PLAIN, keys=keys) == ["decode.key"]
        assert len([path for path, _ in server.requests if path == "/schemas/ids/8"]) == 1


def test_a_key_that_could_be_either_of_two_things(tmp_path: Path):
    """A number of days or one of milliseconds: neither can be read as what it is."""
    members = [{"type": "int", "logicalType": "date"}, {"type": "long", "logicalType": "timestamp-millis"}]
    either = 200, {"schema": json.dumps(members), "schemaType": "AVRO"}
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/8": either}
    with at(tmp_path, answers, policy=KEYS.replace("{form}", "avro")) as (people, _):
        keys: list[bytes | None] = [prefix(8) + b"\x00\x02"]
        assert people.codes(prefix(7) + PLAIN, keys=keys) == ["decode.key"]


def test_more_unknown_schemas_of_keys_than_a_slow_registry_can_answer_for(tmp_path: Path):
    answers = {"/schemas/ids/7": schema(), "/schemas/ids/": NO_SCHEMA}
    policy = KEYS.replace("{form}", "avro")
    keys = [prefix(schema_id) + b"\x02a" for schema_id in range(100, 115)]
    with at(tmp_path, answers, slow=("/schemas/ids/1", 2.0), policy=policy) as (people, server):
        with pytest.raises(RegistryUnavailableError, match="too slow for the number of schemas"):
            people.guarded(*[prefix(7) + PLAIN] * 15, keys=keys)
        assert people.codes(*[prefix(7) + PLAIN] * 15, keys=keys) == ["decode.key"] * 15
        assert len([path for path, _ in server.requests if path.startswith("/schemas/ids/1")]) == 15


def test_a_key_that_became_text_does_not_go_on_naming_a_schema(tmp_path: Path):
    policy = POLICY.replace("key: keep", "key: tokenize") + "headers: keep\n"
    with at(tmp_path, {"/schemas/ids/7": schema()}, policy=policy) as (people, _):
        headers: list[Any] = [[(KEY_HEADER, prefix(8)), ("h", b"x")]]
        batch = people.guarded(prefix(7) + PLAIN, keys=[b"ana"], headers=headers)
        assert batch.live == [0]
        assert KEY_HEADER not in dict(batch.out_headers[0])
        assert dict(batch.out_headers[0])["h"] == b"x"


# -- check --online --------------------------------------------------------------------------------------------------


LABEL = {"name": "a", "type": "string"}


def test_a_preview_of_a_schema_of_another_kind(tmp_path: Path):
    record = {"type": "record", "name": "P", "fields": [{"name": "n", "type": "int"}]}
    latest = 200, {"schema": json.dumps(record), "schemaType": "AVRO", "id": 7, "version": 1, "subject": "s"}
    with at(tmp_path, {"/subjects/": latest}) as (people, _):
        proof = preview(people.loaded, people.registry).proof
    assert not proof.ok
    assert proof.message == "The registered schema is of the kind AVRO, and the policy's format is json"


def test_a_preview_of_places_that_are_protected_as_a_whole(tmp_path: Path):
    """They do not go: they become one value."""
    things = {
        "type": "array",
        "items": {"type": "record", "name": "Thing", "fields": [LABEL, {**LABEL, "name": "b"}]},
    }
    fields = [
        LABEL,
        {"name": "labels", "type": {"type": "map", "values": "string"}},
        {"name": "things", "type": things},
    ]
    record = {"type": "record", "name": "P", "fields": [*fields, {"name": "gone", "type": "int"}]}
    latest = 200, {"schema": json.dumps(record), "schemaType": "AVRO", "id": 7, "version": 1, "subject": "s"}
    policy = POLICY.replace("json", "avro").replace("name: encrypt", "labels: encrypt\n  things: encrypt")
    policy = policy.replace("born: drop", "gone: drop").replace("[n]", "[a]")
    answers = {"/subjects/": latest, "/compatibility/": (200, {"is_compatible": True})}
    with at(tmp_path, answers, policy=policy) as (people, _):
        proof = preview(people.loaded, people.registry).proof
    assert proof.ok, proof
    assert proof.message.partition(": ")[2] == (
        "labels as a whole → string, things as a whole → string, gone is dropped"
    )


def test_a_preview_names_paths_that_the_schema_does_not_have(tmp_path: Path):
    """Another version may have them; whoever mistyped one learns it here."""
    latest = schema({**PERSON, "title": "later"}, id=7, version=1, subject="s")
    answers = {"/subjects/": latest, "/compatibility/": (200, {"is_compatible": True})}
    policy = POLICY.replace("  born: drop", "  born: drop\n  nmae: encrypt\n  home.street: encrypt")
    with at(tmp_path, answers, policy=policy) as (people, _):
        proof = preview(people.loaded, people.registry).proof
    assert proof.ok
    assert proof.message.endswith("; the schema has no 'nmae', nor 1 more of the policy's paths")
    assert proof.remedy == "Correct the path, unless an earlier version has it."


def test_explain_online_shows_the_fields_that_the_registry_has(tmp_path: Path):
    """Also those that only a tag speaks of; and nothing is said to be unseen then."""
    tagged = {**PERSON["properties"], "mail": {"type": "string", "confluent:tags": ["PII"]}}
    latest = schema({**PERSON, "properties": tagged}, id=7, version=1, subject="s")
    answers = {
        "/subjects/": latest,
        "/compatibility/": (200, {"is_compatible": True}),
        "/schemas/types": (200, ["JSON"]),
    }
    with at(tmp_path, answers, policy=POLICY + "tags:\n  PII: hash\n") as (_, server):
        write_file(tmp_path / "m.key", generate())
        service = {
            "kafka": {"bootstrap.servers": "localhost:9"},
            "keys": {"provider": "local", "file": "m.key"},
            "store": {"url": "sqlite:///s.db"},
            "policies": ["people.yaml"],
            "registry": {"url": server.url},
        }
        (tmp_path / "s.yaml").write_text(json.dumps(service))
        asked = ["check", "-c", str(tmp_path / "s.yaml"), "--explain", "--json"]
        alone, online = (CliRunner().invoke(app, [*asked, *more]) for more in ([], ["--online"]))
    report = json.loads(online.stdout)
    rows = {row["path"]: (row["treatment"], row["origin"]) for row in report["treatments"]["people"]}
    assert rows["mail"] == ("hash", "tag PII")
    assert rows["n"] == ("kept", "keep")
    assert (online.exit_code, report["problems"]) == (0, [])
    (warning,) = json.loads(alone.stdout)["problems"]
    assert warning["message"].startswith("the schemas are in the registry")
