"""The guard beside Confluent's field level encryption: from bytes to bytes, no Kafka between them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Final

import orjson

from benchmarks import guard_alone
from benchmarks.contenders import PEERS_PYTHON, ROOT
from benchmarks.series import Series, columns

GUARD: Final = "guard"
VALIDATED: Final = "CSFLE serializer, with validation"
UNVALIDATED: Final = "CSFLE serializer, without validation"


def measure(*, rounds: int, records: int, say: Callable[[str], None]) -> dict[str, Series]:
    """Microseconds of CPU per record."""
    figures = []
    for number in range(rounds):
        say(f"serializer: round {number + 1} of {rounds}")
        figures.append(
            {
                GUARD: guard_alone.cpu_us(),
                VALIDATED: _csfle(records, "--validate"),
                UNVALIDATED: _csfle(records),
            }
        )
    return columns(figures)


def _csfle(records: int, *options: str) -> float:
    done = subprocess.run(
        [PEERS_PYTHON, "-W", "ignore", "-m", "benchmarks.peers.csfle", "--records", str(records), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the CSFLE serializer failed:\n{done.stderr.decode(errors='replace')}")
    figure: float = orjson.loads(done.stdout)["cpu_us"]
    return figure
