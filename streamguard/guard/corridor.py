"""A policy, compiled for records of one schema: the rooms that a batch of them goes through."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

from streamguard.crypto.keyring import Keyring
from streamguard.formats import framing
from streamguard.formats.base import Change, Form, Leaf
from streamguard.guard.batch import Batch
from streamguard.guard.classify import treatments
from streamguard.guard.clean import Clean
from streamguard.guard.declared import Declared
from streamguard.guard.decode import Decode
from streamguard.guard.encode import Encode
from streamguard.guard.envelope import Envelope, Keys, treatment_of
from streamguard.guard.fields import build, leaf_at
from streamguard.guard.frame import UNFRAMED, Frame
from streamguard.guard.inspect import Inspect
from streamguard.guard.protect import Protect
from streamguard.guard.quality import Quality
from streamguard.guard.validate import Validate
from streamguard.policy.models import Policy
from streamguard.policy.paths import Path, parse_path
from streamguard.transforms.base import KEY_PATH, Transform

# Formats whose grammar leaves room for nothing else. Who keeps an address that the schema calls an address has decided;
# the last look is for text in which anything may stand.
_NARROW_FORMATS: Final = frozenset(
    {"uuid", "date", "date-time", "time", "duration", "email", "ipv4", "ipv6", "hostname", "decimal"}
)  # fmt: skip

# Nothing that the last look knows has fewer characters, in whatever disguise: currencies and countries cost nothing.
_SHORTEST: Final = 4


class Stage(Protocol):
    """A step of the corridor. Neighbours of one `stage` name share a room: all that they find of a row is listed."""

    stage: str

    def apply(self, batch: Batch) -> None:
        """Work on all live rows; record findings by row."""


class Corridor:
    """The compiled stages for records of one form. Raises ConfigError for what `check` would refuse.

    `out` is the form of what leaves; `form` itself unless another is given. `keys` reads and writes keys that are more
    than text.
    """

    def __init__(
        self,
        policy: Policy,
        form: Form,
        keyring: Keyring,
        out: Form | None = None,
        frame: Frame = UNFRAMED,
        keys: Keys | None = None,
    ) -> None:
        stages = _compile(policy, form, keyring, out or form, frame, keys)
        self.rooms = [list(room) for _, room in groupby(stages, key=attrgetter("stage"))]

    def process(self, batch: Batch) -> None:
        """Take a batch through every room. Raises UnavailableError when something that it needs cannot be had now."""
        for room in self.rooms:
            for stage in room:
                stage.apply(batch)
            batch.refresh()


class Bare:
    """The corridor of tombstones, which have no value."""

    def __init__(self, policy: Policy, keyring: Keyring, keys: Keys | None = None) -> None:
        self.envelope = _envelope(policy, keyring, UNFRAMED, keys)

    def process(self, batch: Batch) -> None:
        """Treat keys, headers and timestamps."""
        self.envelope.apply(batch)
        batch.refresh()


def out_form(policy: Policy, form: Form, keyring: Keyring) -> Form:
    """The form of what leaves. Raises ConfigError where that cannot be described."""
    protected = transforms_of(policy, form, keyring)
    return form.changed(
        {path: change_of(transform) for path, transform in protected.items() if _has(form, path)}
    )


def change_of(transform: Transform[Any]) -> Change:
    """What a transform makes of its field's values."""
    gives = transform.gives()
    return Change(gives - {"null"}, nulls="null" in gives, keeps=transform.keeps_form)


def transforms_of(policy: Policy, form: Form, keyring: Keyring) -> dict[Path, Transform[Any]]:
    """The transform of each field that has one."""
    return {
        path: build(policy, treatment.rule, treatment.text, keyring, leaf_at(form.places, path))
        for path, treatment in treatments(policy, form.leaves).items()
    }


def _compile(
    policy: Policy, form: Form, keyring: Keyring, out: Form, frame: Frame, keys: Keys | None
) -> list[Stage]:
    leaves = form.leaves
    fields = treatments(policy, leaves)
    kept = [parse_path(path) for path in policy.keep]
    vouched = form.is_closed and policy.undeclared == "reject"

    # A number that is coerced to a text is past the schema's bounds for numbers, rounded or not.
    coerced = any("coerce" in step for steps in policy.clean.values() for step in steps)

    stages: list[Stage] = [Decode(form, max_bytes=policy.value.max_bytes, vouched=vouched and not coerced)]
    steps = {text: steps for text, steps in policy.clean.items() if _has(form, parse_path(text))}
    if steps:
        stages.append(Clean(steps, {leaf.path: leaf.types for leaf in leaves}))
    if policy.undeclared == "drop":
        stages.append(Declared(fields, kept, policy.undeclared))
    if form.declares:
        stages.append(Validate(form))
    if not vouched and policy.undeclared != "drop":
        stages.append(Declared(fields, kept, policy.undeclared))
    if policy.quality:
        stages.append(Quality(policy.quality))
    stages.append(Protect(transforms_of(policy, form, keyring), form, out))
    if policy.inspect.enabled:
        stages.append(
            Inspect(
                _inspected(policy, kept, form),
                maps=[path for path in (*fields, *kept) if path not in _skipped(policy)],
                named=[*fields, *kept] if policy.undeclared == "keep" else None,
            )
        )
    stages += [Encode(out, frame.prefix), _envelope(policy, keyring, frame, keys)]
    return stages


def _has(form: Form, path: Path) -> bool:
    """Whether the schema has such a place; without one, any may be there. A policy is for all of its versions."""
    return not form.declares or bool(form.places.covered(path))


def _inspected(policy: Policy, kept: list[Path], form: Form) -> list[Path]:
    """Kept places where free text can stand."""
    skipped = _skipped(policy)
    if not form.declares:
        return [path for path in kept if path not in skipped]
    return [
        path
        for path in kept
        if path not in skipped and any(map(_may_hold_free_text, form.places.covered(path)))
    ]


def _may_hold_free_text(leaf: Leaf) -> bool:
    return (
        "string" in leaf.types
        and not leaf.enum
        and leaf.format not in _NARROW_FORMATS
        and (leaf.max_length is None or leaf.max_length >= _SHORTEST)
    )


def _skipped(policy: Policy) -> set[Path]:
    return {parse_path(path) for path in policy.inspect.skip}


def _envelope(policy: Policy, keyring: Keyring, frame: Frame, keys: Keys | None) -> Envelope:
    # "drop" is a way to treat a key, not the transform of that name, which removes a field from its object.
    simple = policy.key.verb in {"keep", "drop"}
    text = Leaf(Path((KEY_PATH,)), frozenset({"string"}))
    return Envelope(
        key=policy.key.verb if simple else build(policy, policy.key, KEY_PATH, keyring, text),
        headers=policy.headers,
        timestamp=treatment_of(policy),
        policy=policy.name,
        version=policy.version,
        ours=frame.headers,
        keys=keys,
        # They name the schemas of what came in.
        replaced=frozenset(
            ({framing.VALUE_HEADER} if policy.value.registry else set())
            | ({framing.KEY_HEADER} if policy.key.verb != "keep" else set())
        ),
    )
