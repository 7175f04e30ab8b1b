"""What personal data and secrets look like in free text: one `Lookalike` per shape.

A pattern runs only where cheap traces of it are found, so that clean text pays for a few substring searches and no
more. Every pattern is linear in the length of the text: a start is tried only at the beginning of a run, or what
follows is bounded, and no two neighbours of a repetition can take the same character.

Sources: ISO/IEC 7812 (card numbers, Luhn), ISO 13616 and the SWIFT IBAN registry, the SSA's rules for social security
numbers since 2011, ITU-T E.164, RFC 4291, RFC 7519, RFC 7468, and the key formats that the cloud providers publish.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from streamguard.transforms.luhn import is_valid

_DIGITS: Final = b"0123456789"
_HEX: Final = _DIGITS + b"abcdefABCDEF"
_WORD: Final = _DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-+/=."
_TO_ZERO: Final = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_TO_ONE: Final = bytes.maketrans(_WORD, b"1" * len(_WORD))
_BETWEEN_DIGITS: Final = b" -.()/"


Span = tuple[int, int]

# Nine digits or more with no more than punctuation between them: every kind of number below is one, or part of one.
_NUMBER: Final = re.compile(r"[+(0-9](?<![0-9].)(?:[ .\-/()]{0,4}[0-9]){8,}+")
_CARD_LENGTH: Final = re.compile(r"[0-9](?<![0-9].)(?:[ -]?[0-9]){12,}+")


class Traces:
    """What a text gives away at the cost of a search or two. No pattern matches where its trace is missing.

    `numbers`: where long numbers stand, `card_lengths`: where they are long enough for a card; `long_word`: fifteen
    characters of a token without a break; `dotted`, `colons`: the skeletons of IPv4 and IPv6 addresses.
    """

    __slots__ = ("card_lengths", "colons", "dotted", "long_word", "numbers", "text")

    def __init__(self, text: str) -> None:
        raw = text.encode("ascii", "replace")
        numbered = b"0" * 9 in raw.translate(_TO_ZERO, _BETWEEN_DIGITS)
        self.text = text
        self.numbers = [found.span() for found in _NUMBER.finditer(text)] if numbered else []
        self.card_lengths = [
            found.span() for number in self.numbers for found in _CARD_LENGTH.finditer(text, *number)
        ]
        self.long_word = b"1" * 15 in raw.translate(_TO_ONE)
        self.dotted = text.count(".") > 2 and b"..." in raw.translate(None, _DIGITS)
        self.colons = "::" in text or (text.count(":") > 6 and b":::::::" in raw.translate(None, _HEX))


Where = Callable[[Traces], Sequence[Span]]
Verify = Callable[[re.Match[str]], bool]


@dataclass(frozen=True, slots=True)
class Lookalike:
    """One shape: the violation code it ends as, where to look for it, how, and what confirms a candidate."""

    code: str
    where: Where
    pattern: re.Pattern[str]
    verify: Verify | None = None

    def hits(self, traces: Traces) -> Iterator[int]:
        """The positions of confirmed matches, ascending."""
        for start, end in self.where(traces):
            for found in self.pattern.finditer(traces.text, start, end):
                if self.verify is None or self.verify(found):
                    yield found.start()


def _everywhere(suspect: Callable[[Traces], bool]) -> Where:
    return lambda traces: [(0, len(traces.text))] if suspect(traces) else ()


def _containing(*needles: str) -> Where:
    return _everywhere(lambda traces: any(needle in traces.text for needle in needles))


def _token(needle: str) -> Where:
    return _everywhere(lambda traces: traces.long_word and needle in traces.text)


# What follows a number has a say in whether it is one: a few characters more.
def _numbers(traces: Traces) -> Sequence[Span]:
    return [(start, end + 4) for start, end in traces.numbers]


def _card_lengths(traces: Traces) -> Sequence[Span]:
    return [(start, end + 4) for start, end in traces.card_lengths]


# A number glued to letters is part of an identifier or a digest, unless they are a word: "card4111…", three letters of
# which one is no hexadecimal digit.
# (Lookbehinds come after the first character: only so does a search skip to where a match can start.)
_BEFORE: Final = (
    r"(?<![0-9].)(?:(?<![A-Za-z].)"
    r"|(?<=[G-Zg-z][A-Za-z]{2}.)|(?<=[A-Za-z][G-Zg-z][A-Za-z].)|(?<=[A-Za-z]{2}[G-Zg-z].))"
)
_AFTER: Final = r"(?:(?![0-9A-Za-z])|(?=[A-Za-z]{3})(?=[A-Fa-f]{0,2}[G-Zg-z]))"


# E-mail: the domain decides; of the local part one character is enough, so that nothing is ever scanned twice.

_EMAIL: Final = re.compile(r"(?<=[\w.!#$%&'*+/=?^`{|}~\"-])@(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}[^\W\d_]{2}")


# Payment cards: 13 to 19 digits, an issuer that exists, and the Luhn digit.

_ISSUERS: Final = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),  # American Express
    ("300", "305", (14, 16, 17, 18, 19)),  # Diners Club
    ("3095", "3095", (14, 16, 17, 18, 19)),  # Diners Club
    ("36", "36", (14, 15, 16, 17, 18, 19)),  # Diners Club
    ("38", "39", (14, 16, 17, 18, 19)),  # Diners Club
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "659", (16, 17, 18, 19)),  # Discover, RuPay, Troy
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "82", (16, 17, 18, 19)),  # UnionPay, RuPay
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("2200", "2205", (16, 17, 18, 19)),  # Mir
    ("50", "50", (13, 14, 15, 16, 17, 18, 19)),  # Maestro, Verve, RuPay
    ("56", "58", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("60", "61", (13, 14, 15, 16, 17, 18, 19)),  # Maestro, RuPay
    ("63", "63", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("66", "69", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("9792", "9792", (16,)),  # Troy
)


def is_card(digits: str) -> bool:
    """True for 13 to 19 digits with a known issuer, that issuer's length and a valid Luhn digit."""
    length = len(digits)
    if not any(length in lengths and low <= digits[: len(low)] <= high for low, high, lengths in _ISSUERS):
        return False
    return is_valid(digits)


