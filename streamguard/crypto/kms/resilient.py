"""Around a key service: retries, an end to waiting, a cache of what was unwrapped, and somebody who counts.

A lane asks for keys between two polls of Kafka, so each call ends within seconds, whatever the service's library does:
it is made in a thread of its own, which is left behind when it does not come back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import sha256
from typing import Final, Literal, Protocol, TypeVar

from streamguard import logs
from streamguard.crypto.cache import Cache
from streamguard.crypto.kms.base import Kms
from streamguard.errors import KeysUnavailableError

WITHIN: Final = 2.0
"""Seconds that one call may take, its retries included. A lane asks twice before it says that it waits."""

KEPT_FOR: Final = 300.0
"""Seconds for which an unwrapped key is kept: for so long a service that is away is not missed."""

KEPT_MOST: Final = 1_000
"""Unwrapped keys that are kept at most."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_MOST_UNANSWERED: Final = 16

Operation = Literal["wrap", "unwrap", "health"]
Outcome = Literal["ok", "refused", "unavailable", "cached"]

T = TypeVar("T")

log = logs.get(__name__)


class Observer(Protocol):
    """Is told of every request, and of every answer out of the cache (which takes 0 seconds)."""

    def __call__(self, provider: str, operation: Operation, outcome: Outcome, seconds: float) -> None: ...


def nobody(provider: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
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
        self._within = within
        self._clock = clock
        self._sleep = sleep
        self._unanswered = threading.BoundedSemaphore(_MOST_UNANSWERED)
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

    def _call(self, operation: Operation, request: Callable[[], T]) -> T:
        """Full jitter, as in M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015)."""
        end = self._clock() + self._within
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._try(operation, request, end - self._clock())
            except KeysUnavailableError as error:
                wait = random.uniform(0.0, pause)  # noqa: S311 - spreads requests, guards nothing
                if error.lasts or self._clock() + wait >= end:
                    raise
            self._sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, operation: Operation, request: Callable[[], T], seconds: float) -> T:
        """One request, counted."""
        started = self._clock()
        outcome: Outcome = "unavailable"
        try:
            answer = self._answer(request, seconds)
            outcome = "ok"
            return answer
        except KeysUnavailableError as error:
            outcome = "refused" if error.lasts else "unavailable"
            raise
        finally:
            self._observe(self._provider, operation, outcome, self._clock() - started)

    def _answer(self, request: Callable[[], T], seconds: float) -> T:
        """What the request gives within so many seconds; its thread is a daemon, which no end of the process awaits."""
        if not self._unanswered.acquire(blocking=False):
            raise KeysUnavailableError(
                "The key service has left many requests without an answer.", "See that it works."
            )
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(request())
            except KeysUnavailableError as error:
                future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - a library's, whose text stays here
                log.error("kms.failed", provider=self._provider, error=error)
                future.set_exception(
                    KeysUnavailableError("The key service's library failed.", "See the log for kms.failed.")
                )
            finally:
                self._unanswered.release()

        threading.Thread(target=run, name=f"kms-{self._provider}", daemon=True).start()
        try:
            return future.result(timeout=seconds)
        except TimeoutError:
            raise KeysUnavailableError(
                f"The key service did not answer within {self._within:g} seconds.", "See that it works."
            ) from None
