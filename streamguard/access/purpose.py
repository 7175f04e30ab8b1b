"""What somebody reveals something for: a short text that policies may ask for, and that the trail keeps."""

from __future__ import annotations

import re
from typing import Final

from streamguard.errors import UsageError

PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9 ._/#:-]{0,99}$"
"""Enough for a word and a ticket's number. Without ``@``, so that nobody's address ends on the trail."""

_PURPOSE: Final = re.compile(PATTERN)


def check_purpose(text: str) -> None:
    """Raises UsageError for what cannot stand on the trail. An empty text says that there is no purpose."""
    if text and not _PURPOSE.fullmatch(text):
        raise UsageError(
            "A purpose is a short text of letters, digits, blanks and . _ / # : -, at most 100.",
            "Write it like 'ticket 4711'; name no person.",
        )
