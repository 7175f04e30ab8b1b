"""Where the canaries are planted: policies that use every transform, and records marked wherever data can stand."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.markers import marked

Headers = list[tuple[str, bytes | None]]

CARD = "4929104838291730"  # Luhn's digit is right
PHONE = "+441632960427"
ADDRESS = "10.221.52.176"
MOMENT = "1984-02-11T03:14:15.926535Z"
AMOUNT = 8_462_917_593
LATITUDE, LONGITUDE = 48.8583736102, 2.2944816551
WORDS = (CARD, PHONE[1:], ADDRESS, MOMENT[5:-1], str(AMOUNT), str(LATITUDE), str(LONGITUDE))
"""Marks where only digits fit. Each is longer than what its transform lets through."""

CLEAN_MAX_MESSAGE_BYTES = 30_000
VIOLATIONS_MAX_MESSAGE_BYTES = 60_000

TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["number", "name", "email"],
    "properties": {
        "number": {"type": "integer"},
        "kind": {"enum": ["person", "company"]},
        "comment": {"type": "string", "maxLength": 200},
        "name": {"type": "string", "maxLength": 200},
        "email": {"type": "string", "format": "email"},
        "id": {"type": "string", "pattern": "^[A-Za-z0-9]+$"},
        "login": TEXT,
        "ssn": TEXT,
        "secret": TEXT,
        "card": {"type": "string", "pattern": "^[0-9]{16}$"},
        "phone": TEXT,
        "remark": TEXT,
        "gone": TEXT,
        "nothing": TEXT,
        "fixed": TEXT,
        "moment": TEXT,
        "postcode": TEXT,
        "amount": {"type": "integer", "minimum": 0},
        "address": TEXT,
        "photo": TEXT,
        "alias": TEXT,
        "badge": TEXT,
        "licence": TEXT,
        "coupon": TEXT,
        "trap": TEXT,
        "place": {
            "type": "object",
            "additionalProperties": False,
            "required": ["lat", "lon"],
            "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
        },
        "profile": {"type": "object"},
        "tags": {"type": "array"},
        "attributes": {"type": "object", "additionalProperties": TEXT},
        "contacts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"kind": {"enum": ["email", "phone"]}, "value": TEXT},
            },
        },
    },
}

PEOPLE = """\
topic: %(topic)s
value: {format: json, schema: people.schema.json}
key: tokenize
headers: [traceparent]
quarantine: {retain: 1d}
violation_limit: off
subject: id
clean:
  email: [trim, lower]
  postcode: [trim, nfkc, collapse]
fields:
  name: encrypt
  email: {encrypt: {deterministic: true}, element: email}
  id: tokenize
  login: {tokenize: {prefix: user_, length: 20}}
  ssn: hash
  secret: {hash: {algorithm: hmac-sha256, encoding: base64}}
  card: {mask: {keep_last: 4}}
  phone: {mask: {keep_first: 3, keep_last: 2, separators: "+"}}
  remark: redact
  gone: drop
  nothing: nullify
  fixed: {replace: {value: someone}}
  moment: {generalize: {date: year}}
  postcode: {generalize: {text: 2}}
  amount: {generalize: {number: 1000}}
  address: {generalize: {ip: 24}}
  photo: encrypt
  alias: {fake: {kind: name}}
  place: {generalize: {geo: {decimals: 1}}}
  profile: encrypt
  tags: {encrypt: {deterministic: true}}
  attributes: drop
  contacts[*].value: encrypt
  badge: {encrypt: {per: subject}}
  licence: {fpe: {alphabet: alphanumeric}}
  coupon: {vault: {shape: same}}
  trap: explode
keep: [number, kind, comment, "contacts[*].kind"]
quality:
  - {rule: fixed != name, code: fixed_is_name}
"""

STRANGERS = """\
topic: %(topic)s
value: {format: json, schema: strangers.schema.json}
key: drop
headers: drop
timestamp: {truncate: {to: day}}
quarantine: none
violation_limit: off
undeclared: drop
fields: {name: hash}
keep: [number]
"""
STRANGERS_SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}, "name": TEXT}}

LOOSE = """\
topic: %(topic)s
key: {encrypt: {deterministic: true}}
headers: [traceparent, note]
violation_limit: off
delivery: at_least_once
fields: {name: encrypt, "tags[*]": tokenize}
keep: [number]
"""
"""Without a schema: the paths are the whole declaration. The header `note` may pass, so nothing is planted there."""

LEAKY = """\
topic: %(topic)s
key: drop
violation_limit: off
fields: {email: encrypt}
keep: [number, name]
"""
"""The control: a policy that keeps a field that it should not."""

POLICIES = {"people": PEOPLE, "strangers": STRANGERS, "loose": LOOSE, "leaky": LEAKY}
SCHEMAS = {"people.schema.json": SCHEMA, "strangers.schema.json": STRANGERS_SCHEMA}


EXPLODE = """
import logging
import threading
import warnings

