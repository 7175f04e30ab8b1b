"""JSON Schema: what a schema declares, and whether a document obeys it.

`Schema.leaves` is the list that a policy has to classify completely. Where a schema is vague (an untyped
subtree, a recursion, a map whose property names are data), the leaf is `free`: only a transform that takes
the whole value can guard it. A map whose names are limited by ``patternProperties`` or ``propertyNames`` has
leaves below ``*``.

What is read here must never be narrower than what the validator lets pass. Drafts differ in what they heed, so where
that matters the validator itself is asked (`Schema._rejects`), and alternatives count as all that they allow together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import jsonschema_rs

from streamguard.errors import ConfigError
from streamguard.formats.base import (
    ALL_TYPES,
    SCALAR_TYPES,
    TAG_KEYWORDS,
    Leaf,
    declared_path,
    leaf_paths,
    tags_of,
)
from streamguard.formats.json_pointer import OF_DOCUMENTS, PLAIN_REFERENCE, bundled, resolved, subschemas
from streamguard.policy.paths import Path, Segment, Wild

Node = dict[str, Any]

_CHOICES: Final = ("anyOf", "oneOf")
_CONDITIONS: Final = ("then", "else")
_DEPENDENT: Final = ("dependentSchemas", "dependencies")
_BRANCHING: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas", "$dynamicRef", "$recursiveRef"}
)
# Narrowing keywords that not every draft has, each with a schema and a value that only whoever heeds it rejects.
_PROBES: Final[dict[str, tuple[Node, Any]]] = {
    "const": ({"const": 1}, 2),
    "propertyNames": ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
    "unevaluatedProperties": ({"unevaluatedProperties": False}, {"a": 1}),
    "additionalItems": ({"items": [{}], "additionalItems": False}, [1, 2]),
}
# Keywords that say nothing about what is valid.
_NOTES: Final = frozenset(
    {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_MOST_REFERENCES: Final = 50_000
"""References followed in one schema: thirty definitions that each refer twice to the next are a billion places."""
_OTHER_NAMES: Final = ("additionalProperties", "unevaluatedProperties")
_OTHER_ELEMENTS: Final = ("additionalItems", "unevaluatedItems")


class Schema:
    """A JSON Schema, compiled once. `document` is the parsed schema (any draft from 4 to 2020-12).

    `references` are the schemas that it refers to by name. Raises ConfigError when the schema itself is invalid or
    refers to something that is in neither.
    """

    def __init__(self, document: Node, references: Mapping[str, Node] | None = None) -> None:
        document = bundled(document, references or {})
        self.document = document
        self._followed = 0
        self._validator = _compile(document)
        self.is_valid: Callable[[Any], bool] = self._validator.is_valid
        _refuse_inner_documents(document)

    @cached_property
    def passes(self) -> Callable[[Any], bool]:
        """The question for the hot path: false for all that is invalid, and for a few documents worth a closer look.

        A closed schema is tightened so that no number beyond 64 bits passes: parsers turn those into rounded floats,
        and bounds that the validator checks anyway are cheaper than a search of the raw bytes.
        """
        if not self.is_closed:
            return self.is_valid
        return _compile(_bounded(self.document)).is_valid  # type: ignore[no-any-return]

    @cached_property
    def all_pass(self) -> Callable[[list[Any]], bool]:
        """Whether all of several documents pass.

        For a closed schema one call to the validator, which saves a sixth of what a call for each takes.
        """
        if not self.is_closed:
            passes = self.passes
            return lambda documents: all(map(passes, documents))
        return _compile(_listed(_bounded(self.document))).is_valid  # type: ignore[no-any-return]

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf that the schema declares, in the schema's order."""
        found = {leaf.path: leaf for leaf in self._leaves([self.document], Path(()), (), frozenset())}
        return tuple(found.values())

    @cached_property
    def is_closed(self) -> bool:
        """True when a valid document can hold nothing but the leaves, each of them of its declared types."""
        return self._closed(self.document, ()) and not any(leaf.free for leaf in self.leaves)

    def errors(self, document: Any) -> Iterator[tuple[str, str, str]]:
        """Every reason why `document` is invalid: keyword, path (`*` for undeclared names), and our sentence."""
        for error in self._validator.iter_errors(document):
            keyword = str(error.kind.name)
            path = declared_path(error.instance_path, self._declared_names)
            if keyword == "required":
                path = path.child(error.kind.property)
            elif keyword in ("additionalProperties", "unevaluatedProperties"):
                keyword, path = "undeclared", path.child(Wild.ANY)
            yield keyword, str(path), MESSAGES.get(keyword, f"does not satisfy the schema's '{keyword}'")

    @cached_property
    def _declared_names(self) -> frozenset[Path]:
        return leaf_paths(self.leaves)

    # -- reading the schema ------------------------------------------------------------------------------------------

    def _leaves(
        self, nodes: list[Any], path: Path, refs: tuple[str, ...], tags: frozenset[str]
    ) -> Iterator[Leaf]:
        """Leaves of the place where all of `nodes` apply.

        `refs` are the references followed on the way down, and `tags` what was said there.
        """
        parts, branches, refs, looped = self._parts(nodes, refs)
        everywhere = [*parts, *branches]
        tags = tags.union(*map(tags_of, everywhere))
        types = frozenset.intersection(ALL_TYPES, *(self._types(node, ()) for node in nodes)) - {"null"}
        if "number" in types:
            types -= {"integer"}  # every integer is a number
        structured = types & {"object", "array"}
        properties = _properties(parts, branches)
        elements = _elements(parts, branches)
        if (
            not looped
            and types == {"object"}
            and (properties or _is_shut(parts))
            and not _is_map(parts, branches)
        ):
            for name, children in properties.items():
                yield from self._leaves(children, path.child(name), refs, tags)
        elif not looped and types == {"array"} and elements:
            # Alternatives for one place (tuple positions): each is read by itself, and leaves of one path are merged.
            yield from _merged(
                leaf
                for child in elements
                for leaf in self._leaves([child], path.child(Wild.EACH), refs, tags)
            )
        elif types:
            formats = [part["format"] for part in parts if "format" in part]
            yield Leaf(
                path,
                types,
                enum=next((tuple(part["enum"]) for part in parts if "enum" in part), ()),
                format=next(filter(self._asserts, formats), ""),
                free=bool(structured),
                description=next((part["description"] for part in everywhere if "description" in part), ""),
                patterns=tuple(part["pattern"] for part in parts if "pattern" in part),
                min_length=max((int(part["minLength"]) for part in parts if "minLength" in part), default=0),
                max_length=min(
                    (int(part["maxLength"]) for part in parts if "maxLength" in part), default=None
                ),
                tags=tags,
            )

    def _parts(
        self, nodes: Iterable[Any], refs: tuple[str, ...]
    ) -> tuple[list[Node], list[Node], tuple[str, ...], bool]:
        """All schemas that apply in place; those that may; the references followed; whether one of them recurses."""
        parts: list[Node] = []
        branches: list[Node] = []
        looped = False
        waiting = [(node, parts) for node in nodes]
        while waiting:
            node, kind = waiting.pop(0)
            if not isinstance(node, dict):
                continue
            node = self.heeded(node)
            kind.append(node)
            waiting += [(child, kind) for child in node.get("allOf", ())]
            waiting += [(child, branches) for keyword in _CHOICES for child in node.get(keyword, ())]
            waiting += [(node[keyword], branches) for keyword in _CONDITIONS if keyword in node]
            waiting += [
                (child, branches) for keyword in _DEPENDENT for child in node.get(keyword, {}).values()
            ]
            reference = node.get("$ref")
            if "$dynamicRef" in node or "$recursiveRef" in node or reference in refs:
                looped = True
            elif reference is not None:
                refs = (*refs, reference)
                waiting.append((self._resolve(reference), kind))
        return parts, branches, refs, looped

    def _resolve(self, reference: str) -> Any:
        self._followed += 1
        if self._followed > _MOST_REFERENCES:
            raise ConfigError(
                "The schema's references lead to so many places that they cannot all be looked at.",
                "Let definitions that refer to others refer to each of them once.",
            )
        return resolved(self.document, reference)

    def _types(self, node: Any, refs: tuple[str, ...]) -> frozenset[str]:
        """JSON types that `node` may allow: never fewer than it really does."""
        if not isinstance(node, dict):
            return ALL_TYPES if node is not False else frozenset()
        node = self.heeded(node)
        declared = node.get("type", ())
        types = frozenset([declared] if isinstance(declared, str) else declared) or ALL_TYPES
        if "number" in types:
            types |= {"integer"}
        for values in (node.get("enum"), [node["const"]] if "const" in node else None):
            if values is not None:
                types &= frozenset[str]().union(*map(_types_of, values))
        for child in node.get("allOf", ()):
            types &= self._types(child, refs)
        for keyword in _CHOICES:
            if children := node.get(keyword):
                types &= frozenset[str]().union(*(self._types(child, refs) for child in children))
        reference = node.get("$ref")
        if reference is not None and reference not in refs:
            types &= self._types(self._resolve(reference), (*refs, reference))
        return types

    def _closed(self, node: Any, refs: tuple[str, ...]) -> bool:
        """Conservative: only plain keywords are understood; anything that branches counts as open."""
        if not isinstance(node, dict) or _BRANCHING & node.keys():
            return False
        if (reference := node.get("$ref")) is not None:
            if reference in refs or node.keys() - _NOTES != {"$ref"}:
                return False
            plain = PLAIN_REFERENCE.fullmatch(reference) is not None
            return plain and self._closed(self._resolve(reference), (*refs, reference))
        types = self._types(node, ()) - {"null"}
        if types == {"object"}:
            shut = node.get("additionalProperties") is False and "patternProperties" not in node
            return shut and all(self._closed(child, refs) for child in node.get("properties", {}).values())
        if types == {"array"}:
            plain = isinstance(node.get("items"), dict) and "prefixItems" not in node
            return plain and self._closed(node["items"], refs)
        return types <= SCALAR_TYPES

    # -- asking the validator ----------------------------------------------------------------------------------------

    def _rejects(self, probe: Node, value: Any) -> bool:
        """Whether `probe`, read in this schema's draft, refuses `value`."""
        draft = {name: self.document[name] for name in ("$schema",) if name in self.document}
        try:
            return not _compile(draft | probe).is_valid(value)
        except ConfigError:  # the draft has no such thing at all
            return False

    def heeded(self, node: Node) -> Node:
        """`node` without the keywords that its draft does not heed."""
        if "$ref" in node and not self._heeds_beside_references:
            return {name: value for name, value in node.items() if name in ("$ref", *TAG_KEYWORDS, *_NOTES)}
        if self._unheeded.isdisjoint(node):
            return node
        return {name: value for name, value in node.items() if name not in self._unheeded}

    @cached_property
    def _unheeded(self) -> frozenset[str]:
        return frozenset(name for name, (probe, value) in _PROBES.items() if not self._rejects(probe, value))

    @cached_property
    def _heeds_beside_references(self) -> bool:
        return self._rejects({"definitions": {"any": {}}, "$ref": "#/definitions/any", "type": "string"}, 1)

    def _asserts(self, form: str) -> bool:
        """Whether values without the format `form` are refused: draft 7 knows no ``uuid``, for one."""
        return self._rejects({"format": form}, "\n")


