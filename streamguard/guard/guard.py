"""A policy, compiled: bytes in, protected bytes or findings out. No I/O but what the keyring does."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

from pydantic import ValidationError

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.formats.json_schema import Leaf, Schema
from streamguard.guard.batch import Batch
from streamguard.guard.clean import Clean
from streamguard.guard.declared import Declared
from streamguard.guard.decode import Decode
from streamguard.guard.encode import Encode
from streamguard.guard.envelope import Envelope, treatment_of
from streamguard.guard.explain import Explain
from streamguard.guard.inspect import Inspect
from streamguard.guard.protect import Protect
from streamguard.guard.quality import Quality
from streamguard.guard.validate import Validate
from streamguard.guard.violation import Finding
from streamguard.policy.models import Policy, Rule
from streamguard.policy.paths import Path, parse_path
from streamguard.transforms.base import KEY_PATH, Field, Transform
from streamguard.transforms.register import register

_log = logs.get(__name__)

FAILED: Final = Finding(
    "guard.failed", "guard", "StreamGuard, or a transform of another package, failed on this record"
)
SLICE: Final = 128
"""Rows per batch that measured best: fewer waste calls, more miss the CPU's caches and wake the garbage collector."""

# Formats whose grammar leaves room for nothing else. Who keeps an address that the schema calls an address has decided;
# the last look is for text in which anything may stand.
_NARROW_FORMATS: Final = frozenset(
    {"uuid", "date", "date-time", "time", "duration", "email", "ipv4", "ipv6", "hostname"}
)  # fmt: skip


class Stage(Protocol):
    """A step of the corridor. Neighbours of one `stage` name share a room: all that they find of a row is listed."""

    stage: str

    def apply(self, batch: Batch) -> None:
        """Work on all live rows; record findings by row."""


