"""Maps that a schema declares: where their property names are data, they are protected whole, names and all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamguard.draft.shape import Shape, is_map
from streamguard.formats.base import Leaf
from streamguard.policy.paths import Path, Wild


def with_whole_maps(leaves: Sequence[Leaf], documents: Sequence[dict[str, Any]]) -> tuple[Leaf, ...]:
    """The leaves, with one free leaf in the place of those in a map whose names look like data, or were never seen."""
    whole: dict[Path, bool] = {}
    found: dict[Path, Leaf] = {}
    for leaf in leaves:
        path = next((path for path in _maps(leaf.path) if _is_whole(path, documents, whole)), None)
        if path is None:
            found[leaf.path] = leaf
        else:
            tags = leaf.tags | (found[path].tags if path in found else frozenset())
            found[path] = Leaf(path, frozenset({"object"}), free=True, tags=tags)
    return tuple(found.values())


def _maps(path: Path) -> list[Path]:
    """The maps on the way to a leaf, from the outside in; a record that is one itself has no name of its own."""
    return [
        Path(path.segments[:depth]) for depth, step in enumerate(path.segments) if step is Wild.ANY and depth
    ]


def _is_whole(path: Path, documents: Sequence[dict[str, Any]], known: dict[Path, bool]) -> bool:
    if path not in known:
        shape = Shape()
        for document in documents:
            for value in path.values_in(document):
                shape.add(value)
        known[path] = not shape.names or is_map(shape)
    return known[path]
