"""The reference orders in other formats than JSON, and the reference policy over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.guards import reference_guard
from streamguard.guard.guard import Guard
from streamguard.policy.models import Value

_SCHEMAS: Final = Path(__file__).parent.parent / "schemas"
_EPOCH: Final = date(1970, 1, 1)


def guarded(values: list[bytes]) -> dict[str, tuple[Guard, list[bytes]]]:
    """For each format, the guard and the same orders written in it."""
    avro = reference_guard(Value(format="avro"), json.loads((_SCHEMAS / "order.avsc").read_text()))
    protobuf = reference_guard(Value(format="protobuf"), (_SCHEMAS / "order.proto").read_text())
    return {
        "guard in Avro": (avro, _written(avro, values, _as_avro)),
        "guard in Protobuf": (protobuf, _written(protobuf, values, lambda order: order)),
    }


def _written(guard: Guard, values: list[bytes], translate: Callable[[Any], Any]) -> list[bytes]:
    return [guard.form.encode(translate(orjson.loads(value))) for value in values]


def _as_avro(order: dict[str, Any]) -> dict[str, Any]:
    """Avro has numbers for dates, and no dots in the symbols of an enum."""
    born = date.fromisoformat(order["customer"]["birth_date"])
    order["customer"]["birth_date"] = (born - _EPOCH).days
    return order | {"type": order["type"].replace(".", "_")}
