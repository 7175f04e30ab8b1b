"""Who asks, once that is known."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

How = Literal["oidc", "token", "certificate", "local"]

NOBODY: Final = "nobody"
"""What the trail calls somebody whose credentials were not accepted."""

_LONGEST: Final = 300
_ROLES_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller shows: a bearer token, or the subject of a certificate that TLS (or a trusted proxy) verified."""

    bearer: str | None = field(default=None, repr=False)
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a program. `name` is unique among all ways of authentication, and what the trail calls it."""

    name: str
    roles: frozenset[str]
    how: How

    @classmethod
    def local(cls) -> Principal:
        """Whoever runs this process: the account that the system knows, not what the environment says."""
        user = os.getuid()
        try:
            name = pwd.getpwuid(user).pw_name
        except KeyError:
            name = str(user)
        return cls(f"local:{name}", frozenset(), "local")


def is_name(text: Any) -> bool:
    """Whether this can stand in the trail and in a policy: printable text of a decent length."""
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and text.isprintable()


def roles_from(found: Any) -> frozenset[str]:
    """The roles in a claim: a list of names, or names with blanks between them. Anything else is none."""
    words: Iterable[Any] = (
        found.split() if isinstance(found, str) else found if isinstance(found, list) else ()
    )
    return frozenset([word for word in words if is_name(word)][:_ROLES_MOST])
