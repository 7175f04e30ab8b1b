"""Keeping the keys that are in this process's memory inside it."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def keep_private() -> None:
    """No core dump of this process, and, on Linux, no debugger of another process of the same user in its memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
