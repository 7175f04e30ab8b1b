"""Rules about transforms: each exists, takes its options, and takes the values of its field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from streamguard.errors import ConfigError
from streamguard.formats.base import Leaf
from streamguard.guard.check.facts import TEXT, Facts, as_clause, quoted
from streamguard.guard.classify import first_tag
from streamguard.guard.corridor import out_form
from streamguard.guard.fields import field_of, leaf_at
from streamguard.policy.expected import Place
from streamguard.policy.models import Rule
from streamguard.policy.paths import Path
from streamguard.policy.problems import Problem, listed, nearest
from streamguard.policy.wording import problems_of
from streamguard.transforms.base import KEY_PATH, Transform
from streamguard.transforms.register import register

KEY_WORDS: Final = ("keep", "drop")
"""Treatments of the record's key beside the transforms."""
_ALSO_KNOWN_AS: Final = {
    "anonymise": "redact",
    "anonymize": "redact",
    "aes": "encrypt",
    "bucket": "generalize",
    "delete": "drop",
    "hmac": "hash",
    "null": "nullify",
    "pseudonymise": "tokenize",
    "pseudonymize": "tokenize",
    "remove": "drop",
    "sha256": "hash",
    "token": "tokenize",
}


def field_transforms(facts: Facts) -> Iterator[Problem]:
    """Each field's transform exists, takes its options, and takes the field's values."""
    for written in facts.fields:
        rule = facts.policy.fields[written.text]
        if rule.verb == "keep":
            advice = f"list it under 'keep' instead: keep: [{quoted(written.path)}]"
            yield facts.report(written.place, "'keep' is not a transform", "unknown_transform", advice)
            continue
        leaf = leaf_at(facts.places, written.path)
        yield from _problems_of_rule(facts, rule, written.text, written.place, leaf)


def tagged_transforms(facts: Facts) -> Iterator[Problem]:
    """Each tag's transform exists, takes its options, and takes the values of every field that bears the tag."""
    for tag, rule in facts.policy.tags.items():
        place: Place = ("tags", tag)
        if rule.verb == "keep":
            yield facts.report(
                place, "'keep' is not a transform", "unknown_transform", "list the fields under 'keep'"
            )
            continue
        bearers = [leaf for its_tag, leaf in facts.tagged if its_tag == tag]
        for leaf in bearers:
            yield from _problems_of_rule(facts, rule, str(leaf.path), place, leaf)
        if not bearers:
            yield from _problems_of_rule(facts, rule, f"<{tag}>", place, None)


def clean_schema(facts: Facts) -> Iterator[Problem]:
    """Where clean records have a schema, what the transforms make of the values must have a type in it."""
    value = facts.policy.value
    if not facts.form.declares or (value.format == "json" and value.registry is None):
        return
    try:
        out_form(facts.policy, facts.form, facts.keyring)
    except ConfigError as error:
        place: Place = ("value", "schema") if facts.loaded.document.has(("value", "schema")) else ("value",)
        yield facts.report(place, as_clause(error.message), "clean_schema", as_clause(error.remedy))


def kept_tags(facts: Facts) -> Iterator[Problem]:
    """A field that the schema tags as something to protect, and the policy keeps all the same."""
    for written in facts.kept:
        for leaf in facts.places.covered(written.path):
            tag, rule = first_tag(facts.policy.tags, leaf)
            if rule is not None:
                message = f"'{leaf.path}' is kept, although the schema tags it '{tag}'"
                yield facts.warn(written.place, message, "kept_tag", "remove it from keep, or leave it so")


def key_transform(facts: Facts) -> Iterator[Problem]:
    """The key's treatment exists, and does not break what keys are for."""
    rule, place = facts.policy.key, ("key",)
    if rule.verb in KEY_WORDS:
        if rule.options or rule.element:
            yield facts.report(
                place, f"'{rule.verb}' takes no options here", "unknown_option", f"write key: {rule.verb}"
            )
        return
    leaf = Leaf(Path((KEY_PATH,)), TEXT)
    found = list(_problems_of_rule(facts, rule, KEY_PATH, place, leaf))
    yield from found
    if found:
        return
    transform = _built(facts, rule, KEY_PATH, leaf)
    if rule.verb == "replace" and not isinstance(transform.options.value, str):
        yield facts.report(place, "a key is a text", "bad_options", "put the value in quotes, or write drop")
        return
    if not transform.deterministic:
        message = f"under '{rule.verb}' equal keys become different ones: compaction and joins by key break"
        advice = f"write {{{rule.verb}: {{deterministic: true}}}} or tokenize"
        yield facts.warn(place, message, "key_randomized", advice)
    elif rule.verb in ("redact", "replace"):
        message = f"under '{rule.verb}' all keys become equal: compaction would leave a single record"
        yield facts.warn(place, message, "key_constant", "write tokenize, or drop")


