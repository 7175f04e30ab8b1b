"""From records to the texts of a schema, a policy and its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamguard.draft import kinds
from streamguard.draft.described import Described, inferred
from streamguard.draft.detect import Finding, detect
from streamguard.draft.evidence import Evidence, Values
from streamguard.draft.expect import expected, match
from streamguard.draft.keys import KeyTreatment, treat_key
from streamguard.draft.kinds import Confidence
from streamguard.draft.maps import with_whole_maps
from streamguard.draft.propose import Proposer, Treatment
from streamguard.draft.sample import record_of, values_for, without_optional
from streamguard.draft.write import Case, Outline, policy_text, tests_text
from streamguard.errors import ConfigError
from streamguard.formats.base import Form, Leaf
from streamguard.policy.paths import Path, Wild

_KEY: Final = "example-key"
_MAIL: Final = "please write to somebody@example.com"
_BROKEN: Final[Mapping[str, tuple[str, str]]] = {
    "json": ('{"', "decode.json"),
    "avro": ("", "decode.empty"),
    "protobuf": ("\x07", "decode.protobuf"),  # no wire type of Protobuf's
}
"""A text that is no value of a format, and the violation that it becomes."""

Progress = Callable[[int, int], None]
"""Told how many of how many fields have been looked at."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was drafted: the texts of the files, of which `schema` and `tests` may have none, and what they say.

    `never_filled` are the places where no record had a value. `has_record` when the tests hold a record that passes.
    """

    described: Described
    policy: str
    tests: str | None
    treatments: tuple[Treatment, ...]
    key: KeyTreatment
    never_filled: tuple[Path, ...]
    has_record: bool

    @property
    def schema(self) -> str | None:
        """The text of the schema's file."""
        return self.described.text


def draft(
    topic: str,
    schema_name: str,
    evidence: Evidence,
    described: Described | None = None,
    *,
    on_progress: Progress = lambda _done, _total: None,
) -> Draft:
    """Draft a policy for `topic` from decoded records, whose schema is inferred unless it is `described`.

    The policy names the schema's file `schema_name`. Where a schema refers to others there is no file that could stand
    alone, and no policy tests either. Raises ConfigError when the records have nothing that a policy could name.
    """
    described = described or inferred(evidence)
    form = described.form
    leaves = with_whole_maps(form.leaves, evidence.documents)
    if not leaves or not all(leaf.path.segments for leaf in leaves):
        raise ConfigError("The records have no fields.", "Look at records that have some.")

    seen: dict[Path, Values] = {}
    findings: list[Finding | None] = []
    for number, leaf in enumerate(leaves):
        seen[leaf.path] = _lifted(form, leaf, evidence.at(leaf.path))
        findings.append(detect(leaf, [found for _, found in seen[leaf.path]]))
        on_progress(number + 1, len(leaves))

    samples = values_for(
        [(leaf, finding.kind if finding else None) for leaf, finding in zip(leaves, findings, strict=True)],
        form,
    )
    record = record_of(samples, leaves, form)
    proposer = Proposer(topic)
    treatments = tuple(
        proposer.propose(leaf, finding, seen[leaf.path], samples[leaf.path])
        for leaf, finding in zip(leaves, findings, strict=True)
    )
    key = treat_key(topic, evidence, treatments)
    outline = Outline(
        topic=topic,
        value={**described.value, **({"schema": schema_name} if described.text is not None else {})},
        key=key,
        subject=_subject(treatments),
        records=len(evidence.documents),
        key_format=described.key_format,
    )
    cases = list(_cases(record, treatments, key, proposer, form))
    return Draft(
        described,
        policy=policy_text(outline, treatments),
        tests=tests_text(cases) if described.text is not None else None,
        treatments=treatments,
        key=key,
        never_filled=tuple(leaf.path for leaf in leaves if not seen[leaf.path]),
        has_record=record is not None,
    )


def _lifted(form: Form, leaf: Leaf, values: Values) -> Values:
    """Values as transforms see them."""
    lift = form.lift(leaf.path)
    if lift is None:
        return values
    return list(zip([row for row, _ in values], lift([value for _, value in values]), strict=True))


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


def _cases(
    record: Any, treatments: Sequence[Treatment], key: KeyTreatment, proposer: Proposer, form: Form
) -> Iterator[Case]:
    """The policy's tests. `record` is None where none could be made up that the schema takes."""
    if record is not None:
        clean = {"key": match(key.rule, _KEY), "value": expected(treatments, record, proposer)}
        yield Case("a complete record leaves protected", clean=clean, value=record, key=_KEY, anchor=True)
        small = without_optional(record, (one.leaf.path for one in treatments), form.passes)
        if small and small != record:
            clean = {"value": expected(treatments, small, proposer)}
            yield Case("a record with only what it must have", clean=clean, value=small)
        yield from _spoiled(record, treatments, form)
    raw, code = _BROKEN[form.name]
    yield Case("a broken value is rejected", violations=[code], raw=raw)


def _spoiled(record: Any, treatments: Sequence[Treatment], form: Form) -> Iterator[Case]:
    """The record with something in it that must not pass."""
    if form.name == "json":
        name = "undeclared"
        while name in record:
            name += "_"
        yield Case(
            "a field that nobody declared is rejected",
            violations=["schema.undeclared"],
            more={name: "example"},
        )
    kept = (one.leaf.path for one in treatments if one.rule is None and _is_inspected(one.leaf))
    path = next((path for path in kept if path.segments[0] in record), None)
    if path is not None:
        yield Case(
            "an e-mail address in a kept text does not slip through",
            violations=[{"code": "inspect.email", "path": str(path)}],
            more={str(path.segments[0]): _MAIL},
        )


def _is_inspected(leaf: Leaf) -> bool:
    """Whether the last look sees what stands here: a text of the record itself in which anything may stand."""
    plain = not (leaf.enum or leaf.format or leaf.patterns or leaf.max_length)
    return len(leaf.path.segments) == 1 and "string" in leaf.types and plain
