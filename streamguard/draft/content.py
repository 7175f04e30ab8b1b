"""What the values of a field look like, whatever the field is called.

The shapes are those of the last look (`guard.lookalikes`), and a few that only a whole column of values shows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any, Final

from streamguard.draft import kinds
from streamguard.draft.kinds import Confidence, Kind
from streamguard.guard.inspect import scan
from streamguard.guard.lookalikes import is_card

NEARLY_ALL: Final = 0.8
"""The share of values from which on a column counts as one of that kind."""

_AT_ONCE: Final = 500
_PHRASE: Final = 4
"""Words from which on a text is a phrase rather than a label."""

_KINDS: Final[Mapping[str, tuple[Kind, Confidence]]] = {
    "email": (kinds.EMAIL, Confidence.CERTAIN),
    "iban": (kinds.IBAN, Confidence.CERTAIN),
    "card": (kinds.CARD, Confidence.CERTAIN),
    "jwt": (kinds.SECRET, Confidence.CERTAIN),
    "private_key": (kinds.SECRET, Confidence.CERTAIN),
    "cloud_key": (kinds.SECRET, Confidence.CERTAIN),
    "ip": (kinds.IP, Confidence.LIKELY),
    "ssn": (kinds.SSN, Confidence.LIKELY),
    "phone": (kinds.PHONE, Confidence.LIKELY),
}
"""What each code of the last look is, when nearly all values are that and nothing else."""

# What a value that is nothing else looks like as a whole; the last look also finds such things inside of texts.
_WHOLE: Final[Mapping[str, re.Pattern[str]]] = {
    "email": re.compile(r"\s*\S+@\S+\s*"),
    "iban": re.compile(r"\s*[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,30}\s*"),
    "card": re.compile(r"\s*[0-9](?:[ -]?[0-9]){11,18}\s*"),
    "jwt": re.compile(r"\s*\S+\s*"),
    "private_key": re.compile(r".*", re.DOTALL),
    "cloud_key": re.compile(r"\s*\S+\s*"),
    "ip": re.compile(r"\s*[0-9A-Fa-f.:]+\s*"),
    "ssn": re.compile(r"\s*[0-9 -]+\s*"),
    "phone": re.compile(r"\s*[+0-9()][0-9 ()./x-]+\s*"),
}
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_POSITION: Final = re.compile(r"[+-]?\d{1,2}\.\d{3,}, ?[+-]?\d{1,3}\.\d{3,}", re.ASCII)
_DAY: Final = re.compile(r"(\d{4})-\d{2}-\d{2}", re.ASCII)
_OLDEST: Final = 1900
_LIFETIME: Final = 15
"""Years that dates of birth are spread over, at least; other dates lie closer together."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a column of values looks like: the kind and how sure that is, if it is of one, and why.

    `inside` counts, by code of the last look, the values in which something is found without their being that;
    `texts`, `phrases` and `distinct` are counts too. `looks` holds the names of kinds for which the values could be
    taken, and `asked` those for which that was looked at.
    """

    kind: Kind | None = None
    confidence: Confidence = Confidence.POSSIBLE
    reason: str = ""
    inside: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    phrases: int = 0
    distinct: int = 0
    looks: frozenset[str] = frozenset()

    @property
    def is_wordy(self) -> bool:
        """Whether the texts are phrases of people's own: long, and hardly ever the same."""
        return self.texts > 0 and self.phrases * 2 >= self.texts and self.is_various

    @property
    def is_various(self) -> bool:
        """Whether values seldom occur again, as those of a code or a state do."""
        return self.distinct > 1 and (self.distinct > 20 or self.distinct * 2 > self.texts)


ASKED: Final = frozenset(
    {"email", "phone", "name", "ssn", "card", "iban", "ip", "birth_date", "geo", "postcode", "age"}
)
"""Kinds whose values can be recognized: a name that promises one, and values that look otherwise, is in doubt."""


def content_of(values: Iterable[Any]) -> Content:
    """What the values of one field look like. Values of any type may be among them."""
    values = list(values)
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not texts:
        return _of_numbers(numbers)
    found = _scanned(texts)
    whole = {code: _whole(code, texts, rows) for code, rows in found.items()}
    inside = Counter({code: len(rows) - len(whole[code]) for code, rows in found.items()})
    looks = {_KINDS[code][0].name for code, rows in whole.items() if len(rows) >= NEARLY_ALL * len(texts)}
    looks |= {name for name, fits in _LOOKS.items() if sum(map(fits, texts)) >= NEARLY_ALL * len(texts)}
    base = Content(
        inside=inside,
        texts=len(texts),
        phrases=sum(len(text.split()) >= _PHRASE for text in texts),
        distinct=len(set(texts)),
        looks=frozenset(looks),
    )
    for code, (kind, confidence) in _KINDS.items():
        rows = whole.get(code, set())
        if len(rows) >= NEARLY_ALL * len(texts) and len(texts) >= NEARLY_ALL * len(values):
            reason = f"{_of(len(rows), len(texts))} look like one"
            return replace(base, kind=kind, confidence=confidence, reason=reason, inside=Counter())
    inside.update({code: len(rows) for code, rows in whole.items()})
    base = replace(base, inside=+inside)
    guess = _guessed(texts, base)
    if guess is None:
        return base
    return replace(base, kind=guess[0], confidence=guess[1], reason=guess[2])


