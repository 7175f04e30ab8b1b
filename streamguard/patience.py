"""Calls to a service that end: tried again with pauses, and left behind when they do not come back.

A lane asks between two polls of Kafka, so each call ends within seconds, whatever the service's library does: it is
made in a thread of its own, which is left behind when it does not come back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Literal, TypeVar

from streamguard.errors import StreamGuardError, UnavailableError

Outcome = Literal["ok", "refused", "unavailable"]
"""Of one request: answered, whatever the answer; not allowed (``lasts``); not answered."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_MOST_UNANSWERED: Final = 16

T = TypeVar("T")


class Patience:
    """Calls to one service, each of which takes `within` seconds at most, its retries included. Thread-safe.

    `service` begins a sentence: "The key service". `away` is the error that it does not answer, and `failed` makes
    one of what its library raised unforeseen. `observe` is told of every request. `clock` and `sleep` are for tests.
    """

    def __init__(
        self,
        service: str,
        within: float,
        away: type[UnavailableError],
        failed: Callable[[Exception], UnavailableError],
        *,
        observe: Callable[[str, Outcome, float], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service = service
        self._within = within
        self._away = away
        self._failed = failed
        self._observe = observe
        self._clock = clock
        self._sleep = sleep
        self._unanswered = threading.BoundedSemaphore(_MOST_UNANSWERED)

    def call(self, operation: str, request: Callable[[], T]) -> T:
        """What the request gives; it is repeated while it raises an `UnavailableError` that may mend itself.

        Full jitter, as in M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
        """
        end = self._clock() + self._within
        pause = _FIRST_PAUSE
        said = self._away(
            f"{self._service} did not answer within {self._within:g} seconds.", "See that it works."
        )
        while True:
            try:
                return self._try(operation, request, end - self._clock())
            except TimeoutError:
                raise said from None
            except UnavailableError as error:
                said = error  # which tells more than that it then fell silent
                wait = random.uniform(0.0, pause)  # noqa: S311 - spreads requests, guards nothing
                if error.lasts or self._clock() + wait >= end:
                    raise
            self._sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, operation: str, request: Callable[[], T], seconds: float) -> T:
        """One request, counted."""
        started = self._clock()
        outcome: Outcome = "ok"
        try:
            return self._answer(request, seconds)
        except UnavailableError as error:
            outcome = "refused" if error.lasts else "unavailable"
            raise
        except TimeoutError:
            outcome = "unavailable"
            raise
        finally:
            self._observe(operation, outcome, self._clock() - started)

    def _answer(self, request: Callable[[], T], seconds: float) -> T:
        """What the request gives; its thread is a daemon, which no end of the process awaits.

        Raises TimeoutError after so many seconds, and nothing else but errors of ours.
        """
        if not self._unanswered.acquire(blocking=False):
            raise self._away(
                f"{self._service} has left many requests without an answer.", "See that it works."
            )
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(request())
            except StreamGuardError as error:
                future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - a library's, whose text stays here
                future.set_exception(self._failed(error))
            finally:
                self._unanswered.release()

        threading.Thread(target=run, name=f"asks {self._service.lower()}", daemon=True).start()
        return future.result(timeout=seconds)
