"""scripts/bench from end to end, with few records."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "bench", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)  # the peers' environment may have to be made first
def test_a_quick_run_measures_everything(kafka: str, tmp_path: Path):
    done = bench("--quick", "--json", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["ratios"]) == 7
    assert all(ratio["median"] > 0 for ratio in results["ratios"])
    assert set(results["throughput"]) >= {"StreamGuard, exactly once", "Faust agent, copy"}
    assert results["latency"]["contenders"]
    assert results["machine"]["cores"]
    assert "End to end, one process" in done.stdout
    assert "its figures mean nothing" in done.stdout


def test_a_run_that_is_ended_leaves_nothing_behind(kafka: str):
    before = set((ROOT / ".cache" / "kafka").glob("bench-*"))
    with subprocess.Popen(
        [ROOT / "scripts" / "bench", "--quick", "--only", "e2e"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        at_work = next(line for line in process.stdout if "round 1" in line)
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM, at_work + rest
    assert set((ROOT / ".cache" / "kafka").glob("bench-*")) <= before


def test_the_guard_alone_needs_no_broker(tmp_path: Path):
    done = bench("--quick", "--only", "guard", "--json", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    guard = json.loads((tmp_path / "results.json").read_text())["guard"]
    assert set(guard["total"]) == {
        "orjson.loads", "guard", "guard with inspect", "guard in Avro", "guard in Protobuf",
    }  # fmt: skip
    assert {"decode", "validate", "inspect", "encode", "envelope"} <= set(guard["stages"])
    assert {"encrypt", "tokenize", "hash", "redact", "drop", "nullify", "vault"} <= set(guard["transforms"])


def test_tokens_need_no_broker(postgres: str, tmp_path: Path):
    done = bench("--quick", "--only", "tokens", "--json", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    tokens = json.loads((tmp_path / "results.json").read_text())["tokens"]
    assert len(tokens["ff1"]) == 3
    assert {name.split(",")[0] for name in tokens["vault"]} == {"vault on SQLite", "vault on PostgreSQL"}
    assert {name.split(",")[0] for name in tokens["reveal"]} == {"reveal on SQLite", "reveal on PostgreSQL"}
    assert all(figure["median"] > 0 for figures in tokens.values() for figure in figures.values())