def _scanned(texts: Sequence[str]) -> dict[str, set[int]]:
    """The rows in which the last look finds something, by code; equal texts are looked at once."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, []).append(row)
    distinct = list(rows)
    found: dict[str, set[int]] = {}
    for start in range(0, len(distinct), _AT_ONCE):
        part = distinct[start : start + _AT_ONCE]
        for index, code in scan(part):
            found.setdefault(code, set()).update(rows[part[index]])
    return found


def _whole(code: str, texts: Sequence[str], rows: set[int]) -> set[int]:
    """Of the rows in which something was found, those that hold nothing else."""
    return {row for row in rows if _WHOLE[code].fullmatch(texts[row])}


def _guessed(texts: Sequence[str], content: Content) -> tuple[Kind, Confidence, str] | None:
    """Kinds that have no shape of their own, where the values of a whole column give them away."""
    every = len(texts)
    if sum(_MAC.fullmatch(text) is not None for text in texts) >= NEARLY_ALL * every:
        return kinds.DEVICE, Confidence.LIKELY, "nearly all values look like hardware addresses"
    if sum(_POSITION.fullmatch(text) is not None for text in texts) >= NEARLY_ALL * every:
        return kinds.GEO, Confidence.LIKELY, "nearly all values look like coordinates"
    if _are_births(texts):
        return kinds.BIRTH_DATE, Confidence.POSSIBLE, "dates that are spread as those of births are"
    if content.is_various and sum(map(is_full_name, texts)) >= NEARLY_ALL * every:
        return kinds.NAME, Confidence.POSSIBLE, "nearly all values are two to four capitalized words"
    if content.is_wordy:
        return kinds.FREE_TEXT, Confidence.POSSIBLE, "phrases that seldom occur again"
    return None


def _of_numbers(numbers: Sequence[float]) -> Content:
    looks = {
        kind.name
        for kind, fits in ((kinds.AGE, _is_age), (kinds.GEO, _is_degree), (kinds.CARD, _is_card_number))
        if numbers and all(map(fits, numbers))
    }
    if kinds.CARD.name in looks:
        reason = f"{_of(len(numbers), len(numbers))} look like one"
        return Content(kinds.CARD, Confidence.LIKELY, reason, looks=frozenset(looks))
    return Content(looks=frozenset(looks))


def _is_card_number(number: float) -> bool:
    return isinstance(number, int) and is_card(str(number))


def _is_age(number: float) -> bool:
    return 0 <= number < 130


def _is_degree(number: float) -> bool:
    return -180 <= number <= 180


def _is_birth(text: str) -> bool:
    found = _DAY.match(text)
    if found is None:
        return False
    try:
        born = date.fromisoformat(found[0])
    except ValueError:
        return False
    return born.year >= _OLDEST and born <= datetime.now(UTC).date()


def _are_births(texts: Sequence[str]) -> bool:
    """Whether days, without a time, are spread over a lifetime."""
    if not all(len(text) == len("2000-01-31") and _is_birth(text) for text in texts):
        return False
    years = [int(text[:4]) for text in texts]
    return len(set(years)) > 2 and max(years) - min(years) >= _LIFETIME


def is_full_name(text: str) -> bool:
    """Whether a text is what the full names of people are: two to four capitalized words."""
    words = text.split()
    return 2 <= len(words) <= 4 and all(map(_is_name_word, words))


def _is_one_name(text: str) -> bool:
    words = text.split()
    return 1 <= len(words) <= 4 and all(map(_is_name_word, words))


def _is_name_word(word: str) -> bool:
    return (
        word[0].isupper()
        and not any(map(str.isdigit, word))
        and not any(sign in word for sign in "_@/:;#&+=<>")
    )


def _is_postcode(text: str) -> bool:
    return 3 <= len(text) <= 10 and any(map(str.isdigit, text))


_LOOKS: Final[Mapping[str, Callable[[str], bool]]] = {
    kinds.NAME.name: _is_one_name,
    kinds.BIRTH_DATE.name: _is_birth,
    kinds.POSTCODE.name: _is_postcode,
    kinds.GEO.name: lambda text: bool(_POSITION.fullmatch(text)) or _is_decimal(text),
    kinds.PHONE.name: lambda text: (
        7 <= sum(map(str.isdigit, text)) <= 15 and bool(_WHOLE["phone"].fullmatch(text))
    ),
    kinds.SSN.name: lambda text: sum(map(str.isdigit, text)) == 9 and bool(_WHOLE["ssn"].fullmatch(text)),
}
"""What speaks for a kind that the name of the field has already suggested."""


def _is_decimal(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,3}\.\d+", text, re.ASCII) is not None


def _of(count: int, every: int) -> str:
    what = "value" if every == 1 else "values"
    return f"all {every:,} {what}" if count == every else f"{count:,} of {every:,} {what}"


def inside(content: Content) -> str:
    """What the last look finds in some of the values: ``e-mail address in 3 of 1,000``."""
    parts = [
        f"{_TITLES[code]} in {count:,} of {content.texts:,}" for code, count in content.inside.most_common()
    ]
    return ", ".join(chain(parts))


_TITLES: Final = {
    "email": "an e-mail address", "card": "a payment card number", "iban": "an IBAN", "ssn": "a social security number",
    "phone": "a phone number", "ip": "an IP address", "jwt": "a JSON Web Token", "private_key": "a private key",
    "cloud_key": "an access key",
}  # fmt: skip