from streamguard.transforms.base import Transform


class Explode(Transform):
    verb = "explode"

    def apply(self, values, reject):
        logging.getLogger("foreign").error("cannot take %s", values, exc_info=ValueError(values))
        warnings.warn(f"cannot take {values}", stacklevel=1)
        thread = threading.Thread(target=self.fail, args=(values,))
        thread.start()
        thread.join()
        self.fail(values)

    def fail(self, values):
        raise ValueError(f"cannot take {values}") from KeyError(*values)
"""
"""A third party's transform that fails, and tells everyone of it, in every way that Python has."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One record, marked. `fails` says that it has to come out as a violation."""

    value: bytes | None
    key: bytes | None
    headers: Headers = field(default_factory=list)
    fails: bool = False


def person(site: str) -> dict[str, Any]:
    """A record of `people` with a mark in every field, and in every name that is data."""

    def mark(name: str) -> str:
        return marked(site + name)

    return {
        "number": 1, "kind": "person", "comment": "call in the morning",
        "name": mark("name"), "email": f"{mark('email')}@example.com", "id": mark("id"), "login": mark("login"),
        "ssn": mark("ssn"), "secret": mark("secret"), "card": CARD, "phone": PHONE, "remark": mark("remark"),
        "gone": mark("gone"), "nothing": mark("nothing"), "fixed": mark("fi"), "moment": MOMENT,
        "postcode": mark("post"), "amount": AMOUNT, "address": ADDRESS, "alias": mark("alias"),
        "badge": mark("badge"), "licence": mark("licence"), "coupon": mark("coupon"),
        "place": {"lat": LATITUDE, "lon": LONGITUDE},
        "profile": {mark("pname"): [mark("pvalue"), {mark("pdeep"): mark("pin")}]},
        "tags": [mark("tag"), {"a": mark("taga")}],
        "attributes": {mark("aname"): mark("avalue")},
        "contacts": [{"kind": "email", "value": mark("con")}],
    }  # fmt: skip


def _marked_headers(site: str) -> Headers:
    """Headers of every kind: marked names and values, forged ones of ours, and one that breaks its grammar."""
    mark = marked(f"{site}header").encode()
    return [
        (marked(f"{site}hname"), mark),
        ("person", mark),
        ("traceparent", b"00-" + mark + b"-01"),
        ("sg-source", b"other/0/0/" + mark),
        ("sg-policy", mark),
        ("__connect.errors.topic", mark),
        ("empty", None),
    ]


def people() -> Iterator[Planted]:
    """Records of the policy `people`."""
    for site in ("good", "goodb"):
        yield Planted(orjson.dumps(person(site)), marked(f"{site}key").encode(), _marked_headers(site))
    for site, spoil in FAULTS.items():
        key = marked(f"{site}key").encode()
        yield Planted(spoil(person(site), site), key, _marked_headers(site), fails=True)
    # Keys that are no text, and records without a document.
    yield Planted(orjson.dumps(person("binkey")), b"\xff\xfe" + marked("binkeykey").encode())
    yield Planted(None, marked("tombkey").encode(), _marked_headers("tomb"))
    yield Planted(b"", marked("emptykey").encode(), _marked_headers("empty"), fails=True)
    large = person("large") | {"photo": marked("largephoto") * 1_000}
    yield Planted(orjson.dumps(large), marked("largekey").encode(), fails=True)
    larger = person("larger") | {"photo": marked("largerphoto") * 5_000}
    yield Planted(orjson.dumps(larger), marked("largerkey").encode(), fails=True)


def strangers() -> Iterator[Planted]:
    """Records of the policy `strangers`, which drops what it does not know."""
    document = {
        "number": 1, "name": marked("strname"), marked("strfield"): marked("strvalue"),
        "nested": {marked("strdeep"): [marked("strlist")]},
    }  # fmt: skip
    yield Planted(orjson.dumps(document), marked("strkey").encode(), _marked_headers("str"))
    yield Planted(orjson.dumps(document | {"number": marked("strnumber")}), None, fails=True)
    yield Planted(b"[" + orjson.dumps(document), marked("strkeyb").encode(), fails=True)


def loose() -> Iterator[Planted]:
    """Records of the policy `loose`, which has no schema."""
    yield Planted(orjson.dumps({"number": 1, "name": marked("looname")}), marked("lookey").encode())
    yield Planted(
        orjson.dumps({"number": 1, "tags": [marked("lootag")]}), b"\xff" + marked("lookeyb").encode()
    )
    for document in (
        {"number": 1, marked("loofield"): marked("loovalue")},
        {"number": 1, "tags": {marked("lootagname"): marked("lootagvalue")}},
        {"number": {marked("loonumname"): 1}},
        {"number": [marked("loonumvalue")]},
        [marked("loolist")],
        marked("lootext"),
    ):
        yield Planted(orjson.dumps(document), marked("lookeyc").encode(), fails=True)


