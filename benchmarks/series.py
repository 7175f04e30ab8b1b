"""Repeated figures: their median, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Series:
    """One figure, once per round, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one: a colleague's build slows some rounds, not half of them."""
        return median(self.values)

    def over(self, other: Series) -> Series:
        """Round by round, this divided by the other: what slowed a whole round drops out."""
        return Series(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))

    def as_json(self) -> dict[str, float | list[float]]:
        """The median, the least, the most, and every round."""
        return {
            "median": round(self.median, 3),
            "low": round(min(self.values), 3),
            "high": round(max(self.values), 3),
            "rounds": [round(value, 3) for value in self.values],
        }


def columns(rounds: Sequence[dict[str, float]]) -> dict[str, Series]:
    """Rounds of named figures, turned into one series per name."""
    return {name: Series(tuple(figures[name] for figures in rounds)) for name in rounds[0]}