_UNGROUP: Final = str.maketrans("", "", " -")


def _is_grouped_card(found: re.Match[str]) -> bool:
    digits = found[1] + found[2].translate(_UNGROUP)
    # Four groups of four may be followed by an unrelated short number, and 19 digits have the same beginning.
    return is_card(digits) or (found[3] is not None and is_card(digits[:16]))


def _is_run_card(found: re.Match[str]) -> bool:
    return is_card(found[0].translate(_UNGROUP))


# However it is grouped, a number that stands alone …
_CARD_ALONE: Final = re.compile(
    r"[2-9]" + _BEFORE + r"(?<![0-9][ .-].)(?:[ -]?[0-9]){12,18}+(?![ -]?[0-9])" + _AFTER,
)
# … and, among other numbers, one without groups or in the groups that cards are printed in.
_CARD_AMONG: Final = re.compile(
    r"([2-9])" + _BEFORE + r"(?<![0-9A-Za-z]-.)(?<![0-9]\..)(?=("
    r"[0-9]{12,18}"
    r"|[0-9]{3}([ -])[0-9]{4}\3[0-9]{4}\3(?:[0-9]{4}\3[0-9]{1,3}|[0-9]{1,4})"
    r"|[0-9]{3}([ -])[0-9]{6}\4[0-9]{4,5}"
    r")(?![0-9])" + _AFTER + ")",
)


# IBAN: a country of the registry, its structure, and the checksum modulo 97.

