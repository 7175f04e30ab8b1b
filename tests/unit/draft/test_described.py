"""Drafts for records that have a schema already, in each format: it is taken as it is, and its file written beside."""

import json
from collections.abc import Mapping
from uuid import uuid4

import orjson
import pytest
from ruamel.yaml import YAML

from streamguard.draft import described
from streamguard.draft.described import Described, is_framed, read_registered
from streamguard.draft.draft import draft
from streamguard.draft.evidence import read_values
from streamguard.draft.prove import Files, put
from streamguard.errors import ConfigError
from streamguard.formats import framing
from streamguard.formats.avro import AvroForm
from streamguard.formats.json import JsonForm
from streamguard.formats.protobuf import ProtobufForm
from streamguard.formats.registry import Reference, Registered
from streamguard.policy.loader import load_policy

AVRO = {
    "type": "record",
    "name": "Person",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
            {"name": "name", "type": "string"},
            {"name": "email", "type": ["null", "string"], "default": None},
            {"name": "born", "type": {"type": "int", "logicalType": "date"}},
        ]}},
        {"name": "vip", "type": "boolean", "confluent:tags": ["PII"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "opens", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "stock", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 0}},
        {"name": "photo", "type": "bytes"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["NEW", "OLD"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "lat", "type": "float"},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
    ],
}  # fmt: skip
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
message Other { string x = 1; }
message Person {
  string user_id = 1;
  repeated Item items = 2;
  google.protobuf.Timestamp at = 3;
  int64 amount = 4;
  oneof contact { string email = 5; string phone = 6; }
  map<string, string> labels = 7;
  bytes photo = 8;
  bool active = 9;
  google.protobuf.Duration took = 11;
  Plan plan = 10;
  message Item { string note = 1; double price = 2; }
  enum Plan { PLAN_UNKNOWN = 0; PLAN_GOLD = 1; }
}
"""


def avro(n):
    form = AvroForm(AVRO)
    document = {
        "id": f"ορδερ{n}", "customer": {"name": "Ana Σουζα", "email": None, "born": 5000 + n}, "vip": True,
        "at": 1_700_000_000_000 + n, "local": 1, "opens": 2, "price": b"\x04\xe2", "stock": b"\x04",
        "photo": b"\xff\x00", "kind": "OLD", "tags": ["x"], "lat": 52.123, "labels": {"ana@example.net": "x"},
    }  # fmt: skip
    return form.encode(document)


def drafted(folder, values, one: Described):
    evidence = read_values(values, one.form)
    files = Files(folder, "people", one.suffix)
    made = draft("people", f"schemas/{files.schema.name}", evidence, one)
    return made, put(made, files, evidence)


def treated(made):
    return {str(one.leaf.path): one.rule and next(iter(one.rule)) for one in made.treatments}


def test_avro(tmp_path):
    one = Described(AvroForm(AVRO), {"format": "avro", "registry": True}, json.dumps(AVRO), ".avsc")
    made, proof = drafted(tmp_path, [avro(n) for n in range(10)], one)
    assert treated(made) == {
        "id": "tokenize", "customer.name": "encrypt", "customer.email": "encrypt", "customer.born": "generalize",
        "vip": "encrypt", "at": None, "local": None, "opens": None, "price": None, "stock": None, "photo": "encrypt",
        "kind": None, "tags[*]": None, "lat": "generalize", "labels": "encrypt",
    }  # fmt: skip
    assert (proof.tests, proof.clean, proof.violations) == (2, 10, {})
    assert load_policy(tmp_path / "policies" / "people.yaml").schema == AVRO
    policy = (tmp_path / "policies" / "people.yaml").read_text()
    assert "value: {format: avro, registry: true, schema: schemas/people.avsc}" in policy
    assert "its schema says PII" in policy
    written = policy + (tmp_path / "policies" / "people.test.yaml").read_text()
    assert "example.net" not in written
    assert "ορδερ" not in written


def test_protobuf_of_a_message_that_is_not_the_first(tmp_path):
    form = ProtobufForm(PROTO, message="shop.Person")
    person = {
        "user_id": "U-ληθη", "items": [{"note": "αληθεια", "price": 1.5}], "amount": 7, "phone": "+49 30 901820",
        "photo": b"\xff", "active": True, "plan": "PLAN_GOLD", "labels": {},
    }  # fmt: skip
    value = form.encode(person)
    one = Described(form, {"format": "protobuf", "message": "shop.Person", "registry": True}, PROTO, ".proto")
    made, proof = drafted(tmp_path, [value] * 4, one)
    found = treated(made)
    assert {
        "user_id": "tokenize",
        "email": "encrypt",
        "phone": "encrypt",
        "items[*].note": "redact",
    }.items() <= found.items()
    assert (proof.clean, proof.violations) == (4, {})
    assert proof.tests >= 2
    (case, *_) = YAML(typ="safe").load(made.tests)["tests"]
    assert {"at", "photo", "took"} <= case["input"]["value"].keys(), "times and bytes are tested, too"
    assert "ληθη" not in "".join(path.read_text() for path in tmp_path.rglob("*.*"))


def test_a_json_schema_of_which_no_record_can_be_made_up(tmp_path):
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["code", "email"],
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "email": {"type": "string", "format": "email"},
        },
    }
    one = Described(JsonForm(schema), {"format": "json", "registry": True}, json.dumps(schema))
    made, proof = drafted(tmp_path, [orjson.dumps({"code": "AB", "email": "ana@example.net"})], one)
    assert treated(made) == {"code": None, "email": "encrypt"}
    assert (proof.tests, proof.clean, made.has_record) == (1, 1, False)
    assert "a broken value is rejected" in (made.tests or "")


def test_an_avro_value_of_fixed_size_has_a_draft_without_a_record(tmp_path):
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "f", "type": {"type": "fixed", "name": "F", "size": 3}}],
    }
    one = Described(AvroForm(schema), {"format": "avro"}, json.dumps(schema), ".avsc")
    made, proof = drafted(tmp_path, [b"abc"], one)
    assert (treated(made), proof.tests, proof.clean) == ({"f": "encrypt"}, 1, 1)


def test_a_schema_that_refers_to_others_has_no_file_and_no_tests(tmp_path):
    customer = {"type": "record", "name": "shop.Customer", "fields": [{"name": "email", "type": "string"}]}
    order = {"type": "record", "name": "Order", "fields": [{"name": "by", "type": "shop.Customer"}]}
    form = AvroForm(order, {"shop.Customer": customer})
    one = Described(form, {"format": "avro", "registry": True}, None, ".avsc")
    made, proof = drafted(tmp_path, [form.encode({"by": {"email": "ana@example.net"}})], one)
    assert (made.tests, proof.tests, proof.clean) == (None, 0, 1)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["people.yaml"]
    assert "value: {format: avro, registry: true}" in made.policy


# -- frames ------------------------------------------------------------------------------------------------------------


class Shelf:
    """Schemas by id, as a registry has them."""

    def __init__(
        self, schemas: Mapping[object, Registered], references: Mapping[str, str] | None = None
    ) -> None:
        self.schemas = schemas
        self._references = references or {}

    def schema(self, schema_id):
        return self.schemas[schema_id]

    def references(self, _):
        return dict(self._references)


def registered(kind, text, references=()):
    return Registered(7, None, kind, text, tuple(references))


def test_values_of_the_most_frequent_schema_are_taken():
    shelf = Shelf({7: registered("AVRO", json.dumps(AVRO)), 8: registered("AVRO", '"string"')})
    values = [framing.prefix(7) + avro(n) for n in range(3)] + [
        framing.prefix(8) + b"\x02a",
        None,
        b"\x00",
        b"junk!!",
    ]
    evidence, one = read_registered(values, [None] * 7, [b"k"] * 7, shelf)
    assert (len(evidence.documents), evidence.others, evidence.tombstones) == (3, 3, 1)
    assert evidence.values == [avro(n) for n in range(3)]
    assert (one.form.name, one.value, one.suffix) == ("avro", {"format": "avro", "registry": True}, ".avsc")
    assert one.text == json.dumps(AVRO) + "\n"


def test_a_message_that_is_not_the_first_is_named():
    shelf = Shelf({7: registered("PROTOBUF", PROTO)})
    value = framing.prefix(7, (1,)) + b"\x0a\x01x"
    _, one = read_registered([value], [None], [None], shelf)
    assert one.value == {"format": "protobuf", "message": "shop.Person", "registry": True}
    _, one = read_registered([framing.prefix(7, (0,)) + b"\x0a\x01x"], [None], [None], shelf)
    assert "message" not in one.value


def test_schemas_that_are_named_in_headers():
    guid = uuid4()
    shelf = Shelf({guid: registered("JSON", '{"type": "object", "properties": {"a": {"type": "integer"}}}')})
    headers = [[(framing.VALUE_HEADER, framing.header(guid))]]
    _, one = read_registered([b'{"a": 1}'], headers, [None], shelf)
    assert one.value == {"format": "json", "registry": {"framing": "header"}}
    assert is_framed(b'{"a": 1}', headers[0])


@pytest.mark.parametrize(
    ("kind", "text", "key"), [("AVRO", '"string"', b"\x04U1"), ("JSON", '{"type": "string"}', b'"U1"')]
)
@pytest.mark.parametrize("framed", ["prefix", "header"])
def test_keys_that_name_their_schema_are_read_as_the_service_reads_them(tmp_path, kind, text, key, framed):
    """The policy says how, and a key that repeats a field is found to do so."""
    schema = {"type": "record", "name": "P", "fields": [{"name": "user_id", "type": "string"}]}
    shelf = Shelf({7: registered("AVRO", json.dumps(schema)), 8: registered(kind, text)})
    value = framing.prefix(7) + b"\x04U1"
    headers = [[(framing.KEY_HEADER, framing.header(8))]] if framed == "header" else [None]
    keys = [key] if framed == "header" else [framing.prefix(8) + key]
    evidence, one = read_registered([value, value], headers * 2, [*keys, *keys], shelf)
    assert (one.key_format, evidence.keys) == (kind.lower(), [b"U1", b"U1"])
    files = Files(tmp_path, "people", one.suffix)
    made = draft("people", f"schemas/{files.schema.name}", evidence, one)
    assert put(made, files, evidence).clean == 2
    policy = load_policy(files.policy).policy
    assert (policy.key_format, policy.key.element) == (kind.lower(), "people.user_id")


@pytest.mark.parametrize("keys", [[b"U1"], [framing.prefix(9) + b"x"], [framing.prefix(8) + b"x"], [None]])
def test_keys_that_name_none_are_text(keys):
    shelf = Shelf(
        {
            7: registered("AVRO", '{"type": "record", "name": "P", "fields": []}'),
            8: registered("AVRO", '"string"'),
        }
    )
    shelf.schemas[9] = registered("PROTOBUF", PROTO)
    evidence, one = read_registered([framing.prefix(7)], [None], keys, shelf)
    assert (one.key_format, evidence.keys) == ("text", keys)


def test_references_leave_no_file():
    schema = {"type": "record", "name": "O", "fields": [{"name": "by", "type": "shop.C"}]}
    other = {"type": "record", "name": "shop.C", "fields": [{"name": "x", "type": "string"}]}
    reference = Reference("shop.C", "c", 1)
    shelf = Shelf({7: registered("AVRO", json.dumps(schema), [reference])}, {"shop.C": json.dumps(other)})
    _, one = read_registered([framing.prefix(7) + b"\x02a"], [None], [None], shelf)
    assert one.text is None


def test_frames_that_name_nothing():
    with pytest.raises(ConfigError, match="names a schema as it should"):
        read_registered([b"\x00\x01"], [None], [None], Shelf({}))


@pytest.mark.parametrize("value", [b"", b"{}", b'{"a": 1}', None, b"\x00\x00\x00\x00\x01", b"plain text"])
def test_values_without_a_frame(value):
    assert not described.is_framed(value, [("x", b"y")])
