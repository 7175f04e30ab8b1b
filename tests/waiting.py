"""Waiting for what comes true soon, however slow the machine is."""

import time
from collections.abc import Callable
from typing import Any


def until(
    condition: Callable[[], Any], *, within: float = 60.0, what: str | Callable[[], str] = "the condition"
) -> None:
    """Wait until it holds. A `what` that is called tells how things stand at the end."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {within:.0f} s in vain: {what if isinstance(what, str) else what()}"
            )
        time.sleep(0.02)
