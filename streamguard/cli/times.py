"""Times as people write them in options."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from streamguard.errors import UsageError

_AGO: Final = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def time_of(option: str, text: str | None) -> datetime | None:
    """A moment: so long ago (``90s``, ``7d``), or a time, which is local where it names no offset. None stays None."""
    if text is None:
        return None
    with suppress(ValueError, OverflowError):
        if found := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.astimezone()
    raise UsageError(
        f"{option} cannot be '{text}'.", "Write 90s, 15m, 1h, 7d, or a time such as 2026-01-31T12:00Z."
    )