MESSAGES: Final = {
    "required": "a required field is missing",
    "type": "has another type than the schema declares",
    "undeclared": "a field that is not declared",
    "format": "does not have the declared format",
    "pattern": "does not match the declared pattern",
    "enum": "is not one of the declared values",
    "const": "is not the declared value",
    "minimum": "is below the declared minimum",
    "maximum": "is above the declared maximum",
    "exclusiveMinimum": "is not above the declared exclusive minimum",
    "exclusiveMaximum": "is not below the declared exclusive maximum",
    "multipleOf": "is not a multiple of the declared step",
    "minLength": "is shorter than declared",
    "maxLength": "is longer than declared",
    "minItems": "has fewer items than declared",
    "maxItems": "has more items than declared",
    "uniqueItems": "has items that are not unique",
    "minProperties": "has fewer fields than declared",
    "maxProperties": "has more fields than declared",
    "anyOf": "matches none of the declared alternatives",
    "oneOf": "does not match exactly one of the declared alternatives",
    "not": "matches what the schema excludes",
    "falseSchema": "the schema allows nothing here",
}


def _compile(document: Node) -> Any:
    """A validator with formats asserted, no retrieval of anything, and patterns that run in linear time if they can."""
    if not isinstance(document, dict):
        raise ConfigError("The schema is not a JSON object.", "A JSON Schema file holds one object.")
    linear, bounded = jsonschema_rs.RegexOptions(), jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
    for options in (linear, bounded):
        try:
            return jsonschema_rs.validator_for(
                document, validate_formats=True, offline=True, pattern_options=options
            )
        except jsonschema_rs.ValidationError as error:
            place = "/".join(map(str, error.instance_path))
            keyword = error.kind.name
            if keyword == "format" and options is linear:
                continue
            if keyword == "$ref":
                raise _unresolved() from None
            raise ConfigError(
                f"The schema is not a valid JSON Schema: '{place}' breaks the meta-schema's '{keyword}'.",
                "Compare that place with the JSON Schema specification.",
            ) from None
        except (jsonschema_rs.ReferencingError, ValueError):
            if options is linear:
                continue
            raise _unresolved() from None
    raise AssertionError


