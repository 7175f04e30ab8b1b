"""What every peer that stands between two topics is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Where to read and write, as which group, and with which guarantee; `guard` asks for the reference policy too."""

    bootstrap: str
    source: str
    sink: str
    group: str
    exactly_once: bool
    guard: bool
    commit_ms: int


def parse() -> Options:
    """The options of this process; `benchmarks.contenders` writes them."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "source", "sink", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--commit-ms", type=int, required=True)
    parser.add_argument("--exactly-once", action="store_true")
    parser.add_argument("--guard", action="store_true")
    return Options(**vars(parser.parse_args()))
