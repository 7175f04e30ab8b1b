"""Whether the cluster answers a client, and whether a client that it does not answer has lost it for good.

A cluster's last broker that ends says, for some milliseconds, that there are no brokers. librdkafka takes brokers that
are not in such an answer off its list, and is then left with nobody to ask: it stays cut off for ever, though the
brokers come back (its issue 5301; measured with 2.16, about one restart in a hundred of a broker that stands alone).
From inside, that looks like any outage. So another client is asked meanwhile, one made anew: where it is answered, and
ours is not, for longer than a client waits between two tries to connect, ours is lost and has to be replaced.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

_AGAIN: Final = 1.0  # seconds between two questions without an answer
_CALM: Final = 30.0  # seconds between questions while all seems well: who is cut off may not hear of it
_ANEW: Final = 5.0  # seconds between questions by another client
LOST_AFTER: Final = 16.0
"""Seconds for which others are answered until a client is lost. By librdkafka's defaults it tries to connect at least
every 15 s (``reconnect.backoff.max.ms``, and half as much again)."""


class Contact:
    """Contact of a client with its cluster.

    `ask` tells whether the cluster answers the client now, `ask_anew` whether it answers one that was just made; both
    may take a second or more. `clock` counts seconds.
    """

    def __init__(
        self,
        ask: Callable[[], bool],
        ask_anew: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._ask_anew = ask_anew
        self._clock = clock
        self.broken = False
        """True when nobody answered the last time."""
        self._ask_at = clock() + _CALM
        self._ask_anew_at = -math.inf
        self._only_us_since = math.inf

    def broke(self) -> bool:
        """A connection was lost; true when that is news."""
        news = not self.broken
        if news:
            self.broken = True
            self._ask_at = self._clock()
        return news

    def is_lost(self) -> bool:
        """Ask, when it is time to. True when the client has to be replaced.

        To be called often: nothing else tells that a connection is back.
        """
        if self._clock() < self._ask_at:
            return False
        self.broken = not self._ask()
        self._ask_at = self._clock() + (_AGAIN if self.broken else _CALM)
        if self.broken:
            return self._is_only_us()
        self._only_us_since = math.inf
        return False

    def _is_only_us(self) -> bool:
        now = self._clock()
        if now >= self._ask_anew_at:
            self._ask_anew_at = now + _ANEW
            self._only_us_since = min(self._only_us_since, now) if self._ask_anew() else math.inf
        if now - self._only_us_since < LOST_AFTER:
            return False
        self._only_us_since = math.inf  # whoever replaces it is given as long
        return True
