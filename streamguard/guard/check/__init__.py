"""`streamguard check`: a policy held against its schema, the transforms there are, and the other policies.

The loader has seen that the file is well formed. Here every path must be one of the schema's, every leaf of the schema
must be classified, every transform must exist and take its options and its field: what a policy forgets never passes
because nobody thought of it. Each rule yields the problems it finds, and all of them are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streamguard.errors import ConfigError
from streamguard.formats.base import Form
from streamguard.formats.json import JsonForm
from streamguard.formats.open import declared_form
from streamguard.guard.check import paths, records, transforms
from streamguard.guard.check.facts import Facts, as_clause
from streamguard.guard.check.together import between
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.problems import Problem, errors, in_order

Rule = Callable[[Facts], Iterable[Problem]]

RULES: Final[Sequence[Rule]] = (
    paths.nameless_values,
    paths.unknown_paths,
    paths.overlapping_paths,
    paths.overlapping_tags,
    paths.unclassified_leaves,
    paths.kept_shapes,
    paths.subject_path,
    paths.skipped_paths,
    transforms.field_transforms,
    transforms.tagged_transforms,
    transforms.kept_tags,
    transforms.key_transform,
    transforms.shifted_dates,
    transforms.vault_options,
    records.clean_steps,
    records.quality_rules,
    records.output_topics,
    records.open_doors,
)
"""Everything that is checked of one policy."""

WITHOUT_SCHEMA: Final[Sequence[Rule]] = (
    paths.overlapping_paths,
    transforms.field_transforms,
    transforms.tagged_transforms,
    transforms.key_transform,
    records.output_topics,
)
"""What can be checked while the policy's schema is missing or wrong."""

_SHARED: Final = frozenset({"topic", "name", "outputs"})
"""Sections that other policies are held against."""


def check(loaded: LoadedPolicy) -> list[Problem]:
    """Every problem of one policy, in the order of its lines."""
    if "schema" in loaded.gaps:
        return _problems(Facts(loaded, JsonForm(None)), WITHOUT_SCHEMA)
    try:
        facts = Facts(loaded, declared_form(loaded))
    except ConfigError as error:
        message = as_clause(error.message)
        problem = loaded.document.problem(
            ("value", "schema"), message, code="bad_schema", suggestion=error.remedy
        )
        return in_order([problem, *_problems(Facts(loaded, JsonForm(None)), WITHOUT_SCHEMA)])
    return _problems(facts)


def check_against(loaded: LoadedPolicy, form: Form) -> list[Problem]:
    """Every problem of a policy with the records of another form than that of its own schema."""
    return _problems(Facts(loaded, form))


def _problems(facts: Facts, rules: Sequence[Rule] = RULES) -> list[Problem]:
    found = facts.bad_paths + [problem for rule in rules for problem in rule(facts)]
    if rules is RULES and not facts.loaded.gaps and not errors(found):
        found += transforms.clean_schema(facts)  # what leaves can be described once everything else is right
    return in_order(found)


def check_all(policies: Sequence[LoadedPolicy]) -> list[Problem]:
    """Every problem of each policy, and of all of them together in one service."""
    alone = [problem for loaded in policies for problem in check(loaded)]
    return in_order([*alone, *between([loaded for loaded in policies if not loaded.gaps & _SHARED])])