_IBANS: Final = {
    "AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n",
    "BG": "4a6n8c", "BH": "4a14c", "BI": "23n", "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c",
    "CR": "18n", "CY": "8n16c", "CZ": "20n", "DE": "18n", "DJ": "23n", "DK": "14n", "DO": "4c20n",
    "EE": "16n", "EG": "25n", "ES": "20n", "FI": "14n", "FK": "2a12n", "FO": "14n", "FR": "10n11c2n",
    "GB": "4a14n", "GE": "2a16n", "GI": "4a15c", "GL": "14n", "GR": "7n16c", "GT": "24c", "HN": "4a20n",
    "HR": "17n", "HU": "24n", "IE": "4a14n", "IL": "19n", "IQ": "4a15n", "IS": "22n", "IT": "1a10n12c",
    "JO": "4a4n18c", "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c", "LC": "4a24c", "LI": "5n12c", "LT": "16n",
    "LU": "3n13c", "LV": "4a13c", "LY": "21n", "MC": "10n11c2n", "MD": "20c", "ME": "18n", "MK": "3n10c2n",
    "MN": "16n", "MR": "23n", "MT": "4a5n18c", "MU": "4a19n3a", "NI": "4a20n", "NL": "4a10n", "NO": "11n",
    "OM": "3n16c", "PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n", "QA": "4a21c", "RO": "4a16c",
    "RS": "18n", "RU": "14n15c", "SA": "2n18c", "SC": "4a20n3a", "SD": "14n", "SE": "20n", "SI": "15n",
    "SK": "20n", "SM": "1a10n12c", "SO": "19n", "ST": "21n", "SV": "4a20n", "TL": "19n", "TN": "20n",
    "TR": "6n16c", "UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n", "YE": "4a4n18c",
}  # fmt: skip
_CLASSES: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
_IBAN: Final = re.compile(r"([A-Za-z]" + _BEFORE + r"[A-Za-z])([0-9]{2})(?=((?:[ -]?[0-9A-Za-z]){11,30}))")


@cache
def _account(country: str) -> re.Pattern[str] | None:
    """The pattern of a country's account part, from the registry's notation (``4a14n``)."""
    parts: list[tuple[str, str]] = re.findall(r"(\d+)([nac])", _IBANS.get(country, ""))
    return re.compile("".join(f"{_CLASSES[kind]}{{{count}}}" for count, kind in parts)) if parts else None


def _is_iban(found: re.Match[str]) -> bool:
    country = found[1].upper()
    structure = _account(country)
    account = structure and structure.match(found[3].translate(_UNGROUP).upper())
    if not account:
        return False
    return int("".join(str(int(sign, 36)) for sign in account[0] + country + found[2])) % 97 == 1


# US social security and taxpayer numbers, only as they are written with separators: nine bare digits could be anything.

_SSN: Final = re.compile(
    r"[0-9]" + _BEFORE + r"(?<![0-9]-.)[0-9]{2}(?<!000|666)([ -])"
    r"(?:(?<!9...)(?!00)[0-9]{2}|(?<=9...)(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9]))"
    r"\1(?!0000)[0-9]{4}(?!-[0-9])" + _AFTER,
)


# Phone numbers: international, the national ways of writing that are hard to mistake, and any number introduced as one.

