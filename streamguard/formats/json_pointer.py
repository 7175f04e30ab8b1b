"""References inside and between JSON Schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, unquote

from streamguard.errors import ConfigError

Node = dict[str, Any]

PLAIN_REFERENCE: Final = re.compile(r"#/(\$defs|definitions)/[^/]+")
"""One that leads to a definition of the document itself."""

_BUNDLED: Final = "$defs"
OF_DOCUMENTS: Final = frozenset({"$id", "id", "$schema"})
"""What only a whole document has, and no part of one."""


def resolved(document: Node, reference: str) -> Any:
    """The subschema that a reference inside this document names. Raises ConfigError when there is none."""
    if reference == "#" or reference.startswith("#/"):
        node: Any = document
        try:
            for step in reference[1:].split("/")[1:]:
                key = unquote(step).replace("~1", "/").replace("~0", "~")
                node = node[int(key)] if isinstance(node, list) else node[key]
        except (KeyError, IndexError, ValueError, TypeError):
            pass
        else:
            return node
    for node in subschemas(document):
        if node.get("$id") == reference or f"#{node.get('$anchor')}" == reference:
            return node
    raise ConfigError(
        "The schema refers to a schema outside its own file.",
        "Put it under '$defs' and refer to '#/$defs/…'.",
    )


def subschemas(node: Any) -> Iterator[Node]:
    """All objects in a schema, itself first."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from subschemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from subschemas(child)


def bundled(document: Node, references: Mapping[str, Node]) -> Node:
    """One document out of several: those that it refers to by name stand under ``$defs``, and references lead there."""
    if not references:
        return document
    places = {name: _place(name) for name in references}

    def led_from(home: str) -> Callable[[str], str]:
        def led(reference: str) -> str:
            name, _, inside = reference.partition("#")
            if not name and inside[:1] in ("", "/"):  # no anchor
                return home + inside
            return places[name] + inside if name in places else reference

        return led

    inner = {name: _led(other, led_from(places[name])) for name, other in references.items()}
    return _with_definitions(_led(document, led_from("#")), inner)


def steadied(document: Node) -> Node:
    """The same schema, with references that lead to definitions alone: whatever else they lead to has a copy there.

    Places outside of the definitions can then be changed without a change of what refers to them.
    """
    elsewhere: dict[str, Any] = {}
    for reference in sorted({str(node["$ref"]) for node in subschemas(document) if "$ref" in node}):
        if not PLAIN_REFERENCE.fullmatch(reference):
            with suppress(ConfigError):  # where nothing heeds it, a reference may lead nowhere
                elsewhere[reference] = resolved(document, reference)
    if not elsewhere:
        return document

    def led(reference: str) -> str:
        return _place(reference) if reference in elsewhere else reference

    copies = {reference: _led(node, led) for reference, node in elsewhere.items()}
    return _with_definitions(_led(document, led), copies)


def _place(name: str) -> str:
    return f"#/{_BUNDLED}/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~')}"


def _led(node: Any, led: Callable[[str], str]) -> Any:
    """A copy with every reference led elsewhere."""
    if isinstance(node, list):
        return [_led(child, led) for child in node]
    if not isinstance(node, dict):
        return node
    copy = {name: _led(child, led) for name, child in node.items()}
    if isinstance(copy.get("$ref"), str):
        copy["$ref"] = led(copy["$ref"])
    return copy


def _with_definitions(document: Node, definitions: Mapping[str, Any]) -> Node:
    """The document with more definitions. They are parts of it, so they have no names and definitions of their own."""
    parts = {
        name: {key: child for key, child in node.items() if key not in OF_DOCUMENTS}
        if isinstance(node, dict)
        else node
        for name, node in definitions.items()
    }
    return {**document, _BUNDLED: {**document.get(_BUNDLED, {}), **parts}}
