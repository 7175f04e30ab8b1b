"""The transform of one field: made from its rule, and told what the schema says of its values."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.formats.base import Leaf
from streamguard.policy.models import Policy, Rule
from streamguard.policy.paths import Path, Places
from streamguard.transforms.base import Field, Transform
from streamguard.transforms.register import register


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


def leaf_at(leaves: Places[Leaf], path: Path) -> Leaf | None:
    """The leaf at `path`; for a path above several leaves, a structured one that stands for them."""
    below = leaves.covered(path)
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
