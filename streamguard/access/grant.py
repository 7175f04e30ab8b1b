"""What somebody may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

View = Literal["full", "masked"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may see of an element (no view: nothing), and which policies decided so, in words."""

    view: View | None
    by: str
