"""Sample orders, and what producers do to them: realistic, fictitious, and the same for the same seed.

Orders match ``schemas/order.schema.json``. People, addresses and numbers are made up: e-mail domains are reserved
(RFC 2606), IP addresses for documentation (RFC 5737), phone numbers come from ranges kept free for fiction, SSNs from
areas never assigned, and card numbers have a right check digit, so that they look real to everything that looks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson

Order = dict[str, Any]

START_MS: Final = 1_767_225_600_000
"""Time of the first order: 2026-01-01 UTC. One follows per millisecond."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One Kafka record as a shop would produce it. `fault` names what is wrong with it, if anything."""

    key: bytes
    value: bytes
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of bad record: the violation `code` it must end as, and how an order becomes one."""

    code: str
    spoil: Callable[[Order, Random], bytes]


class Orders:
    """An endless stream of orders, of which the share `faults` (0 to 1) is bad in ways that take turns."""

    def __init__(self, seed: int = 1, faults: float = 0.05) -> None:
        self.faults = faults
        self._random = Random(seed)  # noqa: S311 - samples, not secrets
        self._count = 0
        self._kinds = self._endless(list(FAULTS))

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        random = self._random
        order = _order(random, START_MS + self._count)
        self._count += 1
        key = order["customer"]["id"].encode()
        if random.random() >= self.faults:
            return Sample(key, orjson.dumps(order))
        kind = next(self._kinds)
        return Sample(key, FAULTS[kind].spoil(order, random), kind)

    def _endless(self, kinds: list[str]) -> Iterator[str]:
        while True:
            self._random.shuffle(kinds)
            yield from kinds


def _order(random: Random, ts: int) -> Order:
    first, last = random.choice(_FIRST_NAMES), random.choice(_LAST_NAMES)
    items = [_item(random) for _ in range(random.choice((1, 1, 2, 2, 3)))]
    order = {
        "event_id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "ts": ts,
        "type": random.choice(_TYPES),
        "customer": {
            "id": f"C{random.randrange(10**8):08}",
            "name": f"{first} {last}",
            "email": f"{_ascii(first)}.{_ascii(last)}{random.randrange(100)}@{random.choice(_DOMAINS)}",
            "phone": _phone(random),
            "ssn": f"{random.randrange(900, 1000)}-{random.randrange(1, 100):02}-{random.randrange(1, 10_000):04}",
            "birth_date": f"{random.randrange(1940, 2007)}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}",
        },
        "payment": {
            "card_number": _card(random),
            "amount": round(sum(item["qty"] * item["price"] for item in items), 2),
            "currency": random.choice(("EUR", "EUR", "EUR", "USD", "GBP", "CHF")),
        },
        "items": items,
        "ip": f"{random.choice(_NETWORKS)}.{random.randrange(1, 255)}",
    }
    if random.random() < 0.7:
        order["note"] = random.choice(_NOTES)
    return order


def _item(random: Random) -> Order:
    item = {
        "sku": f"SKU-{random.randrange(1000, 10_000)}",
        "qty": random.choice((1, 1, 1, 2, 3)),
        "price": round(random.uniform(4, 120), 2),
    }
    if random.random() < 0.1:
        item["gift_note"] = f"Happy birthday, {random.choice(_FIRST_NAMES)}!"
    return item


def _phone(random: Random) -> str:
    """Ranges that no telephone has: North America's 555-01xx, and Ofcom's mobile numbers for drama."""
    line = random.randrange(100, 200)
    return random.choice(
        (f"+1415555{line:04}", f"+1212555{line:04}", f"+44770090{random.randrange(1_000):04}")
    )


def _card(random: Random) -> str:
    body = random.choice(("411111", "453201", "510510", "555555", "520082")) + f"{random.randrange(10**9):09}"
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(body))
    return f"{body}{-sum(number // 10 + number % 10 for number in doubled) % 10}"


def _ascii(name: str) -> str:
    return name.lower().translate(_PLAIN)


# Faults. Each takes a good order and returns the bytes that a producer sent by mistake.


def _changed(path: str, value: Any) -> Callable[[Order, Random], bytes]:
    """The order with another value at `path`, or without it when that is None."""
    *above, last = path.split(".")

    def spoil(order: Order, _: Random) -> bytes:
        holder = order
        for name in above:
            holder = holder[name]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
        return orjson.dumps(order)

    return spoil


def _noted(note: Callable[[Order, Random], str]) -> Callable[[Order, Random], bytes]:
    """The order with something in its note that does not belong there."""
    return lambda order, random: orjson.dumps(order | {"note": note(order, random)})


def _cut_off(order: Order, random: Random) -> bytes:
    value = orjson.dumps(order)
    return value[: random.randrange(20, len(value) - 1)]


def _in_latin_1(order: Order, _: Random) -> bytes:
    return orjson.dumps(order | {"note": "Bitte läuten"}).decode().encode("latin-1", "replace")


def _not_a_number(order: Order, _: Random) -> bytes:
    order["payment"]["amount"] = 0
    return orjson.dumps(order).replace(b'"amount":0', b'"amount":NaN')


def _too_wide(order: Order, _: Random) -> bytes:
    return orjson.dumps(order | {"ts": 0}).replace(b'"ts":0', b'"ts":100000000000000000000')


def _quantity_as_text(order: Order, _: Random) -> bytes:
    order["items"][0]["qty"] = str(order["items"][0]["qty"])
    return orjson.dumps(order)


FAULTS: Final[Mapping[str, Fault]] = {
    "cut off in the middle": Fault("decode.json", _cut_off),
    "not UTF-8": Fault("decode.json", _in_latin_1),
    "NaN for a number": Fault("decode.json", _not_a_number),
    "a number beyond 64 bits": Fault("decode.number", _too_wide),
    "nothing at all": Fault("decode.empty", lambda _, __: b""),
    "no e-mail address": Fault("schema.required", _changed("customer.email", None)),
    "a wrong e-mail address": Fault("schema.format", _changed("customer.email", "ana.at.example.com")),
    "a day that does not exist": Fault("schema.format", _changed("customer.birth_date", "1984-02-31")),
    "a wrong customer id": Fault("schema.pattern", _changed("customer.id", "12345678")),
    "a quantity as text": Fault("schema.type", _quantity_as_text),
    "an unknown kind of order": Fault("schema.enum", _changed("type", "order.lost")),
    "an order of nothing": Fault("schema.minItems", _changed("items", [])),
    "a field nobody declared": Fault("schema.undeclared", _changed("customer.mothers_maiden_name", "Okafor")),
    "a text where an object belongs": Fault("schema.type", _changed("customer", "C12345678")),
    "a negative amount": Fault("quality.negative_amount", _changed("payment.amount", -49.9)),
    "an e-mail address in the note": Fault(
        "inspect.email", _noted(lambda order, _: f"please confirm to {order['customer']['email']}")
    ),
    "a phone number in the note": Fault(
        "inspect.phone", _noted(lambda order, _: f"call {order['customer']['phone']} on arrival")
    ),
    "a card number in the note": Fault(
        "inspect.card", _noted(lambda _, random: f"charge {_card(random)} instead")
    ),
}
"""What is wrong → how it is done, and the violation it ends as."""

_TYPES: Final = ("order.placed", "order.placed", "order.placed", "order.paid", "order.cancelled")
_NETWORKS: Final = ("192.0.2", "198.51.100", "203.0.113")
_DOMAINS: Final = ("example.com", "example.org", "example.net")
_FIRST_NAMES: Final = (
    "Ana", "Amélie", "Aisha", "Bram", "Chen", "Chiara", "Daniel", "Elif", "Emma", "Farid", "Fatima",
    "Grace", "Hana", "Henrik", "Ines", "Ivan", "Jamal", "Jun", "Kofi", "Lars", "Leila", "Lucía", "Marek",
    "María", "Mateo", "Mina", "Noah", "Nour", "Olga", "Oluwaseun", "Omar", "Priya", "Rahul", "Rosa", "Sana",
    "Sofia", "Tariq", "Thandiwe", "Yuki", "Zoë",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Adeyemi", "Almeida", "Andersson", "Bakker", "Becker", "Bianchi", "Castillo", "Dubois", "Eriksen",
    "Fischer", "García", "Haddad", "Horvat", "Ibrahim", "Ito", "Jansen", "Kaya", "Kim", "Kowalska",
    "Laurent", "Lindqvist", "Mensah", "Moreau", "Müller", "Nakamura", "Novák", "Okafor", "Patel", "Popescu",
    "Rossi", "Santos", "Schneider", "Silva", "Singh", "Suzuki", "Tanaka", "Wang", "Yildiz", "Zhang",
    "Öztürk",
)  # fmt: skip
_PLAIN: Final = str.maketrans("áéíóúäöüçñë", "aeiouaoucne")
_NOTES: Final = (
    "leave at the door", "ring twice", "third floor, no lift", "behind the green gate",
    "deliver after 18:00, please", "the dog is friendly", "no substitutions", "gift wrap the small one",
    "please no plastic", "leave with the concierge", "mind the step", "second entrance, left of the bakery",
    "as fast as you can", "thank you!", "the bell does not work",
)  # fmt: skip
