"""Rules about policies side by side: in one service, no record may go round or leave twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Final

from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.problems import Problem

_OTHER: Final = {"clean": "violations", "violations": "clean"}


def between(policies: Sequence[LoadedPolicy]) -> Iterator[Problem]:
    """Policies that cannot run in one service."""
    for one, two in combinations(policies, 2):
        document, first = two.document, f"'{one.path}'"
        if one.policy.topic == two.policy.topic:
            message = f"{first} consumes '{two.policy.topic}' as well: each record would leave twice"
            advice = "one topic, one policy: join the two"
            yield document.problem(("topic",), message, code="same_topic", suggestion=advice)
        if one.policy.name == two.policy.name:
            message = f"{first} is named '{two.policy.name}' as well, and the name is its consumer group"
            yield document.problem(
                ("name",), message, code="same_name", suggestion="give one of them another name"
            )
        for name, topic in (("clean", two.policy.clean_topic), ("violations", two.policy.violations_topic)):
            its = one.policy.violations_topic if name == "clean" else one.policy.clean_topic
            if topic == its:
                message = (
                    f"the {name} records would go to '{topic}', where {first} sends its {_OTHER[name]} ones"
                )
                yield document.problem(
                    ("outputs", name), message, code="same_output", suggestion="name another topic"
                )
        yield from _vaults(one, two)
    for loaded, other in permutations(policies, 2):
        for name, topic in (
            ("clean", loaded.policy.clean_topic),
            ("violations", loaded.policy.violations_topic),
        ):
            if topic == other.policy.topic:
                message = (
                    f"the output '{topic}' is the input of '{other.path}': records would be protected twice"
                )
                advice = "name another output, or remove the other policy"
                yield loaded.document.problem(
                    ("outputs", name), message, code="topic_loop", suggestion=advice
                )


def _vaults(one: LoadedPolicy, two: LoadedPolicy) -> Iterator[Problem]:
    """Fields of one element share their vault tokens, whatever policy they are in."""
    options = {
        one.policy.element(path): rule.options
        for path, rule in one.policy.fields.items()
        if rule.verb == "vault"
    }
    for path, rule in two.policy.fields.items():
        element = two.policy.element(path)
        if rule.verb == "vault" and options.get(element, rule.options) != rule.options:
            message = f"'{one.path}' sends the element '{element}' to the vault with other options"
            advice = "give fields of one element the same options, or another element"
            yield two.document.problem(("fields", path), message, code="vault_options", suggestion=advice)
