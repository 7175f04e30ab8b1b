"""What a policy makes of the schema that its topic has in the registry now: for `streamguard check --online`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.proof import Proof
from streamguard.errors import StreamGuardError
from streamguard.formats.base import Form, Leaf
from streamguard.formats.open import registered_form
from streamguard.formats.registry import Registered, Registry
from streamguard.formats.subjects import subject_name
from streamguard.guard.check import check_against
from streamguard.guard.check.facts import as_clause
from streamguard.guard.corridor import out_form
from streamguard.guard.registered import clean_schema, refusals
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.models import RegistryUse
from streamguard.policy.paths import Path
from streamguard.policy.problems import errors

_SHOWN: Final = 8
"""Changes that are named one by one; there may be hundreds."""


class Preview(NamedTuple):
    """What became of the look: the proof, and the form of the topic's latest schema where it could be read."""

    proof: Proof
    form: Form | None = None


def preview(loaded: LoadedPolicy, registry: Registry) -> Preview:
    """Whether records of the topic's latest schema would pass, and how the clean topic's schema differs from it."""
    policy = loaded.policy
    strategy = (policy.value.registry or RegistryUse()).subjects
    if strategy != "topic":
        message = "subjects are named by records: seen when they come"
        return Preview(Proof("schema", policy.topic, ok=True, message=message))
    subject = subject_name("topic", policy.topic)
    form = None
    try:
        latest = registry.latest(subject)
        if latest is None:
            message = "is not registered yet: nothing to compare with"
            return Preview(Proof("schema", subject, ok=True, message=message))
        form = registered_form(policy.value, registry, latest)
        return Preview(_compared(loaded, registry, latest, form), form)
    except StreamGuardError as error:
        message = as_clause(error.message)
        return Preview(Proof("schema", subject, ok=False, message=message, remedy=error.remedy), form)


def _compared(loaded: LoadedPolicy, registry: Registry, latest: Registered, form: Form) -> Proof:
    subject = subject_name("topic", loaded.policy.topic)
    found = check_against(loaded, form)
    if problems := refusals(found):
        more = f", and {len(problems) - 1} more" if problems[1:] else ""
        remedy = problems[0].suggestion or "Mend the policy."
        return Proof("schema", subject, ok=False, message=problems[0].message + more, remedy=remedy)
    out = out_form(loaded.policy, form, Keyring.in_memory())
    clean, *schema = clean_schema(loaded, latest, form, out)
    reasons = registry.incompatible(clean, *schema)
    if reasons:
        return Proof(
            "schema",
            clean,
            ok=False,
            message=f"would not follow its latest version: {reasons[0]}",
            remedy="Change the transforms, or the subject's compatibility.",
        )
    becomes = f"becomes {clean}: {_changes(form, out)}"
    # No error: a policy is for all versions of a schema, and an earlier one may have what this one lacks.
    unknown = [each for each in errors(found) if each.code == "unknown_path"]
    if unknown:
        more = f", nor {len(unknown) - 1} more of the policy's paths" if unknown[1:] else ""
        remedy = "Correct the path, unless an earlier version has it."
        return Proof(
            "schema", subject, ok=True, message=f"{becomes}; {unknown[0].message}{more}", remedy=remedy
        )
    return Proof("schema", subject, ok=True, message=becomes)


def _changes(form: Form, out: Form) -> str:
    """What differs between two forms, leaf by leaf."""
    after = {leaf.path: leaf for leaf in out.leaves}
    found = list(dict.fromkeys(filter(None, (_change(leaf, after, out) for leaf in form.leaves))))
    if not found:
        return "no field changes its type"
    more = f", and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
    return ", ".join(found[:_SHOWN]) + more


def _change(leaf: Leaf, after: Mapping[Path, Leaf], out: Form) -> str:
    """What becomes of a leaf, where it changes; the same for all leaves below a place that becomes one value."""
    if leaf.path in after:
        now = _written(after[leaf.path])
        return "" if now == _written(leaf) else f"{leaf.path} {_written(leaf)} → {now}"
    for whole in out.places.covering(leaf.path):
        if len(whole.path.segments) < len(leaf.path.segments):
            return f"{whole.path} as a whole → {_written(whole)}"
    return f"{leaf.path} is dropped"


def _written(leaf: Leaf) -> str:
    return " or ".join(sorted(leaf.types)) + (f" ({leaf.format})" if leaf.format else "")
