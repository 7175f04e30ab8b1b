"""What happens to each field: as the policy names it, or as the tags that the schema gives it say.

A path under ``fields`` or ``keep`` decides for everything below it. What neither names is treated by its tags: of
several, the one that stands first in the policy's ``tags`` counts. What is left over is classified by nobody, and never
passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streamguard.formats.base import Leaf
from streamguard.policy.models import Policy, Rule
from streamguard.policy.paths import Path, Places, parse_path


@dataclass(frozen=True, slots=True)
class Treatment:
    """The rule for a path, and the tag that it comes from; without one, the policy names the path itself."""

    path: Path
    rule: Rule
    tag: str = ""

    @property
    def text(self) -> str:
        """The path as it is written."""
        return str(self.path)


def treatments(policy: Policy, leaves: Iterable[Leaf]) -> dict[Path, Treatment]:
    """Every field that has a transform, in the policy's order, and then in the schema's."""
    named = {
        path: Treatment(path, rule) for text, rule in policy.fields.items() for path in [parse_path(text)]
    }
    kept = [parse_path(text) for text in policy.keep]
    decided = Places((path, path) for path in (*named, *kept))
    tagged = {
        leaf.path: Treatment(leaf.path, rule, tag)
        for leaf in leaves
        if leaf.tags and not decided.covering(leaf.path)
        for tag, rule in [first_tag(policy.tags, leaf)]
        if rule is not None
    }
    return named | tagged


def first_tag(tags: Mapping[str, Rule], leaf: Leaf) -> tuple[str, Rule | None]:
    """The tag of a leaf that counts, and its rule; None when the policy knows none of its tags."""
    return next(((tag, rule) for tag, rule in tags.items() if tag in leaf.tags), ("", None))
