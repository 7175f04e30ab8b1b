"""Whether keys can be had now, asked every two seconds in a thread of its own.

A key that is in memory needs neither KMS nor store, so an outage would show only when the next key is due: hours later,
and then at once in every process. This asks before it matters, and says so at ``/health/ready``. Lanes go on meanwhile
with the keys they have; one that needs another key pauses.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.errors import StreamGuardError

ASKED_EVERY: Final = 2.0
"""Seconds between questions."""

ANSWERED_WITHIN: Final = 1.5
"""Seconds without an answer after which it is taken for no: with a child's report, within five of the outage."""

CONFIRMED_EVERY: Final = 10.0
"""Seconds between looks into the store for keys that were replaced or destroyed elsewhere."""

log = logs.get(__name__)


class KeyWatch:
    """Watches one keyring from `start` to `stop`."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._well = True
        self._asked: float | None = None
        self._confirmed = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keywatch", daemon=True)

    @property
    def well(self) -> bool:
        """Whether KMS and store answered when they were last asked, or may still do so in time."""
        asked = self._asked
        return self._well and (asked is None or time.monotonic() - asked < ANSWERED_WITHIN)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Does not wait for an answer that is still to come."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(ASKED_EVERY):
            self._asked = time.monotonic()
            try:
                self._ask(self._asked)
            except StreamGuardError as error:
                self._note(error)
            else:
                self._note(None)
            self._asked = None

    def _ask(self, now: float) -> None:
        if now - self._confirmed >= CONFIRMED_EVERY:
            self._confirmed = now
            self._keyring.confirm()
        self._keyring.health()

    def _note(self, error: StreamGuardError | None) -> None:
        if error is None and not self._well:
            log.info("keys.available")
        elif error is not None and self._well:
            log.warning("keys.unavailable", error=error)
        self._well = error is None
