"""The format of protected tokens. What is written here is permanent once published: see docs/wire-format.md.

A token is ``sg1.<kind>.<key id>.<payload>``. Its plaintext is one encoded value: a type byte, then the value.
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from struct import Struct
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

from streamguard.errors import TokenError

VERSION: Final = "sg1"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of protecting a value. `id` and meaning never change; `key_bytes` is the length of its subkey."""

    id: str
    name: str
    key_bytes: int


# One letter each. Subkeys for anything that is not a token (pseudonyms, hashes) are named with whole words instead, so
# that the two can never meet.
KINDS: Final = (
    Kind("e", "AES-256-GCM, random nonce", 32),
    Kind("d", "AES-256-SIV, deterministic", 64),
    Kind("q", "AES-256-GCM, original of a violation", 32),
    Kind("s", "AES-256-GCM under a person's key, inside AES-256-GCM", 32),
)

_TOKEN: Final = re.compile(r"sg1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_KEY_ID: Final = re.compile(r"([^=,]+)=([A-Za-z0-9_-]+)")
# What a path may hold as it is, in a header.
_PLAIN: Final = "!\"#$&'()*+-./:;<>?@[\\]^_`{|}~"
_DOUBLE: Final = Struct(">d")
_NAN: Final = bytes.fromhex("7ff8000000000000")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_JSON: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

MALFORMED: Final = "This is not a protected token, or it was edited or cut."
_NOT_A_VALUE: Final = "The protected value is not encoded as StreamGuard encodes values."
_NOT_KEY_IDS: Final = "The record's header 'sg-keys' is not as StreamGuard writes it."
_NOT_ENCODABLE: Final = (
    "A value cannot be protected: it is not text, bytes or plain JSON within 64-bit integers."
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart. Nothing is authenticated yet."""

    kind: str
    key_id: str
    payload: bytes


def encode_value(value: Any) -> bytes:
    """One value as a type byte and its bytes: ``s`` UTF-8 text, ``b`` bytes, ``j`` compact JSON with sorted names.

    A number that JSON does not have is ``f`` and a double (IEEE 754, big-endian): an infinity, or the one NaN. Raises
    `TokenError` for what none of them can carry without change: integers beyond 64 bits, lone surrogates, objects that
    are not JSON.
    """
    if isinstance(value, str):
        try:
            return b"s" + value.encode()
        except UnicodeEncodeError:
            raise TokenError(_NOT_ENCODABLE) from None
    if isinstance(value, bytes | bytearray | memoryview):
        return b"b" + value
    if isinstance(value, float) and not isfinite(value):
        return b"f" + (_NAN if isnan(value) else _DOUBLE.pack(value))
    try:
        text = orjson.dumps(value, option=_JSON)
        if b"null" in text:
            json.dumps(value, allow_nan=False)  # orjson writes NaN and infinity as null; this refuses them
    except (TypeError, ValueError, RecursionError):
        raise TokenError(_NOT_ENCODABLE) from None
    return b"j" + text


def encode_column(values: Sequence[Any]) -> list[bytes]:
    """`encode_value` over a column. Half the time per value when all are texts without NUL."""
    try:
        # One join, one encoding and one split; a NUL inside a text shows in the count.
        encoded = ("s" + "\0s".join(values)).encode().split(b"\0")
    except (TypeError, UnicodeEncodeError):
        encoded = []
    return encoded if len(encoded) == len(values) else [encode_value(value) for value in values]


def pad(encoded: bytes, multiple: int) -> bytes:
    """Hide the length of an encoded value: ``p``, the encoding, 0x80, then zero bytes up to a multiple of `multiple`.

    The padding is that of ISO/IEC 7816-4; the type byte ``p`` tells the reader to take it off.
    """
    return b"p" + encoded + b"\x80" + bytes(-(len(encoded) + 2) % multiple)


def decode_value(data: bytes) -> Any:
    """The value that `encode_value` encoded, padding removed. Raises `TokenError` for anything else."""
    if data[:1] == b"p":
        data, mark, _ = data[1:].rpartition(b"\x80")
        if not mark:
            raise TokenError(_NOT_A_VALUE)
    form, body = data[:1], data[1:]
    try:
        if form == b"s":
            return body.decode()
        if form == b"j":
            return orjson.loads(body)
    except ValueError:
        raise TokenError(_NOT_A_VALUE) from None
    if form == b"b":
        return body
    if form == b"f" and len(body) == _DOUBLE.size:
        return _DOUBLE.unpack(body)[0]
    raise TokenError(_NOT_A_VALUE)


def aad(kind: str, key_id: str, element: str) -> bytes:
    """What a token's ciphertext is bound to: ``sg1|kind|key id|element``. Only the element may contain a ``|``."""
    return f"{VERSION}|{kind}|{key_id}|{element}".encode()


def format_tokens(kind: str, key_id: str, payloads: Iterable[bytes]) -> list[str]:
    """The tokens of a column of payloads that were made with one key."""
    # The whole column is one text until the end: b2a_base64 closes each payload with a line feed.
    prefix = f"{VERSION}.{kind}.{key_id}.".encode()
    lines = prefix + prefix.join(map(b2a_base64, payloads))
    if lines == prefix:
        return []
    tokens = lines[:-1].replace(b"+", b"-").replace(b"/", b"_").replace(b"=", b"")
    return tokens.decode("ascii").split("\n")


def parse_token(text: str) -> Token:
    """Take a token apart. Raises `TokenError` unless it is exactly as `format_tokens` writes it.

    Python's decoder takes ``QQ``, ``QR`` and ``Q!Q`` alike; only the canonical base64url spelling is accepted here, so
    that no edited token is ever read.
    """
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise TokenError(MALFORMED)
    kind, key_id, spelled = found.groups()
    plain = spelled.encode().translate(_FROM_URL)
    try:
        payload = a2b_base64(plain + b"=" * (-len(plain) % 4))
    except Base64Error:
        raise TokenError(MALFORMED) from None
    if b2a_base64(payload, newline=False).rstrip(b"=") != plain:
        raise TokenError(MALFORMED)
    return Token(kind, key_id, payload)


def format_key_ids(key_ids: Mapping[str, str]) -> bytes:
    """The ``sg-keys`` header: which key each field was protected with whose output does not name it, by path.

    ``path=key id``, joined by commas. In a path ``%``, ``,``, ``=`` and all but printable ASCII is percent-encoded.
    """
    return ",".join(f"{quote(path, safe=_PLAIN)}={key_id}" for path, key_id in key_ids.items()).encode()


def parse_key_ids(header: bytes) -> dict[str, str]:
    """The key id of each path in a header that `format_key_ids` wrote. Raises `TokenError` for any other."""
    try:
        found = [_KEY_ID.fullmatch(pair) for pair in header.decode("ascii").split(",")]
        pairs = [(unquote(one[1], errors="strict"), one[2]) for one in found if one is not None]
    except ValueError:
        raise TokenError(_NOT_KEY_IDS) from None
    if len(dict(pairs)) != len(found):
        raise TokenError(_NOT_KEY_IDS)
    return dict(pairs)
