"""The input that every figure is stated for: orders of about 505 bytes with six fields that the policy protects.

The same seed gives the same orders on every machine, so that figures of two machines speak of the same bytes.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any, Final

import orjson

REFERENCE: Final = Path(__file__).parent / "reference"
POLICY: Final = REFERENCE / "orders.yaml"
SCHEMA: Final = REFERENCE / "order.schema.json"
PROTECTED: Final = (
    "customer.id",
    "customer.name",
    "customer.email",
    "customer.phone",
    "customer.ssn",
    "payment.card_number",
)
"""The fields the reference policy protects, and the ones that every peer encrypts."""

_FIRST: Final = ("Ana", "Ravi", "Chen", "Aiko", "Olu", "Lena", "Tomas", "Mary")
_LAST: Final = ("Silva", "Patel", "Tanaka", "Adeyemi", "Novak", "Weber", "Garcia", "Murphy")


def orders(count: int, seed: int = 1) -> list[bytes]:
    """`count` valid orders as compact JSON."""
    source = random.Random(seed)
    return [orjson.dumps(_order(source, number)) for number in range(count)]


def _order(source: random.Random, number: int) -> dict[str, Any]:
    first, last = source.choice(_FIRST), source.choice(_LAST)
    items = [
        {
            "sku": f"SKU-{source.randrange(1000, 10_000)}",
            "qty": source.randrange(1, 5),
            "price": round(source.uniform(0, 90), 2),
        }
        for _ in range(3)
    ]
    return {
        "event_id": str(uuid.UUID(int=source.getrandbits(128))),
        "ts": 1_763_700_000_000 + number,
        "type": "order.placed",
        "customer": {
            "id": f"C{source.randrange(10**8):08}",
            "name": f"{first} {last}",
            "email": f"{first}.{last}{number}@example.com".lower(),
            "phone": f"+1415555{source.randrange(10_000):04}",
            "ssn": f"{source.randrange(1000):03}-{source.randrange(100):02}-{source.randrange(10_000):04}",
            "birth_date": "1984-02-11",
        },
        "payment": {
            "card_number": "4111111111111111",
            "amount": round(source.uniform(0, 500), 2),
            "currency": "EUR",
        },
        "items": items,
        "ip": f"10.{source.randrange(256)}.{source.randrange(256)}.{source.randrange(256)}",
        "note": "leave at the door",
    }
