"""The JSON Schema of what leaves: the schema of what came in, with the places written anew that transforms change.

A place may be described several times (``allOf``, ``$ref``, alternatives): each description is changed, and what would
otherwise judge the old values (conditions, ``not``, one of several alternatives) goes. The outcome is never narrower
than what leaves; where a schema branches it may be wider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from streamguard.formats.base import Change
from streamguard.formats.json_pointer import resolved
from streamguard.policy.paths import Path, Segment, Wild

Node = dict[str, Any]
Replace = Callable[[Any], Any]
"""A subschema to the one that takes its place, or to `GONE`."""

GONE: Final = object()

_KEPT: Final = ("title", "description", "$comment", "deprecated", "readOnly", "writeOnly")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
# What judges values that are no longer there.
_CONDITIONS: Final = ("if", "then", "else", "not", "dependentSchemas", "const", "enum")
_OF_MAPS: Final = ("additionalProperties", "unevaluatedProperties")
_OF_ARRAYS: Final = ("items", "additionalItems", "unevaluatedItems")


def derived(document: Node, changes: Mapping[Path, Change]) -> Node:
    """The schema with every change applied; equal to `document` when none changes anything."""
    node: Any = document
    for path, change in changes.items():
        if not change.keeps:
            replace = partial(_changed, change=change, document=document)
            node = _at(node, path.segments, document, replace)
    return node if isinstance(node, dict) else document


def _changed(old: Any, change: Change, document: Node) -> Any:
    if not change.types and not change.nulls:
        return GONE
    types = sorted(change.types)
    if change.nulls or _may_be_null(old, document):
        types.append("null")
    kept = {name: old[name] for name in _KEPT if name in old} if isinstance(old, dict) else {}
    return {"type": types[0] if len(types) == 1 else types, **kept}


def _may_be_null(node: Any, document: Node) -> bool:
    if not isinstance(node, dict):
        return node is not False
    node = _without_reference(node, document)
    declared = node.get("type", "null")
    if "null" not in ([declared] if isinstance(declared, str) else declared):
        return False
    for name in ("anyOf", "oneOf"):
        if name in node and not any(_may_be_null(child, document) for child in node[name]):
            return False
    if None not in node.get("enum", [None]) or node.get("const") is not None:
        return False
    return all(_may_be_null(child, document) for child in node.get("allOf", ()))


def _at(node: Any, steps: tuple[Segment, ...], document: Node, replace: Replace) -> Any:
    """`node` with the subschemas at `steps` replaced, wherever it describes them."""
    if not steps:
        return replace(node)
    if not isinstance(node, dict):
        return node
    node = _without_reference(node, document)
    copy = {name: value for name, value in node.items() if name not in _CONDITIONS}
    step, rest = steps[0], steps[1:]

    def inner(child: Any) -> Any:
        return _at(child, rest, document, replace)

    if step is Wild.EACH:
        _change_elements(copy, inner)
    else:
        _change_properties(copy, step, inner)
    for name in _LISTS:
        if name in copy:
            copy[name] = [_at(child, steps, document, replace) for child in copy[name]]
    if "oneOf" in copy:  # several may fit now
        alternatives = {"anyOf": copy.pop("oneOf")}
        copy |= alternatives if "anyOf" not in copy else {"allOf": [*copy.get("allOf", ()), alternatives]}
    return copy


def _change_properties(node: Node, step: Segment, inner: Replace) -> None:
    for keyword in ("properties", "patternProperties"):
        children = node.get(keyword)
        if not isinstance(children, dict):
            continue
        changed = {
            name: inner(child) if step in (name, Wild.ANY) else child for name, child in children.items()
        }
        node[keyword] = {name: child for name, child in changed.items() if child is not GONE}
        gone = {name for name, child in changed.items() if child is GONE}
        if gone and keyword == "properties" and "required" in node:
            node["required"] = [name for name in node["required"] if name not in gone]
    if step is Wild.ANY:
        for keyword in _OF_MAPS:
            if isinstance(node.get(keyword), dict):
                changed_child = inner(node[keyword])
                node[keyword] = False if changed_child is GONE else changed_child
        node.pop("required", None)
    node.pop("minProperties", None)


def _change_elements(node: Node, inner: Replace) -> None:
    for keyword in _OF_ARRAYS:
        child = node.get(keyword)
        if isinstance(child, list):
            node[keyword] = [new for new in map(inner, child) if new is not GONE]
        elif isinstance(child, dict):
            new = inner(child)
            node[keyword] = False if new is GONE else new
    if "prefixItems" in node:
        node["prefixItems"] = [new for new in map(inner, node["prefixItems"]) if new is not GONE]
    for keyword in ("uniqueItems", "contains", "minContains", "maxContains", "minItems"):
        node.pop(keyword, None)


def _without_reference(node: Node, document: Node) -> Node:
    """The node with what it refers to beside it: the place is changed here, not for all who refer to the same."""
    if "$ref" not in node:
        return node
    there = resolved(document, node["$ref"])
    rest = {name: value for name, value in node.items() if name != "$ref"}
    if not isinstance(there, dict) or not rest.keys() - {*_KEPT, "default", "examples"}:
        return {**there, **rest} if isinstance(there, dict) else rest
    return {**rest, "allOf": [*rest.get("allOf", ()), there]}
