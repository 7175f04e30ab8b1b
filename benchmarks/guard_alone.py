"""The guard without Kafka: CPU time per record on the reference policy, per stage, and per value of each transform.

Everything is measured in slices of `SLICE` records, as the service works, and beside ``orjson.loads`` of the same
records in the same round: that quotient can be carried from one machine to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import process_time_ns
from typing import Any, Final

import orjson

from benchmarks import formats
from benchmarks.guards import reference_guard
from benchmarks.records import SCHEMA, orders
from benchmarks.series import columns
from streamguard.crypto.keyring import Keyring
from streamguard.formats.json_schema import Schema
from streamguard.guard.batch import Batch
from streamguard.guard.corridor import Stage
from streamguard.guard.fields import build
from streamguard.guard.guard import SLICE, Guard
from streamguard.guard.heap import settle
from streamguard.guard.protect import Protect
from streamguard.policy.models import Rule
from streamguard.policy.paths import parse_path

TOPIC: Final = "orders"
SUBJECT: Final = "customer.id"
_BLOCK: Final = 10 * SLICE

# Each verb with the field of the reference order that it is measured on.
VERBS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("customer.email", "encrypt", {}),
    ("customer.email", "encrypt", {"deterministic": True}),
    ("customer.email", "tokenize", {}),
    ("customer.email", "hash", {}),
    ("payment.card_number", "mask", {"keep_last": 4}),
    ("customer.phone", "mask", {"keep_last": 4, "separators": "+"}),
    ("note", "redact", {}),
    ("note", "drop", {}),
    ("note", "nullify", {}),
    ("note", "replace", {"value": "none"}),
    ("customer.birth_date", "generalize", {"date": "year"}),
    ("payment.amount", "generalize", {"number": 10}),
    ("ip", "generalize", {"ip": 24}),
    ("customer.phone", "generalize", {"text": 5}),
    ("customer.name", "fake", {"kind": "name"}),
    ("customer.ssn", "fpe", {"separators": "-"}),
    ("payment.card_number", "fpe", {"keep_first": 6, "luhn": True}),
    ("customer.email", "encrypt", {"per": "subject"}),
    ("customer.birth_date", "shift_dates", {}),
    ("customer.email", "vault", {}),
)


def measure(*, rounds: int, records: int) -> dict[str, Any]:
    """All figures, in microseconds of CPU per record (per value for `transforms`)."""
    values = orders(records - records % _BLOCK)
    # At first this process holds one guard and its records, as the service's does.
    guard = _warm(reference_guard(), values)
    beside = columns([_beside_loads(guard, values) for _ in range(rounds)])
    inspecting = reference_guard(inspect=True)
    others = {"guard with inspect": (inspecting, values)} | formats.guarded(values)
    for other, its in others.values():
        _warm(other, its)
    verbs = list(_verbs())
    for _, step in verbs:
        _apply(
            step, values
        )  # all of them: what meets a value for the first time is measured in benchmarks/tokens.py
    totals, stages, transforms = [], [], []
    for _ in range(rounds):
        totals.append({name: _run(other, its) for name, (other, its) in others.items()})
        stages.append(_stages(inspecting, values))
        transforms.append({label: _apply(steps, values) for label, steps in verbs})
    return {
        "total": beside | columns(totals),
        "over_loads": beside["guard"].over(beside["orjson.loads"]),
        "stages": columns(stages),
        "transforms": columns(transforms),
    }


def cpu_us(records: int = 40_960) -> float:
    """The guard on the reference policy once more, for the rounds in which peers are measured beside it."""
    values = orders(records)
    return _run(_warm(reference_guard(), values), values)


def _warm(guard: Guard, values: list[bytes]) -> Guard:
    """The guard with keys minted and tables built, in a process that is ready for records."""
    _run(guard, values[:_BLOCK])
    settle()
    return guard


def _beside_loads(guard: Guard, values: list[bytes]) -> dict[str, float]:
    """Block by block, one after the other: what slows this machine for a moment slows both."""
    loads = guarded = 0.0
    blocks = [values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK)]
    for block in blocks:
        loads += _loads(block)
        guarded += _run(guard, block)
    return {"orjson.loads": loads / len(blocks), "guard": guarded / len(blocks)}


def _batches(values: list[bytes]) -> Iterator[Batch]:
    for start in range(0, len(values), SLICE):
        yield Batch(TOPIC, values[start : start + SLICE])  # type: ignore[arg-type]


def _loads(values: list[bytes]) -> float:
    loads = orjson.loads
    started = process_time_ns()
    for value in values:
        loads(value)
    return (process_time_ns() - started) / len(values) / 1000


def _run(guard: Guard, values: list[bytes]) -> float:
    passed = 0
    started = process_time_ns()
    for batch in _batches(values):
        guard.process(batch)
        passed += len(batch.live)
    spent = process_time_ns() - started
    if passed != len(values):
        raise SystemExit("the guard rejected reference records: this would not measure what it says")
    return spent / len(values) / 1000


def _stages(guard: Guard, values: list[bytes]) -> dict[str, float]:
    rooms = [[part for stage in room for part in _parts(stage)] for room in guard.rooms]
    spent = {label: 0 for room in rooms for label, _ in room}
    for batch in _batches(values):
        for room in rooms:
            for label, apply in room:
                started = process_time_ns()
                apply(batch)
                spent[label] += process_time_ns() - started
            batch.refresh()
    return {label: nanoseconds / len(values) / 1000 for label, nanoseconds in spent.items()}


def _parts(stage: Stage) -> Iterator[tuple[str, Callable[[Batch], None]]]:
    """A stage; the protecting one field by field, so that each transform shows."""
    if not isinstance(stage, Protect):
        yield type(stage).__name__.lower(), stage.apply
        return
    for path, columns_, transform, *_ in stage.steps:
        yield f"protect {path} ({transform.verb})", Protect({columns_.path: transform}).apply


def _verbs() -> Iterator[tuple[str, Protect]]:
    policy, keyring = reference_guard().policy.model_copy(update={"subject": SUBJECT}), Keyring.in_memory()
    leaves = {str(leaf.path): leaf for leaf in Schema(orjson.loads(SCHEMA.read_bytes())).leaves}
    for path, verb, options in VERBS:
        written = ", ".join(f"{name}: {value}" for name, value in options.items())
        transform = build(policy, Rule(verb=verb, options=options), path, keyring, leaves[path])
        yield f"{verb} {{{written}}}" if written else verb, Protect({parse_path(path): transform})


def _apply(step: Protect, values: list[bytes]) -> float:
    spent = 0
    for batch in _batches(values):
        batch.documents = [orjson.loads(value) for value in batch.values]  # type: ignore[arg-type]
        started = process_time_ns()
        step.apply(batch)
        spent += process_time_ns() - started
        if batch.findings:
            raise SystemExit("a transform rejected reference records: this would not measure what it says")
    return spent / len(values) / 1000
