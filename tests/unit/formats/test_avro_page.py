"""docs/avro.md says what is true."""

import json
import re

import pytest

from streamguard.errors import ConfigError
from streamguard.formats.avro import AvroForm
from streamguard.formats.base import Change
from streamguard.policy.paths import Path, parse_path
from tests.docs.pages import page
from tests.unit.formats.avro_cases import record

PAGE = page("docs/avro.md")
BLOCKS = {block.kind: json.loads(block.text) for block in PAGE.blocks}
TEXT = Change(frozenset({"string"}))


def test_the_schema_of_what_leaves():
    tokens = dict.fromkeys(map(parse_path, ("id", "born", "work.zip")), TEXT)
    form = AvroForm(BLOCKS["json before"]).changed({**tokens, parse_path("ssn"): Change(frozenset())})
    assert json.loads(form.text) == BLOCKS["json after"]


@pytest.mark.parametrize(
    ("schema", "value", "kind"),
    [
        ("int", 7, "integer"),
        ("double", 0.5, "number"),
        ("boolean", True, "boolean"),
        ({"type": "enum", "name": "E", "symbols": ["order_paid"]}, "order_paid", "string"),
        ({"type": "int", "logicalType": "date"}, 5154, "string"),
        ({"type": "int", "logicalType": "time-millis"}, 3_723_004, "string"),
        ({"type": "long", "logicalType": "timestamp-millis"}, 1_763_700_000_123, "string"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, 1_763_700_000_123, "string"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, b"\xff\x06", "string"),
        ({"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}, bytes(range(16)), "string"),
    ],
)
def test_the_examples_of_the_table(schema, value, kind):
    form = AvroForm(schema)
    lift = form.lift(Path(()))
    [seen] = lift([value]) if lift else [value]
    name = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    rows = [row for row in PAGE.text.splitlines() if re.match(rf"\| [^|]*`{name}`", row)]
    assert any(f"`{json.dumps(seen)}`" in row for row in rows)
    assert form.leaves[0].types == {kind}
    assert not form.leaves[0].format or any(f"format `{form.leaves[0].format}`" in row for row in rows)


@pytest.mark.parametrize(
    "members",
    [
        ["int", "long"],
        ["float", "double"],
        ["string", {"type": "enum", "name": "E", "symbols": ["A"]}],
        ["bytes", {"type": "fixed", "name": "F", "size": 1}],
        [{"type": "map", "values": "int"}, record(("a", "int"))],
    ],
)
def test_unions_that_are_refused_unless_protected(members):
    form = AvroForm(members)
    with pytest.raises(ConfigError):
        form.changed({})
    assert json.loads(form.changed({Path(()): TEXT}).text) == "string"