def leaky() -> Iterator[Planted]:
    """Records of the control."""
    yield Planted(orjson.dumps({"number": 1, "name": marked("leak"), "email": marked("leakemail")}), None)


RECORDS: dict[str, Callable[[], Iterator[Planted]]] = {
    "people": people,
    "strangers": strangers,
    "loose": loose,
    "leaky": leaky,
}


# -- Every way of being bad ------------------------------------------------------------------------------------------

Document = dict[str, Any]
Spoil = Callable[[Document, str], bytes]


def _with(**changes: Any) -> Spoil:
    """Fields with other values; a text in which ``%`` stands is marked there."""

    def spoil(document: Document, site: str) -> bytes:
        return orjson.dumps(document | _marked(changes, site))

    return spoil


def _marked(node: Any, site: str) -> Any:
    if isinstance(node, str):
        return node.replace("%", marked(f"{site}bad"))
    if isinstance(node, dict):
        return {_marked(name, site): _marked(child, site) for name, child in node.items()}
    return [_marked(child, site) for child in node] if isinstance(node, list) else node


def _cut(document: Document, _: str) -> bytes:
    text = orjson.dumps(document)
    return text[: text.index(b'"gone"') + 30]


def _without(name: str) -> Spoil:
    def spoil(document: Document, _: str) -> bytes:
        del document[name]
        return orjson.dumps(document)

    return spoil


def _instead(text: str) -> Spoil:
    """Something else than a document; ``%`` is marked."""
    return lambda _, site: text.replace("%", marked(f"{site}bad")).encode("utf-8", "surrogatepass")


def _beside(member: bytes) -> Spoil:
    """One more member, as it is written."""

    def spoil(document: Document, site: str) -> bytes:
        mark = marked(f"{site}bad").encode()
        return orjson.dumps(document)[:-1] + b"," + member.replace(b"%", mark) + b"}"

    return spoil


def _deep(document: Document, site: str) -> bytes:
    inner: Any = marked(f"{site}bad")
    for _ in range(90):
        inner = {marked(f"{site}level"): inner}
    return orjson.dumps(document | {"profile": inner})


def _in_contacts(**changes: Any) -> Spoil:
    def spoil(document: Document, site: str) -> bytes:
        contact = deepcopy(document["contacts"][0]) | _marked(changes, site)
        return orjson.dumps(document | {"contacts": [contact]})

    return spoil


FAULTS: dict[str, Spoil] = {
    # decode
    "cut": _cut,
    "nojson": _instead("% is no JSON"),
    "naked": _instead("{%: 1}"),
    "single": _instead("{'name': '%'}"),
    "nan": _beside(b'"%": NaN'),
    "utf": _beside(b'"%": "\xff\xfe%"'),
    "surrogate": _beside(b'"%": "\\ud800%"'),
    "control": _beside(b'"%": "\x01%"'),
    "deep": _deep,
    "wide": _beside(b'"%": 123456789012345678901234567890'),
    "bom": lambda document, _: b"\xef\xbb\xbf" + orjson.dumps(document),
    "list": lambda document, _: orjson.dumps([document]),
    "text": _instead('"%"'),
    # validate
    "missing": _without("email"),
    "undeclared": _with(**{"%": "%"}),
    "undeclareddeep": _with(place={"lat": LATITUDE, "lon": LONGITUDE, "%": {"%": "%"}}),
    "undeclaredlist": _in_contacts(**{"%": "%"}),
    "twice": _beside(b'"name": 1, "%": 2, "%": 3'),
    "type": _with(number="%"),
    "typeobject": _with(name={"%": "%"}),
    "typelist": _with(name=["%"]),
    "typenull": _with(name=None, **{"%": None}),
    "mapvalue": _with(attributes={"%": 1}),
    "enum": _with(kind="%"),
    "enumdeep": _in_contacts(kind="%"),
    "format": _with(email="%"),
    "pattern": _with(id="% %"),
    "patterncard": _with(card=f"{CARD} %"),
    "long": _with(name="%" * 10),
    "minimum": _with(amount=-AMOUNT),
    "several": _with(number="%", name=None, kind="%", email="%", id="-%", **{"%": "%"}),
    # quality, protect, inspect
    "rule": lambda document, _: orjson.dumps(document | {"fixed": document["name"]}),
    "address": _with(address="%"),
    "moment": _with(moment="%"),
    "place": _with(place={"lat": 1000.5, "lon": LONGITUDE}),
    "unchanged": _with(postcode="Zq"),
    "nobody": _without("id"),
    "alphabet": _with(licence="% %"),
    "tiny": _with(coupon="Zq"),
    "mail": _with(comment="write to %@example.com"),
    "card": _with(comment=f"% pays with {CARD}"),
    "call": _with(comment=f"% at {PHONE}"),
    # a third party's transform that fails
    "trap": _with(trap="%"),
}
