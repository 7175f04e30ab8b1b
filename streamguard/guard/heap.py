"""How a process that guards records treats its memory: what one slice gives back is there for the next."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_COLLECT_AFTER: Final = (50_000, 20, 50)
"""Containers made and not yet freed before Python looks for cycles among them, and its rarer rounds."""

# mallopt(3) of glibc. It moves the second threshold by itself, up to this size, until the first one is set.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 32 << 20


def settle() -> None:
    """Say that everything is loaded and records will come.

    What is loaded stays. Records make containers by the thousand, and hardly ever a cycle. And glibc would return the
    end of its heap after each slice, to take it back page by page for the next: a tenth of the guard's time. It keeps
    up to 32 MiB free in each of its heaps instead; single blocks of that size are returned as before.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _KEPT)
