"""Random Avro schemas with documents: plain ones, and ones that tell fastavro which member of a union is meant."""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from hypothesis import strategies as st

ORDER = json.loads((Path(__file__).parents[3] / "schemas" / "order.avsc").read_text())


@dataclass
class Case:
    schema: Any
    plain: Any
    told: Any


_NUMBERS = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
}
_VALUES = {
    "null": st.none(),
    "boolean": st.booleans(),
    "string": st.text(max_size=80),
    "bytes": st.binary(max_size=80),
    **_NUMBERS,
}
_KINDS_OF_PYTHON = {"int": int, "long": int, "float": float, "double": float, "string": str, "enum": str}
_KINDS_OF_PYTHON |= {"bytes": bytes, "fixed": bytes, "array": list, "map": dict}


@st.composite
def cases(draw, depth=3):
    """One schema with a document."""
    schema = draw(_schemas(depth, iter(range(10_000))))
    plain, told = draw(_documents(schema))
    return Case(schema, plain, told)


@st.composite
def _schemas(draw, depth, numbers):
    kinds = [*_VALUES, "enum", "fixed"] + (["record", "array", "map", "union"] * 2 if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "union":
        members = {}
        for _ in range(draw(st.integers(1, 4))):
            member = draw(_schemas(depth - 1, numbers).filter(lambda schema: not isinstance(schema, list)))
            name = _kind(member)
            # Those that documents cannot tell apart have their own tests.
            members.setdefault(
                name if name in ("record", "null") else _KINDS_OF_PYTHON.get(name, name), []
            ).append(member)
        if dict in members:
            members.pop("record", None)
        return [
            each for name, found in members.items() for each in (found if name == "record" else found[:1])
        ]
    if kind == "enum":
        return {"type": "enum", "name": f"E{next(numbers)}", "symbols": draw(_names(1, 70))}
    if kind == "fixed":
        return {"type": "fixed", "name": f"F{next(numbers)}", "size": draw(st.integers(1, 20))}
    if kind == "array":
        items = draw(_schemas(depth - 1, numbers).filter(lambda schema: _least(schema) > 0))
        return {"type": "array", "items": items}
    if kind == "map":
        return {"type": "map", "values": draw(_schemas(depth - 1, numbers))}
    if kind == "record":
        fields = [{"name": name, "type": draw(_schemas(depth - 1, numbers))} for name in draw(_names(1, 5))]
        return {"type": "record", "name": f"R{next(numbers)}", "fields": fields}
    return kind if draw(st.booleans()) else {"type": kind}


def _names(least, most):
    name = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{1,8}", fullmatch=True).filter(str.isascii)
    return st.lists(name, min_size=least, max_size=most, unique=True)


def _kind(schema):
    return "union" if isinstance(schema, list) else schema if isinstance(schema, str) else schema["type"]


def _least(schema):
    kind = _kind(schema)
    if kind == "record":
        return sum(_least(field["type"]) for field in schema["fields"])
    return 0 if kind == "null" else 1


@st.composite
def _documents(draw, schema):
    kind = _kind(schema)
    if kind in _VALUES:
        value = draw(_VALUES[kind])
        return value, value
    if kind == "enum":
        value = draw(st.sampled_from(schema["symbols"]))
        return value, value
    if kind == "fixed":
        value = draw(st.binary(min_size=schema["size"], max_size=schema["size"]))
        return value, value
    if kind == "array":
        pairs = draw(st.lists(_documents(schema["items"]), max_size=4))
        return [plain for plain, _ in pairs], [told for _, told in pairs]
    if kind == "map":
        pairs = draw(st.dictionaries(st.text(max_size=9), _documents(schema["values"]), max_size=4))
        return {k: plain for k, (plain, _) in pairs.items()}, {k: told for k, (_, told) in pairs.items()}
    if kind == "record":
        pairs = {field["name"]: draw(_documents(field["type"])) for field in schema["fields"]}
        return {k: plain for k, (plain, _) in pairs.items()}, {k: told for k, (_, told) in pairs.items()}
    member = draw(st.sampled_from(schema))
    plain, told = draw(_documents(member))
    return plain, (member["name"] if isinstance(member, dict) and "name" in member else _kind(member), told)


def written(schema: Any, document: Any) -> bytes:
    """What fastavro writes."""
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), document)
    return out.getvalue()


def readback(schema: Any, data: bytes) -> Any:
    """What fastavro reads."""
    return fastavro.schemaless_reader(BytesIO(data), fastavro.parse_schema(schema), None)


def record(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    """A record of (name, type) pairs, or of whole fields."""
    made = [field if isinstance(field, dict) else {"name": field[0], "type": field[1]} for field in fields]
    return {"type": "record", "name": name, "fields": made, **more}
