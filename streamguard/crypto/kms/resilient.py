"""Around a key service: an end to waiting, retries, a cache of what was unwrapped, and somebody who counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final, Literal, Protocol

from streamguard import logs, patience
from streamguard.crypto.cache import Cache
from streamguard.crypto.kms.base import Kms
from streamguard.errors import KeysUnavailableError

WITHIN: Final = 2.0
"""Seconds that one call may take, its retries included. A lane asks twice before it says that it waits."""

KEPT_FOR: Final = 300.0
"""Seconds for which an unwrapped key is kept: for so long a service that is away is not missed."""

KEPT_MOST: Final = 1_000
"""Unwrapped keys that are kept at most."""

Outcome = Literal[patience.Outcome, "cached"]

log = logs.get(__name__)


class Observer(Protocol):
    """Is told of every request, and of every answer out of the cache (which takes 0 seconds)."""

    def __call__(self, provider: str, operation: str, outcome: Outcome, seconds: float) -> None: ...


def nobody(provider: str, operation: str, outcome: Outcome, seconds: float) -> None:
    """The observer of a process whose metrics are read by no one."""


class ResilientKms:
    """A `Kms` whose calls end. Thread-safe. `clock` and `sleep` are for tests."""

    def __init__(
        self,
        kms: Kms,
        provider: str,
        observe: Observer = nobody,
        *,
        within: float = WITHIN,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kms = kms
        self._provider = provider
        self._observe = observe
        self._call = patience.Patience(
            "The key service", within, KeysUnavailableError, self._failed,
            observe=partial(observe, provider), clock=clock, sleep=sleep,
        ).call  # fmt: skip
        # By a digest of the wrapped form.
        self._kept: Cache[bytes, bytes] = Cache(KEPT_FOR, KEPT_MOST, clock)

    @property
    def name(self) -> str:
        return self._call("wrap", lambda: self._kms.name)

    def opens(self, master: str) -> bool:
        return self._kms.opens(master)

    def wrap(self, secret: bytes) -> bytes:
        return self._call("wrap", lambda: self._kms.wrap(secret))

    def unwrap(self, wrapped: bytes) -> bytes:
        name = sha256(wrapped).digest()
        secret = self._kept.get(name)
        if secret is not None:
            self._observe(self._provider, "unwrap", "cached", 0.0)
            return secret
        secret = self._call("unwrap", lambda: self._kms.unwrap(wrapped))
        self._kept.put(name, secret)
        return secret

    def health(self) -> None:
        self._call("health", self._kms.health)

    def _failed(self, error: Exception) -> KeysUnavailableError:
        log.error("kms.failed", provider=self._provider, error=error)
        return KeysUnavailableError("The key service's library failed.", "See the log for kms.failed.")
