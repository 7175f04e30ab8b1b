"""What happens to the record's key: a pseudonym, and the one of the field that it repeats, if there is such a field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamguard.draft.evidence import Evidence
from streamguard.draft.kinds import TOKENIZE, RuleDocument
from streamguard.draft.propose import Treatment
from streamguard.draft.yamltext import quoted
from streamguard.policy.models import ELEMENT_PATTERN
from streamguard.policy.paths import Wild

_ELEMENT: Final = re.compile(ELEMENT_PATTERN)


@dataclass(frozen=True, slots=True)
class KeyTreatment:
    """The rule for the key, why, and `like`: the path of the field that it repeats, or empty."""

    rule: RuleDocument
    reason: str
    like: str = ""


def treat_key(topic: str, evidence: Evidence, treatments: Sequence[Treatment]) -> KeyTreatment:
    """The key's treatment. It is never kept: a key is often a person's id, and those to come are not known."""
    keys = evidence.keys
    if keys is None:
        return KeyTreatment(TOKENIZE, "A file has no keys, and those of the topic may name people")
    present = sum(key is not None for key in keys)
    if not present:
        return KeyTreatment(
            TOKENIZE, "No record that was read had a key; one that comes later may name people"
        )
    if present == len(keys):
        twin = next((one for one in treatments if _repeats(keys, evidence, one)), None)
        if twin is not None:
            return _like(twin, topic, present)
    return KeyTreatment(
        TOKENIZE,
        f"{present:,} of {len(keys):,} records have a key, and it may name people: a pseudonym still joins",
    )


def _repeats(keys: Sequence[bytes | None], evidence: Evidence, treatment: Treatment) -> bool:
    """Whether a single text of each record is its key."""
    leaf = treatment.leaf
    if "string" not in leaf.types or any(isinstance(step, Wild) for step in leaf.path.segments):
        return False
    if treatment.records < len(keys):
        return False
    return all(
        isinstance(value, str) and value.encode(errors="replace") == keys[row]
        for row, value in evidence.at(leaf.path)
    )


def _like(treatment: Treatment, topic: str, count: int) -> KeyTreatment:
    path = str(treatment.leaf.path)
    rule = treatment.rule
    says = f"In all {count:,} records the key is the same text as the field {quoted(path)}"
    if rule is None:
        return KeyTreatment(TOKENIZE, f"{says}, which is kept: write keep if it never names a person", path)
    verb = next(iter(rule))
    element = rule.get("element") or f"{topic}.{path}"
    joins = verb == "tokenize" or (verb == "encrypt" and rule[verb].get("deterministic"))
    if not joins or not _ELEMENT.fullmatch(element):
        return KeyTreatment(TOKENIZE, f"{says}, and a key needs a pseudonym that is always the same", path)
    return KeyTreatment(
        {verb: rule[verb], "element": element}, f"{says}: the same pseudonym, so that they join", path
    )
