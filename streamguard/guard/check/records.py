"""Rules about the rest: clean steps, quality rules, topics, and what a policy permits without saying why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamguard.errors import ConfigError
from streamguard.formats.base import Leaf
from streamguard.guard.check.facts import Facts, as_clause
from streamguard.guard.clean import Clean
from streamguard.guard.quality import compile_rule
from streamguard.policy.paths import Path, Wild
from streamguard.policy.problems import Problem

_TOPIC_MAX: Final = 249


def clean_steps(facts: Facts) -> Iterator[Problem]:
    """Each step can be compiled for its field."""
    types = {leaf.path: leaf.types for leaf in facts.leaves}
    for written in facts.cleaned:
        for index, step in enumerate(facts.policy.clean[written.text]):
            try:
                Clean({written.text: (step,)}, types)
            except ConfigError as error:
                message = as_clause(error.message).removeprefix(f"clean '{written.text}': ")
                yield facts.report((*written.place, index), message, "bad_step", error.remedy)


def quality_rules(facts: Facts) -> Iterator[Problem]:
    """Each rule is a condition in CEL, over fields that there are."""
    types = {tuple(map(str, leaf.path.segments)): leaf.types for leaf in facts.leaves}
    seen: dict[str, int] = {}
    for index, rule in enumerate(facts.policy.quality):
        place = ("quality", index, "rule")
        try:
            compiled = compile_rule(rule, types)
        except ConfigError as error:
            message = as_clause(error.message)
            yield facts.report(place, message, "bad_rule", error.remedy)
            continue
        for names in sorted(compiled.paths):
            if facts.form.declares and not any(_reaches(leaf, names) for leaf in facts.leaves):
                text = str(Path(names))
                message = f"the schema has no '{text}'"
                near = facts.nearest_path(text)
                advice = f"did you mean {near}?" if near else ""
                yield facts.report(place, message, "unknown_path", advice)
        if rule.code in seen:
            message = f"the code '{rule.code}' is used twice, and a violation should say which rule it breaks"
            yield facts.report(
                ("quality", index, "code"), message, "duplicate_code", "name one of them otherwise"
            )
        seen[rule.code] = index


def _reaches(leaf: Leaf, names: tuple[str, ...]) -> bool:
    """Whether CEL, reading `names` one after the other, stays on the way to a leaf, or inside one of open shape."""
    for segment, name in zip(leaf.path.segments, names, strict=False):
        if segment is Wild.EACH:
            return False
        if segment not in (name, Wild.ANY):
            return False
    return leaf.free or len(names) <= len(leaf.path.segments)


def output_topics(facts: Facts) -> Iterator[Problem]:
    """A policy's topics differ, and their names can exist."""
    policy = facts.policy
    outputs = {"clean": policy.clean_topic, "violations": policy.violations_topic}
    for name, topic in outputs.items():
        if topic == policy.topic:
            message = f"the output '{topic}' is the policy's own input: every record would come round again"
            yield facts.report(
                ("outputs", name), message, "topic_loop", f"write {name}: {policy.topic}.{name}"
            )
        elif len(topic) > _TOPIC_MAX:
            message = f"the default output '{topic[:20]}…' has more than {_TOPIC_MAX} characters"
            yield facts.report(("topic",), message, "long_topic", f"name outputs.{name} yourself")
    if policy.clean_topic == policy.violations_topic:
        message = f"clean records and violations cannot share the topic '{policy.clean_topic}'"
        yield facts.report(("outputs", "violations"), message, "same_output", "name another one")


def open_doors(facts: Facts) -> Iterator[Problem]:
    """What is permitted, and may not be meant."""
    policy = facts.policy
    if policy.undeclared == "keep":
        message = "a field that nobody declared passes in the clear"
        yield facts.warn(
            ("undeclared",), message, "undeclared_kept", "reject or drop, unless the producer is trusted"
        )
    if policy.headers == "keep":
        message = "every header passes, whatever a producer puts into it"
        yield facts.warn(("headers",), message, "headers_kept", "list the names that may pass: [traceparent]")
    if not facts.form.declares and policy.value.registry is not None:
        message = (
            "the schemas are in the registry: whether each field is classified is not to be seen from here"
        )
        advice = "name a copy: value: {schema: file}; or try it: check --online"
        yield facts.warn(("value",), message, "no_schema", advice)
    elif not facts.form.declares:
        message = (
            "without a schema, records are not validated, and nobody checks that each field is classified"
        )
        yield facts.warn(("value",), message, "no_schema", "write value: {schema: file.schema.json}")
