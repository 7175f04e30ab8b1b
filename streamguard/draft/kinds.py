"""The kinds of personal data that a draft tells apart, and how each is treated.

The treatments of a kind are candidates: the first one that takes the field's values is proposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

RuleDocument = dict[str, Any]
"""A rule as a policy writes it: ``{"mask": {"keep_last": 4}}``, with ``element`` beside the verb."""

TEXT: Final = frozenset({"string"})
NUMBERS: Final = frozenset({"integer", "number"})
SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})

ENCRYPT: Final[RuleDocument] = {"encrypt": {}}
TOKENIZE: Final[RuleDocument] = {"tokenize": {}}
REDACT: Final[RuleDocument] = {"redact": {}}


class Confidence(IntEnum):
    """How sure a finding is."""

    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of personal data; each is the only one of its kind.

    `title` names it in comments. `rules` are its treatments, best first; `why` says what the best one is good for.
    `types` are those that such values can have: a boolean that is called ``email`` is none.
    """

    name: str
    title: str
    rules: tuple[RuleDocument, ...]
    why: str
    types: frozenset[str] = SCALARS


def _same(element: str) -> RuleDocument:
    return {"encrypt": {"deterministic": True}, "element": element}


_JOINS: Final = "equal values get equal tokens, so that they still join"
_BACK: Final = "whoever may reveal gets it back"

EMAIL: Final = Kind("email", "e-mail address", (_same("email"), ENCRYPT), _JOINS, TEXT)
PHONE: Final = Kind("phone", "phone number", (ENCRYPT,), _BACK, TEXT | {"integer"})
NAME: Final = Kind("name", "name of a person", (ENCRYPT,), _BACK, TEXT)
ADDRESS: Final = Kind("address", "postal address", (ENCRYPT,), _BACK, TEXT | {"integer"})
POSTCODE: Final = Kind(
    "postcode", "postal code", ({"generalize": {"text": 2}}, ENCRYPT), "the region stays", TEXT | {"integer"}
)
PERSON: Final = Kind(
    "person_id", "identifier of a person", (TOKENIZE, ENCRYPT), "a pseudonym that joins", TEXT | NUMBERS
)
USERNAME: Final = Kind("username", "user name", (TOKENIZE, ENCRYPT), "a pseudonym that joins", TEXT)
DEVICE: Final = Kind(
    "device_id", "identifier of a device", (TOKENIZE, ENCRYPT), "a pseudonym that joins", TEXT | {"integer"}
)
IDENTIFIER: Final = Kind(
    "identifier", "identifier", (TOKENIZE, ENCRYPT), "a pseudonym that joins", TEXT | NUMBERS
)
SSN: Final = Kind("ssn", "social security number", (_same("ssn"), ENCRYPT), _JOINS, TEXT | {"integer"})
TAX_ID: Final = Kind("tax_id", "tax number", (_same("tax_id"), ENCRYPT), _JOINS, TEXT | {"integer"})
PAPERS: Final = Kind("papers", "passport, licence or plate", (ENCRYPT,), _BACK, TEXT | {"integer"})
BIRTH_DATE: Final = Kind(
    "birth_date",
    "date of birth",
    ({"generalize": {"date": "year"}}, ENCRYPT),
    "the year stays",
    TEXT | {"integer"},
)
AGE: Final = Kind("age", "age", ({"generalize": {"number": 10}}, ENCRYPT), "the decade stays", NUMBERS)
CARD: Final = Kind(
    "card",
    "payment card number",
    ({"mask": {"keep_last": 4}}, ENCRYPT),
    "the last four digits stay",
    TEXT | {"integer"},
)
IBAN: Final = Kind("iban", "bank account number (IBAN)", (_same("iban"), ENCRYPT), _JOINS, TEXT)
ACCOUNT: Final = Kind("account", "account number", (_same("account"), ENCRYPT), _JOINS, TEXT | {"integer"})
IP: Final = Kind(
    "ip", "IP address", ({"generalize": {"ip": {"v4": 24, "v6": 48}}}, ENCRYPT), "the network stays", TEXT
)
GEO: Final = Kind(
    "geo",
    "geographic position",
    ({"generalize": {"geo": {"decimals": 1}}}, {"generalize": {"geo": {"decimals": 0}}}, ENCRYPT),
    "a cell of the grid stays",
    TEXT | NUMBERS,
)
GENDER: Final = Kind("gender", "gender", (ENCRYPT,), _BACK)
SPECIAL: Final = Kind("special", "health, belief or origin", (ENCRYPT,), _BACK)
INCOME: Final = Kind("income", "income", (ENCRYPT,), _BACK, TEXT | NUMBERS)
SECRET: Final = Kind("secret", "secret", (REDACT,), "nobody downstream needs it", TEXT | {"integer"})
FREE_TEXT: Final = Kind("free_text", "free text", (REDACT,), "people write anything into it", TEXT)
OPEN: Final = Kind("open", "anything", (ENCRYPT,), "whatever stands there is encrypted whole")
TAGGED: Final = Kind("tagged", "tagged by its schema", (ENCRYPT,), _BACK)