class Guard:
    """The compiled policy.

    `policy` must have passed `check`; what is wrong with it here raises ConfigError all the same. `schema` is the
    parsed JSON Schema, or None when the policy's own paths are the whole declaration.
    """

    def __init__(self, policy: Policy, schema: dict[str, Any] | None, keyring: Keyring) -> None:
        self.policy = policy
        self.name = policy.name
        self.version = policy.version
        self.keyring = keyring
        stages = _compile(policy, Schema(schema) if schema is not None else None, keyring)
        self.rooms = [list(room) for _, room in groupby(stages, key=attrgetter("stage"))]
        self.explain = Explain(policy, keyring)

    def process(self, batch: Batch) -> None:
        """Take a batch through every room.

        Afterwards `batch.live` holds the rows whose out columns may leave, `batch.findings` the others. Raises
        KeysUnavailableError when keys cannot be had now: nothing has left, and a new batch of the same records will do.
        """
        told = {row: list(found) for row, found in batch.findings.items()}
        try:
            for room in self.rooms:
                for stage in room:
                    stage.apply(batch)
                batch.refresh()
        except (KeysUnavailableError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in a library's Rust is no Exception
            self._isolate(batch, told, error)

    def _isolate(self, batch: Batch, told: dict[int, list[Finding]], error: BaseException) -> None:
        """Something failed that must not: take every row by itself, so that one record spoils no other.

        Rows with findings from before the guard (`told`) keep those. The row on which it fails again becomes
        ``guard.failed``: a crash would come back with its record for ever.
        """
        _log.error("guard.failed", policy=self.name, error=error)
        if len(batch.values) == 1:
            batch.findings = {0: [FAILED]}
            batch.live = []
            return
        rows = [batch.row(row) for row in range(len(batch.values))]
        for row, one in enumerate(rows):
            if row in told:
                one.findings, one.live = {0: told[row]}, []
            else:
                self.process(one)
        batch.merge(rows)


def _compile(policy: Policy, schema: Schema | None, keyring: Keyring) -> list[Stage]:
    leaves = schema.leaves if schema else ()
    fields = {parse_path(path): path for path in policy.fields}
    kept = [parse_path(path) for path in policy.keep]
    transforms = {
        path: build(policy, rule, text, keyring, leaf_at(leaves, path))
        for path, text in fields.items()
        for rule in [policy.fields[text]]
    }
    vouched = schema is not None and schema.is_closed and policy.undeclared == "reject"

    # A number that is coerced to a text is past the schema's bounds for numbers, rounded or not.
    coerced = any("coerce" in step for steps in policy.clean.values() for step in steps)

    stages: list[Stage] = [
        Decode(
            max_bytes=policy.value.max_bytes,
            max_depth=policy.value.max_depth,
            vouched=vouched and not coerced,
        ),
    ]
    if policy.clean:
        stages.append(Clean(policy.clean, {leaf.path: leaf.types for leaf in leaves}))
    if policy.undeclared == "drop":
        stages.append(Declared(fields, kept, policy.undeclared))
    if schema is not None:
        stages.append(Validate(schema, max_depth=policy.value.max_depth))
    if not vouched and policy.undeclared != "drop":
        stages.append(Declared(fields, kept, policy.undeclared))
    if policy.quality:
        stages.append(Quality(policy.quality))
    stages.append(Protect(transforms))
    if policy.inspect.enabled:
        stages.append(
            Inspect(
                _inspected(policy, kept, leaves, schema),
                maps=[path for path in (*fields, *kept) if path not in _skipped(policy)],
                named=[*fields, *kept] if policy.undeclared == "keep" else None,
            )
        )
    stages += [Encode(), _envelope(policy, keyring)]
    return stages


def build(
    policy: Policy, rule: Rule, path: str, keyring: Keyring, leaf: Leaf | None = None
) -> Transform[Any]:
    """The transform that a rule names, for the field at `path`. Raises ConfigError when there is none or it refuses."""
    kind = register().get(rule.verb)
    if kind is None:
        raise ConfigError(f"Policy '{policy.name}': unknown transform '{rule.verb}' for '{path}'.")
    try:
        return kind(kind.Options.model_validate(rule.options), field_of(policy, rule, path, leaf), keyring)
    except ValidationError:
        raise ConfigError(f"Policy '{policy.name}': wrong options of '{rule.verb}' for '{path}'.") from None


def field_of(policy: Policy, rule: Rule, path: str, leaf: Leaf | None) -> Field:
    """What a transform is told about the field at `path`; without a leaf, nothing is known of its values."""
    return Field(
        policy=policy.name,
        topic=policy.topic,
        path=path,
        element=rule.element or f"{policy.topic}.{path}",
        types=leaf.types if leaf else frozenset(),
        enum=leaf.enum if leaf else (),
        format=(leaf.format or None) if leaf else None,
        patterns=leaf.patterns if leaf else (),
        min_length=leaf.min_length if leaf else 0,
        max_length=leaf.max_length if leaf else None,
        subject=policy.subject,
        elements={name: other.element for name, other in policy.fields.items() if other.element},
    )


def leaf_at(leaves: tuple[Leaf, ...], path: Path) -> Leaf | None:
    """The leaf at `path`; for a path above several leaves, a structured one that stands for them."""
    below = [leaf for leaf in leaves if path.covers(leaf.path)]
    if not below:
        return None
    if len(below) == 1 and len(below[0].path.segments) == len(path.segments):
        return below[0]
    same_depth = all(len(leaf.path.segments) == len(path.segments) for leaf in below)
    types = (
        frozenset[str]().union(*(leaf.types for leaf in below))
        if same_depth
        else frozenset({"object", "array"})
    )
    return Leaf(path, types, free=not same_depth)


def _inspected(
    policy: Policy, kept: list[Path], leaves: tuple[Leaf, ...], schema: Schema | None
) -> list[Path]:
    """Kept places where free text can stand."""
    skipped = _skipped(policy)
    if schema is None:
        return [path for path in kept if path not in skipped]
    texts = [
        leaf.path
        for leaf in leaves
        if "string" in leaf.types and not leaf.enum and leaf.format not in _NARROW_FORMATS
    ]
    return [path for path in kept if path not in skipped and any(path.covers(text) for text in texts)]


def _skipped(policy: Policy) -> set[Path]:
    return {parse_path(path) for path in policy.inspect.skip}


def _envelope(policy: Policy, keyring: Keyring) -> Envelope:
    # "drop" is a way to treat a key, not the transform of that name, which removes a field from its object.
    simple = policy.key.verb in {"keep", "drop"}
    text = Leaf(Path((KEY_PATH,)), frozenset({"string"}))
    return Envelope(
        key=policy.key.verb if simple else build(policy, policy.key, KEY_PATH, keyring, text),
        headers=policy.headers,
        timestamp=treatment_of(policy),
        policy=policy.name,
        version=policy.version,
    )
