"""From records to the texts of a schema, a policy and its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streamguard.draft import kinds
from streamguard.draft.detect import Finding, detect
from streamguard.draft.evidence import Evidence, Values
from streamguard.draft.expect import expected, match
from streamguard.draft.keys import KeyTreatment, treat_key
from streamguard.draft.kinds import Confidence
from streamguard.draft.propose import Proposer, Treatment
from streamguard.draft.sample import document_of, filled, values_for, without_optional
from streamguard.draft.schema import leaves_of, schema_of
from streamguard.draft.shape import shape_of
from streamguard.draft.write import Case, Outline, policy_text, tests_text
from streamguard.errors import ConfigError
from streamguard.formats.base import Form, Leaf
from streamguard.formats.json_schema import Schema
from streamguard.policy.paths import Path, Wild

_KEY: Final = "example-key"
_MAIL: Final = "please write to somebody@example.com"

Progress = Callable[[int, int], None]
"""Told how many of how many fields have been looked at."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was drafted. `schema` is None where the format's own schema stands elsewhere."""

    schema: str | None
    policy: str
    tests: str
    treatments: tuple[Treatment, ...]
    key: KeyTreatment
    never_filled: tuple[Path, ...]


def draft(
    topic: str,
    schema_name: str,
    evidence: Evidence,
    *,
    form: Form | None = None,
    value: Mapping[str, Any] | None = None,
    broken: tuple[str, str] = ('{"', "decode.json"),
    on_progress: Progress = lambda _done, _total: None,
) -> Draft:
    """Draft a policy for `topic` from decoded records.

    Without a `form`, a JSON Schema is inferred, which the policy then names `schema_name`. With one, its leaves are
    taken as they are, and `value` is the policy's section of that name: ``{"format": "avro", "registry": True}``.
    `broken` is a value that nobody can decode, and the violation that it becomes.
    Raises ConfigError when the records have nothing that a policy could name.
    """
    schema = None if form is not None else schema_of(shape_of(evidence.documents))
    leaves = form.leaves if form is not None else leaves_of(schema or {})
    passes = form.passes if form is not None else Schema(schema or {}).is_valid
    if not leaves or not all(leaf.path.segments for leaf in leaves):
        raise ConfigError("The records have no fields.", "Look at records that have some.")

    seen: dict[Path, Values] = {}
    findings: list[Finding | None] = []
    for number, leaf in enumerate(leaves):
        seen[leaf.path] = _lifted(form, leaf, evidence.at(leaf.path))
        findings.append(detect(leaf, [found for _, found in seen[leaf.path]]))
        on_progress(number + 1, len(leaves))

    samples, record = _sample(leaves, findings, passes)
    proposer = Proposer(topic)
    treatments = tuple(
        proposer.propose(leaf, finding, seen[leaf.path], samples[leaf.path])
        for leaf, finding in zip(leaves, findings, strict=True)
    )
    key = treat_key(topic, evidence, treatments)
    cases = _clean_cases(record, treatments, key, proposer, passes)
    if form is None:
        cases.append(_undeclared(record))
    cases += _rejected_cases(treatments, broken)
    outline = Outline(
        topic=topic,
        value=dict(value) if value is not None else {"format": "json", "schema": schema_name},
        key=key,
        subject=_subject(treatments),
        records=len(evidence.documents),
    )
    return Draft(
        schema=None if schema is None else orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode() + "\n",
        policy=policy_text(outline, treatments),
        tests=tests_text(cases),
        treatments=treatments,
        key=key,
        never_filled=tuple(leaf.path for leaf in leaves if not seen[leaf.path]),
    )


def _lifted(form: Form | None, leaf: Leaf, values: Values) -> Values:
    """Values as transforms see them."""
    lift = form.lift(leaf.path) if form is not None else None
    if lift is None:
        return values
    return list(zip([row for row, _ in values], lift([value for _, value in values]), strict=True))


def _sample(
    leaves: Sequence[Leaf], findings: Sequence[Finding | None], passes: Callable[[Any], bool]
) -> tuple[dict[Path, Any], Any]:
    """A made-up value for each leaf, and the record of them."""
    samples = values_for(
        [(leaf, finding.kind if finding else None) for leaf, finding in zip(leaves, findings, strict=True)]
    )
    record = document_of(samples)
    for leaf in leaves:
        if leaf.free and leaf.types == {"object"}:
            samples[leaf.path] = filled(record, leaf.path, passes)
    return samples, record


def _subject(treatments: Sequence[Treatment]) -> str:
    """The path of the first identifier of a person that each record has once; empty when there is none."""
    for one in treatments:
        found = one.finding
        single = not any(isinstance(step, Wild) for step in one.leaf.path.segments)
        if (
            found is not None
            and found.kind is kinds.PERSON
            and found.confidence > Confidence.POSSIBLE
            and single
        ):
            return str(one.leaf.path) if one.leaf.types <= {"string", "integer"} else ""
    return ""


# -- policy tests ----------------------------------------------------------------------------------------------------


def _clean_cases(
    record: Any,
    treatments: Sequence[Treatment],
    key: KeyTreatment,
    proposer: Proposer,
    passes: Callable[[Any], bool],
) -> list[Case]:
    clean = {"key": match(key.rule, _KEY), "value": expected(treatments, record, proposer)}
    cases = [Case("a complete record leaves protected", clean=clean, value=record, key=_KEY, anchor=True)]
    small = without_optional(record, (one.leaf.path for one in treatments), passes)
    if small and small != record:
        clean = {"value": expected(treatments, small, proposer)}
        cases.append(Case("a record with only what it must have", clean=clean, value=small))
    return cases


def _undeclared(record: Any) -> Case:
    name = "undeclared"
    while name in record:
        name += "_"
    return Case(
        "a field that nobody declared is rejected",
        violations=["schema.undeclared"],
        more={name: "example"},
    )


def _rejected_cases(treatments: Sequence[Treatment], broken: tuple[str, str]) -> Iterator[Case]:
    kept = next((one.leaf.path for one in treatments if one.rule is None and _is_inspected(one.leaf)), None)
    if kept is not None:
        yield Case(
            "an e-mail address in a kept text does not slip through",
            violations=[{"code": "inspect.email", "path": str(kept)}],
            more={str(kept.segments[0]): _MAIL},
        )
    raw, code = broken
    yield Case("a broken value is rejected", violations=[code], raw=raw)


def _is_inspected(leaf: Leaf) -> bool:
    """Whether the last look sees what stands here: a text of the record itself in which anything may stand."""
    plain = not (leaf.enum or leaf.format or leaf.patterns or leaf.max_length)
    return len(leaf.path.segments) == 1 and "string" in leaf.types and plain