def _unresolved() -> ConfigError:
    return ConfigError(
        "The schema cannot be compiled: a reference or a pattern in it cannot be resolved.",
        "References must stay inside the file ('#/$defs/…'), patterns must be valid regular expressions.",
    )


def _bounded(node: Any) -> Any:
    """A copy of a closed schema in which every place for a value excludes numbers that do not fit into 64 bits."""
    if isinstance(node, list):
        return [_bounded(child) for child in node]
    if not isinstance(node, dict):
        return node
    copy = dict(node)
    for keyword in {"properties"} | _DEFINITIONS:
        if keyword in node:
            copy[keyword] = {name: _bounded(child) for name, child in node[keyword].items()}
    if "items" in node:
        copy["items"] = _bounded(node["items"])
    if {"integer", "number"} & set(
        [node["type"]] if isinstance(node.get("type"), str) else node.get("type", ())
    ):
        # Exactly representable as doubles and inside the range: what lies between is valid, but looked at closely.
        lowest, highest = -(2**63) + 4096, 2**64 - 4096
        copy["minimum"] = max(node.get("minimum", lowest), lowest)
        copy["maximum"] = min(node.get("maximum", highest), highest)
    return copy


def _listed(document: Node) -> Node:
    """The schema of an array of what a closed schema describes. Definitions stay where its references find them."""
    top = {name: document[name] for name in OF_DOCUMENTS | _DEFINITIONS if name in document}
    return {**top, "items": {name: node for name, node in document.items() if name not in top}}


