"""What happens to each leaf: of the treatments that suit a finding, the first that takes all values that were seen.

A treatment is tried on them as the service would apply it, with keys that exist for that moment, so that no policy is
drafted under which the very records it was made from could not leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamguard.crypto.keyring import Keyring
from streamguard.draft.detect import Finding
from streamguard.draft.kinds import ENCRYPT, RuleDocument
from streamguard.formats.base import Leaf
from streamguard.policy.models import Rule
from streamguard.transforms.base import Field, Transform
from streamguard.transforms.register import register

_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is proposed for a leaf: a `rule`, or None to keep it. `records` is the number of records with a value there.

    `sample` is a made-up value for it, and `output` what the rule makes of that one (where it is always the same).
    """

    leaf: Leaf
    finding: Finding | None
    rule: RuleDocument | None
    records: int
    sample: Any


class Proposer:
    """Proposes treatments for the leaves of one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.keyring = Keyring.in_memory()

    def propose(
        self, leaf: Leaf, finding: Finding | None, seen: Sequence[tuple[int, Any]], sample: Any
    ) -> Treatment:
        """The treatment of one leaf, `seen` as it was with the number of each record."""
        rule = None if finding is None else self._rule(leaf, finding, [*(value for _, value in seen), sample])
        return Treatment(leaf, finding, rule, len({row for row, _ in seen}), sample)

    def transform(self, leaf: Leaf, rule: RuleDocument) -> Transform[Any]:
        """A rule, compiled for a leaf."""
        written = Rule.model_validate(rule)
        kind = register()[written.verb]
        path = str(leaf.path)
        field = Field(
            policy=self.topic,
            topic=self.topic,
            path=path,
            element=written.element or f"{self.topic}.{path}",
            types=leaf.types,
            enum=leaf.enum,
            format=leaf.format or None,
            patterns=leaf.patterns,
            min_length=leaf.min_length,
            max_length=leaf.max_length,
        )
        return kind(kind.Options.model_validate(written.options), field, self.keyring)

    def _rule(self, leaf: Leaf, finding: Finding, values: list[Any]) -> RuleDocument:
        """The first that fits; encryption, which takes anything, otherwise."""
        return next((rule for rule in finding.kind.rules if self._fits(leaf, rule, values)), ENCRYPT)

    def _fits(self, leaf: Leaf, rule: RuleDocument, values: list[Any]) -> bool:
        transform = self.transform(leaf, rule)
        takes = transform.takes | ({"integer"} if "number" in transform.takes else frozenset())
        if not leaf.types <= takes or transform.check() is not None:
            return False
        refused: list[int] = []
        for start in range(0, len(values), _AT_ONCE):
            transform.apply(values[start : start + _AT_ONCE], lambda index, _: refused.append(index))
        return not refused
