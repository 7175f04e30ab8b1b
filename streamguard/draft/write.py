"""The three files of a draft as text: made of names, types, counts, our own words and made-up values alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamguard.draft import yamltext
from streamguard.draft.keys import KeyTreatment
from streamguard.draft.kinds import Confidence, RuleDocument
from streamguard.draft.propose import Treatment

_BEGINNING: Final = """\
# Drafted by `streamguard init` from {records}, and holds no value of theirs. It is a beginning: read every line.
# Above each field stands what it seems to be, how sure that is (certain, likely, possible), why, and in how many of
# the records it was. What is only possible is protected all the same, until you know better and list it in keep.
"""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a policy says beside its fields. `value` is its section of that name; `subject` may be empty.

    `key_format` is how keys are encoded.
    """

    topic: str
    value: dict[str, Any]
    key: KeyTreatment
    subject: str
    records: int
    key_format: str = "text"


def policy_text(outline: Outline, treatments: Sequence[Treatment]) -> str:
    """The policy, each finding explained above its line."""
    lines = [_BEGINNING.format(records=_count(outline.records)), f"topic: {yamltext.flow(outline.topic)}"]
    lines.append(f"value: {yamltext.flow(outline.value)}")
    lines += ["", *_comment(outline.key.reason, 0), f"key: {rule_text(outline.key.rule)}"]
    if outline.key_format != "text":
        lines.append(
            f"key_format: {outline.key_format}".ljust(33) + " # keys name their schema in the registry, too"
        )
    lines.append("headers: [traceparent]            # all others are dropped")
    lines.append(
        "undeclared: reject                # a field that is not named here makes its record a violation"
    )
    if outline.subject:
        lines += ["", "# Whose data a record is: erasing a person, or a key per person, begins here."]
        lines.append(f"subject: {yamltext.path(outline.subject)}")
    guarded = [one for one in treatments if one.rule is not None]
    if guarded:
        lines += ["", "fields:"]
        for one in guarded:
            lines += _field(one, outline.records)
    kept = [one for one in treatments if one.rule is None]
    if kept:
        lines += ["", "# Nothing speaks for personal data here. Texts are looked through before they leave."]
        lines += ["keep:", *(line for one in kept for line in _kept(one, outline.records))]
    return "\n".join(lines) + "\n"


def rule_text(rule: RuleDocument) -> str:
    """A rule as short as it can be written: ``encrypt``, ``{mask: {keep_last: 4}}``."""
    if len(rule) == 1 and not next(iter(rule.values())):
        return str(next(iter(rule)))
    return yamltext.flow(rule)


def _field(one: Treatment, records: int) -> Iterator[str]:
    finding = one.finding
    assert finding is not None and one.rule is not None  # noqa: S101, PT018 - protected fields have both
    found = (
        f"{finding.kind.title}, {finding.confidence}: {finding.reason}; in {_share(one.records, records)}."
    )
    yield from _comment(f"{found} {_advice(one)}", 2)
    key = yamltext.key(str(one.leaf.path)).split("\n")
    yield from (f"  {line}" for line in key[:-1])
    yield f"  {key[-1]} {rule_text(one.rule)}"


def _advice(one: Treatment) -> str:
    """What the treatment leaves, or why the usual one does not do."""
    assert one.finding is not None  # noqa: S101 - protected fields have a finding
    kind = one.finding.kind
    if one.rule != kind.rules[0]:
        usual = rule_text(kind.rules[0])
        return f"Not all values take {usual}."
    ending = " Keep it if not." if one.finding.confidence is Confidence.POSSIBLE and not one.leaf.free else ""
    return f"{kind.why[0].upper()}{kind.why[1:]}.{ending}"


def _kept(one: Treatment, records: int) -> Iterator[str]:
    what = " or ".join(sorted(one.leaf.types))
    if one.leaf.format:
        what += f" ({one.leaf.format})"
    yield (
        f"  - {yamltext.path(str(one.leaf.path))}".ljust(33) + f" # {what}, in {_share(one.records, records)}"
    )


def _comment(text: str, indent: int) -> Iterator[str]:
    """A text as comment lines of at most 110 characters."""
    margin = " " * indent + "#"
    line = margin
    for word in "".join(sign if sign.isprintable() else " " for sign in text).split():
        if len(line) + 1 + len(word) > 110 and line != margin:
            yield line
            line = margin
        line += f" {word}"
    yield line


def _share(count: int, records: int) -> str:
    return (
        f"all {records:,} records" if count == records and records > 1 else f"{count:,} of {_count(records)}"
    )


def _count(records: int) -> str:
    return f"{records:,} record{'' if records == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Case:
    """One policy test. `value` or `raw` goes in; `clean` or `violations` must come out.

    With `anchor`, the value is named for the tests that follow; `more` is put over the value that was named.
    """

    name: str
    clean: dict[str, Any] | None = None
    violations: list[Any] | None = None
    value: Any = None
    raw: str | None = None
    key: str | None = None
    anchor: bool = False
    more: dict[str, Any] | None = None


def tests_text(cases: Sequence[Case]) -> str:
    """The policy's tests. Their records are made up."""
    lines = [
        "# Drafted by `streamguard init`. Every value here is made up; put in what your records are really like,",
        "# where that is nobody's data. Run it with: streamguard test",
        "tests:",
    ]
    for case in cases:
        lines += [f"  - name: {yamltext.flow(case.name)}", "    input:"]
        lines += [f"      key: {yamltext.flow(case.key)}"] if case.key is not None else []
        lines += _input(case)
        if case.clean is not None:
            lines += ["    clean:", *yamltext.block(case.clean, 6)]
        else:
            lines.append(f"    violations: {yamltext.flow(case.violations)}")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _input(case: Case) -> list[str]:
    if case.raw is not None:
        return [f"      raw: {yamltext.quoted(case.raw)}"]
    if case.more is not None:
        return ["      value:", "        <<: *record", *yamltext.block(case.more, 8)]
    return [f"      value:{' &record' if case.anchor else ''}", *yamltext.block(case.value, 8)]
