"""What was measured, as tables for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from benchmarks.ratios import Ratio
from benchmarks.series import Series
from benchmarks.soak import Memory


def as_json(value: Any) -> Any:
    """`value` with series, ratios and memory turned into what JSON has."""
    if isinstance(value, Series | Ratio | Memory):
        return as_json(value.as_json())
    if isinstance(value, dict):
        return {name: as_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return round(value, 3) if isinstance(value, float) else value


def tables(results: Mapping[str, Any]) -> Iterator[Table]:
    """One table per measurement, ratios first."""
    if results["ratios"]:
        yield _ratios(results["ratios"])
    if "guard" in results:
        guard = results["guard"]
        yield _series("Guard alone, slices of 256", "µs/record", guard["total"])
        yield _series("Guard by stage and field", "µs/record", guard["stages"])
        yield _series("Transforms, with gather and scatter", "µs/value", guard["transforms"])
    if "tokens" in results:
        yield _series("FF1", "values/s", results["tokens"]["ff1"])
        yield _series("Vault", "values/s", results["tokens"]["vault"])
        yield _series("Reveal, on the record", "values/s", results["tokens"]["reveal"])
    if "serializer" in results:
        yield _series("Six fields, bytes to bytes", "µs/record", results["serializer"])
    if "throughput" in results:
        yield _throughput(results["throughput"])
    if "latency" in results:
        yield _latency(results["latency"])
    if "soak" in results:
        yield _soak(results["soak"])


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _ratios(ratios: list[Ratio]) -> Table:
    table = _table("Ratios, taken round by round", "", "median", "spread", "target", "")
    for ratio in ratios:
        verdict = "[green]met" if ratio.met else "[red]missed"
        table.add_row(
            ratio.name, _figure(ratio.series.median), _spread(ratio.series), ratio.shown_target, verdict
        )
    return table


def _series(title: str, unit: str, figures: Mapping[str, Series]) -> Table:
    table = _table(title, "", unit, "spread")
    for name, series in figures.items():
        table.add_row(name, _figure(series.median), _spread(series))
    return table


def _throughput(speeds: Mapping[str, Mapping[str, Series]]) -> Table:
    table = _table("End to end, one process", "", "records/s", "spread", "CPU µs/record", "spread")
    for name, figures in speeds.items():
        rate, cpu = figures["rate"], figures["cpu_us"]
        table.add_row(name, _figure(rate.median), _spread(rate), _figure(cpu.median), _spread(cpu))
    return table


def _latency(latency: Mapping[str, Any]) -> Table:
    percentiles = next(iter(latency["contenders"].values()))["added"]
    title = f"Latency in ms at {latency['rate']:,} records/s, from the intended send time"
    table = _table(title, "", *percentiles)
    for name, figures in latency["contenders"].items():
        for kind in ("added", "total"):
            shown = [f"{milliseconds:,.1f}" for milliseconds in figures[kind].values()]
            table.add_row(f"{name}, {kind}", *shown)
    return table


def _soak(memory: Memory) -> Table:
    table = _table("Memory of the service", "records", "MB")
    for done, megabytes in memory.samples:
        table.add_row(f"{done:,}", f"{megabytes:.1f}")
    table.add_section()
    table.add_row("MB per million, settled", f"{memory.slope:+.1f}")
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _spread(series: Series) -> str:
    return f"{_figure(min(series.values))} – {_figure(max(series.values))}"
