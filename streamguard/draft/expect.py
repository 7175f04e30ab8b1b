"""What a made-up record must look like when it leaves, with matchers where that differs from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamguard.draft.propose import Proposer, Treatment
from streamguard.draft.sample import document_of
from streamguard.policy.models import Rule

_KEYED: Final = frozenset({"encrypt", "tokenize"})
"""Verbs whose outputs differ from key to key."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What must stand at a path: a value, or a matcher."""

    value: Any
    is_matcher: bool


def expected(treatments: Sequence[Treatment], record: Any, proposer: Proposer) -> Any:
    """The clean record of `record`, which is the made-up document of `treatments` or a part of it."""
    whole = document_of({one.leaf.path: _of(one, proposer) for one in treatments})
    return _rendered(_part(whole, record))


def match(rule: dict[str, Any], value: Any) -> dict[str, Any]:
    """The matcher for what a keyed rule makes of a value."""
    written = Rule.model_validate(rule)
    if written.verb == "tokenize":
        return {"$matches": "tok_[0-9a-f]{32}"}
    kind = "d" if written.options.get("deterministic") else "e"
    return {"$token": kind, "$decrypts_to": {"$equals": value} if isinstance(value, dict | list) else value}


def _of(treatment: Treatment, proposer: Proposer) -> _Expected:
    rule, value = treatment.rule, treatment.sample
    if rule is None:
        return _Expected(value, is_matcher=False)
    if next(iter(rule)) in _KEYED:
        matcher = match(rule, value)
        if "bytes" in treatment.leaf.types:
            matcher.pop("$decrypts_to", None)  # YAML has no way to write what it holds
        return _Expected(matcher, is_matcher=True)
    (output,) = proposer.transform(treatment.leaf, rule).apply([value], lambda _, __: None)
    return _Expected(output, is_matcher=False)


def _part(node: Any, record: Any) -> Any:
    """What is expected of a record that lacks some fields."""
    if isinstance(node, dict):
        return {name: _part(child, record[name]) for name, child in node.items() if name in record}
    if isinstance(node, list):
        return [_part(child, below) for child, below in zip(node, record, strict=False)]
    return node


def _rendered(node: Any) -> Any:
    """As a test file has it: names that begin like matchers stand where no matcher is looked for, or not at all."""
    if isinstance(node, _Expected):
        return node.value if node.is_matcher or not _has_dollars(node.value) else {"$equals": node.value}
    if isinstance(node, list):
        return [_rendered(child) for child in node]
    if any(name.startswith("$") for name in node):
        others = {name: _rendered(child) for name, child in node.items() if not name.startswith("$")}
        return {"$includes": others} if _has_matchers(node) else {"$equals": _plain(node)}
    return {name: _rendered(child) for name, child in node.items()}


def _has_dollars(value: Any) -> bool:
    if isinstance(value, dict):
        return any(name.startswith("$") or _has_dollars(child) for name, child in value.items())
    return isinstance(value, list) and any(map(_has_dollars, value))


def _has_matchers(node: Any) -> bool:
    if isinstance(node, _Expected):
        return node.is_matcher
    return any(map(_has_matchers, node.values() if isinstance(node, dict) else node))


def _plain(node: Any) -> Any:
    if isinstance(node, _Expected):
        return node.value
    if isinstance(node, dict):
        return {name: _plain(child) for name, child in node.items()}
    return [_plain(child) for child in node]
