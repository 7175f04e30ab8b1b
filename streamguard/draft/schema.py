"""A JSON Schema (2020-12) for what documents have in common: closed, without any value of theirs."""

from __future__ import annotations

from typing import Any, Final

from streamguard.draft.shape import Shape

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_ORDER: Final = ("object", "array", "string", "integer", "number", "boolean", "null")


def schema_of(shape: Shape) -> dict[str, Any]:
    """The schema of documents of this shape.

    Objects are closed, and what was always there is required. What was never filled has no type, and stays open; so do
    places where objects or arrays stand beside something else. A map says only what its values are.
    """
    return {"$schema": DRAFT, **_node(shape)}


def _node(shape: Shape) -> dict[str, Any]:
    if not shape.kinds:
        return {"$comment": "never filled in the records that were read, so its type is not known"}
    types = sorted(shape.kinds | (shape.types.keys() & {"null"}), key=_ORDER.index)
    node: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if shape.is_mixed:
        return node
    if "object" in shape.kinds:
        node |= _object(shape)
    if "array" in shape.kinds:
        node["items"] = _node(shape.elements or Shape())
    if "string" in shape.kinds and shape.formats:
        node["format"] = shape.formats[0]
    return node


def _object(shape: Shape) -> dict[str, Any]:
    if shape.values is not None:
        return {"additionalProperties": _node(shape.values)}
    if not shape.names:
        return {}
    always = [name for name, below in shape.names.items() if below.count == shape.types["object"]]
    return {
        "additionalProperties": False,
        **({"required": always} if always else {}),
        "properties": {name: _node(below) for name, below in shape.names.items()},
    }
