"""How fast StreamGuard is on this machine, beside its peers; figures are ratios first.

    scripts/bench                       everything but the soak, in less than ten minutes
    scripts/bench --quick               the same with few records, in less than one: whether it works, not how fast
    scripts/bench --only guard,latency  some of: guard, tokens, e2e, latency, peers
    scripts/bench --soak                memory of the service over two million records

A broker of its own is started for the run (Java and Maven; without them only the guard is measured), and the peers get
an environment of their own. The results are printed as tables and written as JSON to .cache/bench/.

Exit codes: 0 measured, 1 something failed, 2 wrong use, 69 a part is missing.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import orjson
from rich.console import Console

from benchmarks import guard_alone, latency, machine, page, serializer, soak, throughput, tokens
from benchmarks.broker import MISSING_PART, Broker, NoBroker, running
from benchmarks.contenders import ROOT
from benchmarks.processes import Ended
from benchmarks.ratios import ratios
from benchmarks.report import as_json, tables
from benchmarks.window import Stalled

PARTS: Final = ("guard", "tokens", "e2e", "latency", "peers")


@dataclass(frozen=True)
class Scale:
    """How much is measured; `few` leaves out contenders that no ratio needs."""

    few: bool
    guard_rounds: int
    guard_records: int
    token_values: int
    serializer_rounds: int
    serializer_records: int
    rounds: int
    records: int
    seconds: float
    latency_rate: int
    latency_seconds: float
    soak_records: int


FULL: Final = Scale(
    few=False,
    guard_rounds=15,
    guard_records=12_800,
    token_values=20_000,
    serializer_rounds=5,
    serializer_records=2_000,
    rounds=3,
    records=600_000,
    seconds=4,
    latency_rate=1_000,
    latency_seconds=20,
    soak_records=2_000_000,
)
QUICK: Final = Scale(
    few=True,
    guard_rounds=2,
    guard_records=2_560,
    token_values=2_000,
    serializer_rounds=1,
    serializer_records=200,
    rounds=1,
    records=200_000,
    seconds=0.5,
    latency_rate=500,
    latency_seconds=1,
    soak_records=200_000,
)

console: Final = Console(stderr=True)


def say(what: str) -> None:
    """Tell the person at the terminal what is being done now."""
    console.print(f"bench: {what}", style="dim", highlight=False)


def main() -> int:
    options = parse(sys.argv[1:])
    parts = options.only
    scale = QUICK if options.quick else FULL
    with_soak = options.soak or options.page
    if options.rounds:
        scale = replace(scale, rounds=options.rounds)
    results: dict[str, Any] = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": machine.describe(),
        "load_before": machine.load(),
    }
    if "guard" in parts:
        say("guard alone")
        results["guard"] = guard_alone.measure(rounds=scale.guard_rounds, records=scale.guard_records)
    if "tokens" in parts:
        say("FF1, the vault, and reveal")
        results["tokens"] = tokens.measure(rounds=scale.rounds, values=scale.token_values, say=say)
    if "peers" in parts:
        subprocess.run([ROOT / "scripts" / "setup", "--bench"], check=True)
        results["serializer"] = serializer.measure(
            rounds=scale.serializer_rounds, records=scale.serializer_records, say=say
        )
    missing = None
    if with_soak or {"e2e", "latency", "peers"} & set(parts):
        try:
            with running() as broker, tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder:
                results |= with_broker(broker, parts, scale, Path(folder), with_soak=with_soak)
        except NoBroker as reason:
            missing = reason
    results["load_after"] = machine.load()
    results["ratios"] = list(ratios(results))
    finish(results, options.json)
    if options.page:
        page.write(results)
        say(f"wrote the results into {page.PAGE.relative_to(ROOT)}")
    if missing:
        console.print(f"bench: left out what needs a broker: {missing}", style="red", highlight=False)
        return MISSING_PART
    return 0


def with_broker(
    broker: Broker, parts: list[str], scale: Scale, folder: Path, *, with_soak: bool
) -> dict[str, Any]:
    """What is measured end to end."""
    results: dict[str, Any] = {}
    if {"e2e", "peers"} & set(parts):
        results["throughput"] = throughput.measure(
            broker,
            throughput.contenders(peers="peers" in parts, few=scale.few),
            rounds=scale.rounds,
            records=scale.records,
            seconds=scale.seconds,
            folder=folder,
            say=say,
        )
    if "latency" in parts:
        measured = latency.measure(
            broker,
            latency.CONTENDERS[:1] if scale.few else latency.CONTENDERS,
            rate=scale.latency_rate,
            seconds=scale.latency_seconds,
            folder=folder,
            say=say,
        )
        results["latency"] = {"rate": scale.latency_rate, "contenders": measured}
    if with_soak:
        results["soak"] = soak.measure(broker, records=scale.soak_records, folder=folder, say=say)
    return results


def finish(results: dict[str, Any], file: Path | None) -> None:
    """Write the JSON and print the tables."""
    stamp = results["started_at"][:19].replace(":", "").replace("-", "")
    file = file or ROOT / ".cache" / "bench" / f"{stamp}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps(as_json(results), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    out = Console(width=None if sys.stdout.isatty() else 100)
    for table in tables(results):
        out.print(table)
        out.print()
    out.print(f"Load average {results['load_before']} before the run, {results['load_after']} after it.")
    if results["quick"]:
        out.print("Quick run: it shows that the bench works; its figures mean nothing.")
    out.print(f"{file}", soft_wrap=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few records, one round")
    parser.add_argument(
        "--rounds", type=int, help="rounds end to end, 3 unless told; more for a busy machine"
    )
    parser.add_argument("--only", type=part_names, metavar="PARTS", help=f"some of: {','.join(PARTS)}")
    parser.add_argument(
        "--soak", action="store_true", help="memory of the service; alone unless --only is given"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument(
        "--page",
        action="store_true",
        help="write the results into docs/performance.md, when all were measured",
    )
    options = parser.parse_args(arguments)
    if options.page and (options.quick or options.only):
        parser.error("--page shows a whole run: not with --quick, not with --only")
    if options.only is None:
        options.only = [] if options.soak and not options.page else list(PARTS)
    return options


def part_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (there are: {', '.join(PARTS)})")
    return names


if __name__ == "__main__":
    ended_by: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ended_by.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        sys.exit(main())
    except BaseException as trouble:
        # All that was started is ended by now. Within the Kafka client an interrupt may become any other error.
        if ended_by:
            sys.exit(128 + ended_by[0])
        if not isinstance(trouble, Ended | Stalled):
            raise
        console.print(f"bench: {trouble}", style="red", markup=False, highlight=False)
        sys.exit(1)
