"""The reference orders in other formats than JSON, and the reference policy over them."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    avro, protobuf = _avro(), _protobuf()
    return {
        "guard in Avro": (avro, _written(avro, values, _as_avro)),
        "guard in Protobuf": (protobuf, _written(protobuf, values, _as_it_is)),
    }


def written(values: list[bytes], format_: Format) -> list[bytes]:
    """Orders in a format."""
    if format_ == "avro":
        return _written(_avro(), values, _as_avro)
    return _written(_protobuf(), values, _as_it_is) if format_ == "protobuf" else values


def _avro() -> Guard:
    return reference_guard(Value(format="avro"), json.loads(SCHEMAS["avro"].read_text()))


def _protobuf() -> Guard:
    return reference_guard(Value(format="protobuf"), SCHEMAS["protobuf"].read_text())


def _as_it_is(order: dict[str, Any]) -> dict[str, Any]:
    return order


def _written(guard: Guard, values: list[bytes], translate: Callable[[Any], Any]) -> list[bytes]:
    return [guard.form.encode(translate(orjson.loads(value))) for value in values]


def _as_avro(order: dict[str, Any]) -> dict[str, Any]:
    """Avro has numbers for dates, and no dots in the symbols of an enum."""
    born = date.fromisoformat(order["customer"]["birth_date"])
    order["customer"]["birth_date"] = (born - _EPOCH).days
    return order | {"type": order["type"].replace(".", "_")}