def _properties(parts: list[Node], branches: list[Node]) -> dict[Segment, list[Any]]:
    """The schemas of each property. Those of which only one may apply are joined into an ``anyOf``."""
    always: dict[Segment, list[Any]] = {}
    perhaps: dict[Segment, list[Any]] = {}
    for part in [*parts, *branches]:
        found = perhaps if any(part is branch for branch in branches) else always
        for name, child in part.get("properties", {}).items():
            found.setdefault(name, []).append(child)
        maps = [part.get(keyword) for keyword in _OTHER_NAMES]
        for child in (*part.get("patternProperties", {}).values(), *maps):
            if isinstance(child, dict) and child:
                perhaps.setdefault(Wild.ANY, []).append(child)
    for name, children in perhaps.items():
        constrained = name in always or (name is Wild.ANY and not _is_covered(parts))
        always.setdefault(name, []).append({"anyOf": [*children, *([True] if constrained else [])]})
    return always


def _elements(parts: list[Node], branches: list[Node]) -> list[Any]:
    """The schemas of which each element of an array has one; with an empty one where others may stand."""
    found: list[Any] = []
    for part in [*parts, *branches]:
        items = part.get("items")
        children = [*part.get("prefixItems", ()), *(items if isinstance(items, list) else [items])]
        children += [part.get(keyword) for keyword in _OTHER_ELEMENTS]
        found += [child for child in children if isinstance(child, dict)]
    return found if not found or any(map(_covers_elements, parts)) else [*found, {}]


def _covers_elements(part: Node) -> bool:
    """True when every element of an array has some schema. ``unevaluatedItems`` may have been outdone."""
    items = part.get("items")
    rest = part.get("additionalItems") if isinstance(items, list) else items
    return isinstance(rest, dict) or rest is False


def _is_map(parts: list[Node], branches: list[Node]) -> bool:
    """True for an object whose property names are data themselves: declared by no name, no pattern, no list."""
    named = any(isinstance(part.get("propertyNames"), dict) for part in parts)
    return not named and any(
        isinstance(part.get(keyword), dict) for part in [*parts, *branches] for keyword in _OTHER_NAMES
    )


def _is_shut(parts: list[Node]) -> bool:
    return any(part.get(keyword) is False for part in parts for keyword in _OTHER_NAMES)


def _is_covered(parts: list[Node]) -> bool:
    """True when every property of an object has some schema. ``unevaluatedProperties`` may have been outdone."""
    others = [part.get("additionalProperties") for part in parts]
    return any(other is False or (isinstance(other, dict) and bool(other)) for other in others)


def _merged(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    """Leaves of one path become one, with the types of all."""
    found: dict[Path, Leaf] = {}
    for leaf in leaves:
        twin = found.get(leaf.path)
        found[leaf.path] = (
            leaf
            if twin is None
            else Leaf(
                leaf.path, twin.types | leaf.types, free=twin.free or leaf.free, tags=twin.tags | leaf.tags
            )
        )
    yield from found.values()


def _refuse_inner_documents(document: Node) -> None:
    """Below an inner ``$id`` a reference counts from there, and not from the top as everywhere else here."""
    for node in subschemas(document):
        names = [node[keyword] for keyword in ("$id", "id") if isinstance(node.get(keyword), str)]
        if node is document or all(name.startswith("#") for name in names):
            continue
        if any(str(inner.get("$ref", "")).startswith("#") for inner in subschemas(node)):
            raise ConfigError(
                "The schema holds another document, with an '$id' of its own and references inside it.",
                "Remove the inner '$id', and let its references begin at the top: '#/$defs/…'.",
            )


def _types_of(value: Any) -> frozenset[str]:
    """The JSON types that a Python value has; a float without a fraction is an integer too."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, float) and value.is_integer():
        return frozenset({"number", "integer"})
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return frozenset({names.get(type(value), "null")})