_ALONE: Final = r"(?<![0-9A-Za-z])(?<![0-9A-Fa-f][-.])"
_ENDS: Final = r"(?:(?![0-9A-Za-z])|(?=x[0-9]))(?!-[0-9])"
_PHONES: Final = (
    r"(?<![0-9+])\+(?![0-9]{1,3}\.[0-9]{4}) ?\(?[1-9](?:[ .\-/()]{0,3}[0-9]){8,14}(?![0-9])",  # +49 (0)30 1234
    r"(?<![0-9A-Za-z.,+-])(?<![0-9] )00 ?[1-9][0-9]{0,2}[ .\-/(]{1,2}(?:[ .\-/()]{0,2}[0-9]){7,12}(?![0-9])",  # 0044 …
    _ALONE
    + r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    + _ENDS,  # (415) 555-2671
    _ALONE + r"0[1-9]([ .-])[0-9]{2}(?:\1[0-9]{2}){3}(?!\1[0-9])" + _ENDS,  # 01 23 45 67 89
    _ALONE + r"06[ -]?[1-9][0-9]{7}" + _ENDS,  # 06 12345678
    _ALONE + r"0[1-9][ -][0-9]{3,4}[ -][0-9]{4}" + _ENDS,  # 03-1234-5678
    r"\([1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4}(?![0-9])",  # (11) 98765-4321
    _ALONE + r"(?<![0-9] )1[3-9][0-9]([ -])[0-9]{4}\2[0-9]{4}" + _ENDS,  # 138 1234 5678
)
_PHONE: Final = re.compile("|".join(_PHONES))
_PHONE_TRUNK: Final = re.compile(
    _ALONE + r"(?<![0-9] )0[1-9][0-9]{1,4}"  # 020 7946 0958
    r"(?:(?:[ /][0-9]{2,8}){1,4}+|-[0-9]{6,8}|-[0-9]{3,4}-[0-9]{4})(?![0-9A-Za-z-])"
    r"|\(0[1-9][0-9]{0,4}\)[ /-]?[0-9]{3,8}(?:[ -][0-9]{2,8}){0,2}+(?![0-9A-Za-z])"  # (030) 123456
)
_PHONE_WORDS: Final = (
    "phone", "tel", "mobile", "mob", "cell", "call", "fax", "ring", "sms", "text me", "handy", "anrufen", "appeler",
    "llamar", "whatsapp", "mobil", "telephone", "telefon", "telefono", "telefoon", "cellphone",
)  # fmt: skip
_PHONE_NAMED: Final = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(_PHONE_WORDS)})(?![A-Za-z])[^0-9\x00]{{0,16}}"
    r"(?!(?:19|20)[0-9]{2}[-/.])(?![0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:19|20)[0-9]{2})"
    r"[0-9](?:[ .\-/()]{0,2}[0-9]){8,14}(?![0-9])",
    re.IGNORECASE,
)


def _mentions_phones(traces: Traces) -> bool:
    lower = traces.text.lower() if traces.numbers else ""
    return any(word in lower for word in _PHONE_WORDS)


def _is_trunk_number(found: re.Match[str]) -> bool:
    return 9 <= sum(map(str.isdigit, found[0])) <= 12


# Internet addresses.

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(
    rf"[0-9](?<![0-9vV].)(?<![0-9]\..)(?:(?<=2)5[0-5]|(?<=2)[0-4][0-9]|(?<=1)[0-9]{{2}}|(?<=[1-9])[0-9]|)(?:\.{_OCTET}){{3}}"
    r"(?![0-9])(?!\.[0-9])"
)
_IPV6: Final = re.compile(r"(?<![0-9A-Fa-f:.])[0-9A-Fa-f:.]{4,46}(?![0-9A-Fa-f:.])")


def _is_ipv6(found: re.Match[str]) -> bool:
    run = found[0].rstrip(".")
    # "ip:2001:db8::1": the label and its colon stick to the address.
    return any(map(_parses_as_ipv6, (run, run.removesuffix(":"), run.partition(":")[2])))


def _parses_as_ipv6(text: str) -> bool:
    if text.count(":") < 2 or len(text) < 4 or not any(map(str.isdigit, text)):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# Credentials.

