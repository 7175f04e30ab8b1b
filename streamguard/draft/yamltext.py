"""Plain data as YAML 1.2 text that people like to read and that reads back as the same data, whatever its names are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

_PLAIN: Final = re.compile(r"[A-Za-z_$](?:[A-Za-z0-9_/-]|\[\*\]|\.\*|\.(?=[A-Za-z0-9_]))*")
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z_$](?:[A-Za-z0-9_./@$ -]*[A-Za-z0-9_./@$-])?")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff\xa0")
_LONGEST_KEY: Final = 1000
"""YAML limits a key to 1,024 characters; a longer one is introduced by a question mark."""


def key(text: str) -> str:
    """A mapping's key on a line of its own, with its colon."""
    written = path(text)
    return f"? {written}\n:" if len(written) > _LONGEST_KEY else f"{written}:"


def path(text: str) -> str:
    """A field path as a key, or as an item of a list in block form."""
    return text if _is_plain(text, _PLAIN) else quoted(text)


def quoted(text: str) -> str:
    """A text in double quotes, every sign that is not printed or has a meaning there escaped."""
    return f'"{"".join(map(_escaped, text))}"'


def flow(value: Any) -> str:
    """A value on one line: ``{mask: {keep_last: 4}}``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(name)}: {flow(child)}" for name, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _word(value) if isinstance(value, str) else orjson.dumps(value).decode()


def block(value: Any, indent: int) -> Iterator[str]:
    """A mapping or a list as lines, each indented by so many spaces; what is short and simple stands on one line."""
    margin = " " * indent
    if isinstance(value, dict):
        for name, child in value.items():
            *before, last = key(name).split("\n")
            yield from (margin + line for line in before)
            yield from _entry(margin + last, child, indent)
    else:
        for child in value:
            if _is_short(child, indent):
                yield f"{margin}- {flow(child)}"
            else:
                first, *others = block(child, indent + 2)
                yield f"{margin}- {first.lstrip()}"
                yield from others


def _entry(start: str, child: Any, indent: int) -> Iterator[str]:
    if _is_short(child, len(start)):
        yield f"{start} {flow(child)}"
    else:
        yield start
        yield from block(child, indent + 2)


def _is_short(value: Any, indent: int) -> bool:
    """Whether a value fits on its line: a scalar always, others when they are flat."""
    if not isinstance(value, dict | list) or not value:
        return True
    children = value.values() if isinstance(value, dict) else value
    return (
        not any(isinstance(child, dict | list) and child for child in children)
        and indent + len(flow(value)) < 100
    )


def _word(text: str) -> str:
    return text if _is_plain(text, _PLAIN_VALUE) else quoted(text)


def _is_plain(text: str, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(text) is not None and text.lower() not in _WORDS


def _escaped(sign: str) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isprintable() and sign not in _BREAKS:
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
