"""The JSON Schema of what leaves: the schema of what came in, with the places written anew that transforms change.

A place may be described several times (``allOf``, ``$ref``, alternatives): each description is changed, and what would
otherwise judge the old values (conditions, ``not``, one of several alternatives) goes. The outcome is never narrower
than what leaves; where a schema branches it may be wider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streamguard.formats.base import Change
from streamguard.formats.json_pointer import resolved, steadied, subschemas
from streamguard.formats.json_schema import Schema
from streamguard.policy.paths import Path, Segment, Wild

Node = dict[str, Any]
Replace = Callable[[Any], Any]
"""A subschema to the one that takes its place, or to `GONE`."""

GONE: Final = object()

_KEPT: Final = ("title", "description", "$comment", "deprecated", "readOnly", "writeOnly")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
# What judges values that are no longer there.
_CONDITIONS: Final = (
    "if", "then", "else", "not", "dependentSchemas", "dependentRequired", "dependencies", "const", "enum",
)  # fmt: skip
# Of what goes, the keywords that also say which names and elements the ``unevaluated`` ones need not judge.
_EVALUATING: Final = frozenset({"if", "dependentSchemas", "contains"})
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")
_OF_MAPS: Final = ("additionalProperties", "unevaluatedProperties")
_OF_ARRAYS: Final = ("items", "additionalItems", "unevaluatedItems")


def derived(schema: Schema, changes: Mapping[Path, Change]) -> Node:
    """The schema with every change applied; equal to its document when none changes anything."""
    changing = {path: change for path, change in changes.items() if not change.keeps}
    if not changing:
        return schema.document
    node: Any = steadied(schema.document)
    changing_at = _Changing(schema, node).at
    for path, change in changing.items():
        node = changing_at(node, path.segments, change)
    return node if isinstance(node, dict) else schema.document


class _Changing:
    """Changes places of one schema. `document` is where its references lead."""

    def __init__(self, schema: Schema, document: Node) -> None:
        self.document = document
        self.heeded = schema.heeded
        self.evaluates = any(_EVALUATING & node.keys() for node in subschemas(document))

    def at(self, node: Any, steps: tuple[Segment, ...], change: Change) -> Any:
        """`node` with the subschemas at `steps` changed, wherever it describes them; `GONE` for what is no more."""
        if not steps:
            return self._changed(node, change)
        if not isinstance(node, dict):
            return node
        step, *rest = steps

        def inner(child: Any) -> Any:
            return self.at(child, tuple(rest), change)

        node = self._without_reference(node)
        dropped = (*_CONDITIONS, *_UNEVALUATED) if self.evaluates else _CONDITIONS
        copy = {name: value for name, value in node.items() if name not in dropped}
        if step is Wild.EACH:
            _change_elements(copy, inner)
        else:
            _change_properties(copy, step, inner, goes=not rest and _goes(change))
        for name in _LISTS:
            if name in copy:
                copy[name] = [self.at(child, steps, change) for child in copy[name]]
        if "oneOf" in copy:  # several may fit now
            alternatives = {"anyOf": copy.pop("oneOf")}
            copy |= alternatives if "anyOf" not in copy else {"allOf": [*copy.get("allOf", ()), alternatives]}
        return copy

    def _changed(self, old: Any, change: Change) -> Any:
        if _goes(change):
            return GONE
        types = sorted(change.types)
        if change.nulls or self._may_be_null(old):
            types.append("null")
        kept = {name: old[name] for name in _KEPT if name in old} if isinstance(old, dict) else {}
        return {"type": types[0] if len(types) == 1 else types, **kept}

    def _may_be_null(self, node: Any) -> bool:
        if not isinstance(node, dict):
            return node is not False
        node = self._without_reference(node)
        declared = node.get("type", "null")
        if "null" not in ([declared] if isinstance(declared, str) else declared):
            return False
        for name in ("anyOf", "oneOf"):
            if name in node and not any(map(self._may_be_null, node[name])):
                return False
        if None not in node.get("enum", [None]) or node.get("const") is not None:
            return False
        return all(map(self._may_be_null, node.get("allOf", ())))

    def _without_reference(self, node: Node) -> Node:
        """The node with what it refers to beside it: the place is changed here, not for all who refer to the same."""
        node = self.heeded(node)
        if "$ref" not in node:
            return node
        there = resolved(self.document, node["$ref"])
        rest = {name: value for name, value in node.items() if name != "$ref"}
        if not isinstance(there, dict) or not rest.keys() - {*_KEPT, "default", "examples"}:
            return {**there, **rest} if isinstance(there, dict) else rest
        return {**rest, "allOf": [*rest.get("allOf", ()), there]}


def _goes(change: Change) -> bool:
    return not change.types and not change.nulls


def _change_properties(node: Node, step: Segment, inner: Replace, *, goes: bool) -> None:
    for keyword in ("properties", "patternProperties"):
        children = node.get(keyword)
        if isinstance(children, dict):
            changed = {
                name: inner(child) if step in (name, Wild.ANY) else child for name, child in children.items()
            }
            node[keyword] = {name: child for name, child in changed.items() if child is not GONE}
    if step is Wild.ANY:
        for keyword in _OF_MAPS:
            if isinstance(node.get(keyword), dict):
                changed_child = inner(node[keyword])
                node[keyword] = False if changed_child is GONE else changed_child
    if goes:
        required = [name for name in node.pop("required", ()) if step not in (name, Wild.ANY)]
        if required:
            node["required"] = required
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
