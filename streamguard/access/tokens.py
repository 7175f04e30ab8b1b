"""Static tokens, for set-ups without an identity provider: made here, and kept as hashes only.

A token is ``sgt_`` and 256 random bits, so one SHA-256 hides it as well as any slow hash would: there is nothing to
guess from. What people would choose themselves has another shape, and is not taken.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from streamguard.access.errors import AuthenticationError
from streamguard.access.principal import Principal
from streamguard.errors import ConfigError
from streamguard.policy.document import read_document
from streamguard.policy.expected import Expected
from streamguard.policy.models import Model
from streamguard.policy.problems import ProblemsError
from streamguard.policy.wording import problems_of

PREFIX: Final = "sgt_"

_TOKEN: Final = re.compile(r"sgt_[A-Za-z0-9_-]{43}")
_NAME: Final = r"^[A-Za-z0-9._-]{1,64}$"
_HASH: Final = r"^sha256:[0-9a-f]{64}$"


class StaticToken(Model):
    """One token: who has it, its hash, the roles it gives, and when it ends."""

    name: Annotated[str, Field(pattern=_NAME), Expected("letters, digits, '.', '_' and '-', at most 64")]
    hash: Annotated[str, Field(pattern=_HASH), Expected("what 'streamguard access token' prints")]
    roles: Annotated[tuple[str, ...], Field(min_length=1)]
    expires: (
        Annotated[
            AwareDatetime,
            BeforeValidator(lambda value: datetime.fromisoformat(value) if isinstance(value, str) else value),
            Expected("a time such as 2027-01-31T00:00:00Z"),
        ]
        | None
    ) = None


class TokenFile(Model):
    """The file."""

    tokens: tuple[StaticToken, ...]


class StaticTokens:
    """Turns static tokens into principals."""

    def __init__(
        self, tokens: Iterable[StaticToken], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tokens = tuple(tokens)
        self._now = now

    def principal(self, token: str) -> Principal:
        """Who has this token. Raises AuthenticationError when nobody does, or when its time is over."""
        if not _TOKEN.fullmatch(token):
            raise AuthenticationError("token_malformed")
        digest = hash_of(token)
        # Every entry is compared, so that the time it takes does not tell where a hash stands.
        found = [entry for entry in self._tokens if compare_digest(entry.hash, digest)]
        if not found:
            raise AuthenticationError("token_unknown")
        entry = found[0]
        if entry.expires is not None and entry.expires <= self._now():
            raise AuthenticationError("token_expired")
        return Principal(f"token:{entry.name}", frozenset(entry.roles), "token")


def generate() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """What the file keeps of a token."""
    return "sha256:" + sha256(token.encode()).hexdigest()


def load_tokens(path: Path) -> StaticTokens:
    """The tokens in a file. Raises ProblemsError with every problem, ConfigError when it cannot be read."""
    document = read_document(path, what="tokens file")
    try:
        entries = TokenFile.model_validate(document.data).tokens
    except ValidationError as error:
        raise ProblemsError(problems_of(error, TokenFile, document)) from None
    names = [entry.name for entry in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"The tokens file names '{twice}' twice.", "Give each token a name of its own.")
    return StaticTokens(entries)
