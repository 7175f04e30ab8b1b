"""Tokens in a document of which no policy is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from streamguard.crypto.aead import VALUE_KINDS
from streamguard.crypto.wire import VERSION

_BEGINNINGS: Final = tuple(f"{VERSION}.{kind}." for kind in VALUE_KINDS)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token stands: the object or array, and the name or position in it."""

    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """What stands there now."""
        return self.holder[self.key]


def tokens_in(document: list[Any] | dict[str, Any]) -> Iterator[Place]:
    """Every token of a document that may hold a value, at any depth.

    Ask for all of them before any is replaced: then nobody's text that looks like a token is taken for one.
    """
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, dict | list):
                waiting.append(value)
            elif isinstance(value, str) and value.startswith(_BEGINNINGS):
                yield Place(node, key)
