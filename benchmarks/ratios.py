"""The figures that can be carried from one machine to another, and what we have promised of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import serializer, throughput
from benchmarks.series import Series


@dataclass(frozen=True)
class Ratio:
    """One quotient, taken round by round, and its target: at least or at most so much."""

    name: str
    series: Series
    bound: Literal["≥", "≤"]
    target: float

    @property
    def met(self) -> bool:
        """Whether the median keeps the target."""
        median = self.series.median
        return median >= self.target if self.bound == "≥" else median <= self.target

    @property
    def shown_target(self) -> str:
        """Such as ``≥ 25``."""
        return f"{self.bound} {self.target:.3g}"

    def as_json(self) -> dict[str, Any]:
        """The series with its target."""
        return {
            "name": self.name,
            **self.series.as_json(),
            "target": self.shown_target,
            "met": self.met,
        }


def ratios(results: dict[str, Any]) -> Iterator[Ratio]:
    """Every ratio that the measurements in `results` allow."""
    if "guard" in results:
        over = results["guard"]["over_loads"]
        # 9.5 µs a record on a machine where orjson.loads takes 1.3 µs.
        yield Ratio("guard: CPU, times orjson.loads of the same record", over, "≤", 9.5 / 1.3)
    if "serializer" in results:
        cpu = results["serializer"]
        faster = cpu[serializer.VALIDATED].over(cpu[serializer.GUARD])
        yield Ratio("guard: times faster than CSFLE with validation", faster, "≥", 25)
    speeds = results.get("throughput", {})
    ours = speeds.get(throughput.EXACTLY_ONCE)
    for name, peer, bound, target, figure in (
        ("exactly once: times the rate of a Faust agent per record", throughput.FAUST, "≥", 15, "rate"),
        ("exactly once: times the rate of Quix with the same guard", throughput.QUIX, "≥", 1.3, "rate"),
        ("exactly once: CPU, times the copy loop's", throughput.COPY, "≤", 6, "cpu_us"),
    ):
        if ours and peer in speeds:
            yield Ratio(name, ours[figure].over(speeds[peer][figure]), bound, target)  # type: ignore[arg-type]
    for name, other, target in (
        ("exactly once in Avro: CPU, times that in JSON", throughput.AVRO, 1.5),
        ("exactly once in Protobuf: CPU, times that in JSON", throughput.PROTOBUF, 2.0),
    ):
        if ours and other in speeds:
            yield Ratio(name, speeds[other]["cpu_us"].over(ours["cpu_us"]), "≤", target)
