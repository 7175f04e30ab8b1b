"""References inside and between JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from streamguard.errors import ConfigError

Node = dict[str, Any]

_BUNDLED: Final = "$defs"


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
    places = {
        name: f"#/{_BUNDLED}/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~')}"
        for name in references
    }
    whole: Node = _led(document, "#", places)
    inner = {name: _without_id(_led(other, places[name], places)) for name, other in references.items()}
    return {**whole, _BUNDLED: {**whole.get(_BUNDLED, {}), **inner}}


def _led(node: Any, home: str, places: Mapping[str, str]) -> Any:
    """A copy whose references begin at the top of the bundle; `home` is where its own document stands there."""
    if isinstance(node, list):
        return [_led(child, home, places) for child in node]
    if not isinstance(node, dict):
        return node
    copy = {name: _led(child, home, places) for name, child in node.items()}
    reference = copy.get("$ref")
    if isinstance(reference, str):
        name, _, inside = reference.partition("#")
        if name in places:
            copy["$ref"] = places[name] + inside
        elif not name:
            copy["$ref"] = home + inside
    return copy


def _without_id(node: Node) -> Node:
    return {name: child for name, child in node.items() if name not in ("$id", "id", "$schema")}