def shifted_dates(facts: Facts) -> Iterator[Problem]:
    """No date is moved while the record's own time stays and tells by how much."""
    shifted = [written for written in facts.fields if facts.policy.fields[written.text].verb == "shift_dates"]
    if shifted and facts.policy.timestamp != "drop":
        message = f"the record's timestamp stays, and tells by how many days '{shifted[0].text}' is moved"
        place: Place = ("timestamp",) if facts.loaded.document.has(("timestamp",)) else shifted[0].place
        yield facts.report(place, message, "shift_shown", "write timestamp: drop")


def vault_options(facts: Facts) -> Iterator[Problem]:
    """Fields of one element share their vault tokens, so they agree on what those are like."""
    first: dict[str, Rule] = {}
    for written in facts.fields:
        rule = facts.policy.fields[written.text]
        other = first.setdefault(facts.policy.element(written.text), rule) if rule.verb == "vault" else rule
        if other.options != rule.options:
            message = f"another field of the element '{rule.element}' goes to the vault with other options"
            advice = "give fields of one element the same options, or another element"
            yield facts.report(written.place, message, "vault_options", advice)


def _problems_of_rule(
    facts: Facts, rule: Rule, text: str, place: Place, leaf: Leaf | None
) -> Iterator[Problem]:
    kind = register().get(rule.verb)
    long_form = facts.loaded.document.has((*place, rule.verb))
    at = (*place, rule.verb) if long_form else place
    if kind is None:
        advice = _verb_advice(rule.verb, KEY_WORDS if place == ("key",) else ())
        message = f"unknown transform '{rule.verb}'"
        yield facts.report(at, message, "unknown_transform", advice, on_key=long_form)
    elif leaf is not None and (refused := _refused_types(kind, leaf)):
        what = "whose shape is open" if leaf.free else f"of type {listed(sorted(refused))}"
        able = [verb for verb, other in register().items() if not _refused_types(other, leaf)]
        message, advice = f"'{rule.verb}' cannot take '{text}', {what}", f"these can: {listed(able, 'and')}"
        yield facts.report(at, message, "wrong_field_type", advice, on_key=long_form)
    else:
        yield from _problems_of_options(facts, rule, text, at, leaf, long_form=long_form)


def _problems_of_options(
    facts: Facts, rule: Rule, text: str, at: Place, leaf: Leaf | None, *, long_form: bool
) -> Iterator[Problem]:
    document = facts.loaded.document
    caution = None
    try:
        transform = _built(facts, rule, text, leaf)
        fault = transform.check()
        caution = transform.caution()
    except ValidationError as error:
        options = (*at, "options") if document.has((*at, "options")) and not long_form else at
        for problem in problems_of(error, register()[rule.verb].Options, document, options):
            yield _as_option(problem, rule.verb)
        return
    except Exception as error:  # noqa: BLE001 - an installed package's transform may fail in any way
        fault = f"the transform itself fails here ({type(error).__name__})"
    if fault:
        yield facts.report(at, as_clause(fault), "bad_options", on_key=long_form)
    elif caution:
        yield facts.warn(at, as_clause(caution), "caution")


def _verb_advice(verb: str, also: Sequence[str]) -> str:
    """The verb that was probably meant, or all there are."""
    words = sorted([*register(), *also])
    near = _ALSO_KNOWN_AS.get(verb.lower(), "") or nearest(verb, words)
    return f"did you mean '{near}'?" if near in words else f"there are: {listed(words, 'and')}"


def _built(facts: Facts, rule: Rule, text: str, leaf: Leaf | None) -> Transform[Any]:
    kind = register()[rule.verb]
    options = kind.Options.model_validate(rule.options)
    return kind(options, field_of(facts.policy, rule, text, leaf), facts.keyring)


def _refused_types(kind: type[Transform[Any]], leaf: Leaf) -> frozenset[str]:
    """The types that the schema allows at a leaf and the transform cannot take."""
    takes = kind.takes | {"integer"} if "number" in kind.takes else kind.takes
    return leaf.types - takes


def _as_option(problem: Problem, verb: str) -> Problem:
    """A problem of an options model, named as what it is about."""
    code = {"unknown_key": "unknown_option", "missing": "missing_option"}.get(problem.code, "bad_options")
    message = problem.message.replace("unknown key", f"'{verb}' has no option")
    suggestion = problem.suggestion
    if code == "missing_option":
        option = message.removesuffix(" is missing").strip("'")
        message, suggestion = f"'{verb}' needs the option '{option}'", f"write {{{verb}: {{{option}: …}}}}"
    return replace(problem, message=message, suggestion=suggestion, code=code)