_JWT: Final = re.compile(
    r"(?<![\w-])([\w-]++)(?:\.eyJ[\w-]{6}|\.[\w-]*+\.[\w-]{8,}+\.[\w-]{8,}+\.[\w-]{16})", re.ASCII
)  # three parts signed (JWS), five encrypted (JWE)
_PRIVATE_KEY: Final = re.compile(
    r"BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY|PuTTY-User-Key-File-[0-9]|AGE-SECRET-KEY-1[0-9A-Z]{8}"
)
_CLOUD_KEYS: Final = {
    "AKIA": r"(?<![A-Z0-9])AKIA[A-Z2-7]{16}(?![A-Z0-9])",  # AWS access key id
    "ASIA": r"(?<![A-Z0-9])ASIA[A-Z2-7]{16}(?![A-Z0-9])",  # AWS temporary key id
    "AIza": r"AIza[0-9A-Za-z_-]{35}",  # Google API key
    "ya29.": r"ya29\.[0-9A-Za-z_-]{20}",  # Google OAuth token
    "ghp_": r"ghp_[0-9A-Za-z]{36}",  # GitHub, personal
    "gho_": r"gho_[0-9A-Za-z]{36}",  # GitHub, OAuth
    "ghu_": r"ghu_[0-9A-Za-z]{36}",  # GitHub, user to server
    "ghs_": r"ghs_[0-9A-Za-z]{36}",  # GitHub, server to server
    "github_pat_": r"github_pat_[0-9A-Za-z_]{22}",  # GitHub, fine-grained
    "glpat-": r"glpat-[0-9A-Za-z_-]{20}",  # GitLab
    "xox": r"xox[abeoprs]-[0-9A-Za-z-]{10}",  # Slack
    "sk_live_": r"sk_live_[0-9A-Za-z]{16}",  # Stripe, secret
    "rk_live_": r"rk_live_[0-9A-Za-z]{16}",  # Stripe, restricted
    "AccountKey=": r"AccountKey=[0-9A-Za-z+/]{86}==",  # Azure connection string
    "SharedAccessKey=": r"SharedAccessKey=[0-9A-Za-z+/]{43}=",  # Azure Service Bus, Event Hubs
    "+ASt": r"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{76}\+ASt[0-9A-Za-z+/]{6}==",  # Azure Storage account key
    "ACDb": r"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{76}ACDb[0-9A-Za-z+/]{6}==",  # Azure Cosmos DB account key
}


def _has_jwt_header(found: re.Match[str]) -> bool:
    return "eyJ" in found[1]


MESSAGES: Final = {
    "email": "a kept text holds what looks like an e-mail address",
    "card": "a kept text holds what looks like a payment card number",
    "iban": "a kept text holds what looks like a bank account number (IBAN)",
    "ssn": "a kept text holds what looks like a US social security or taxpayer number",
    "phone": "a kept text holds what looks like a phone number",
    "ip": "a kept text holds what looks like an IP address",
    "jwt": "a kept text holds what looks like a JSON Web Token",
    "private_key": "a kept text holds what looks like a private key",
    "cloud_key": "a kept text holds what looks like an access key of a cloud provider",
}
"""Code → what the violation says. The codes are published (``inspect.<code>``) and permanent."""

LOOKALIKES: Final = (
    Lookalike("email", _containing("@"), _EMAIL),
    Lookalike("card", _card_lengths, _CARD_ALONE, _is_run_card),
    Lookalike("card", _card_lengths, _CARD_AMONG, _is_grouped_card),
    Lookalike("iban", _everywhere(lambda traces: traces.long_word or bool(traces.numbers)), _IBAN, _is_iban),
    Lookalike("ssn", _numbers, _SSN),
    Lookalike("phone", _numbers, _PHONE),
    Lookalike("phone", _numbers, _PHONE_TRUNK, _is_trunk_number),
    Lookalike("phone", _everywhere(_mentions_phones), _PHONE_NAMED),
    Lookalike("ip", _everywhere(lambda traces: traces.dotted), _IPV4),
    Lookalike("ip", _everywhere(lambda traces: traces.colons), _IPV6, _is_ipv6),
    Lookalike("jwt", _token("eyJ"), _JWT, _has_jwt_header),
    Lookalike(
        "private_key", _containing("PRIVATE KEY", "PuTTY-User-Key-File", "AGE-SECRET-KEY-1"), _PRIVATE_KEY
    ),
    *(Lookalike("cloud_key", _token(mark), re.compile(pattern)) for mark, pattern in _CLOUD_KEYS.items()),
)
