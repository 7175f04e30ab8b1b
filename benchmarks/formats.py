"""The reference orders in other formats than JSON, and the reference policy over them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from benchmarks.guards import reference_guard
from benchmarks.records import SCHEMA
from streamguard.guard.guard import Guard
from streamguard.policy.models import Value

_SCHEMAS: Final = Path(__file__).resolve().parent.parent / "schemas"
_EPOCH: Final = date(1970, 1, 1)

Format = Literal["json", "avro", "protobuf"]
SCHEMAS: Final[dict[Format, Path]] = {
    "json": SCHEMA,
    "avro": _SCHEMAS / "order.avsc",
    "protobuf": _SCHEMAS / "order.proto",
}
"""The schema of the orders in each format."""


def guarded(values: list[bytes]) -> dict[str, tuple[Guard, list[bytes]]]:
    """For each other format, the guard and the same orders written in it."""
    return {"guard in Avro": _in(values, "avro"), "guard in Protobuf": _in(values, "protobuf")}


def written(values: list[bytes], format_: Format) -> list[bytes]:
    """Orders in a format."""
    return values if format_ == "json" else _in(values, format_)[1]


def _in(values: list[bytes], format_: Format) -> tuple[Guard, list[bytes]]:
    is_avro, text = format_ == "avro", SCHEMAS[format_].read_text()
    guard = reference_guard(Value(format=format_), json.loads(text) if is_avro else text)
    orders = map(orjson.loads, values)
    return guard, list(map(guard.form.encode, map(_as_avro, orders) if is_avro else orders))


def _as_avro(order: dict[str, Any]) -> dict[str, Any]:
    """Avro has numbers for dates, and no dots in the symbols of an enum."""
    born = date.fromisoformat(order["customer"]["birth_date"])
    order["customer"]["birth_date"] = (born - _EPOCH).days
    return order | {"type": order["type"].replace(".", "_")}
