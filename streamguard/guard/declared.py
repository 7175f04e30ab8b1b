"""Nothing passes because nobody thought of it: every leaf of a document must be one that the policy names.

Where the schema is closed, its validator has already made sure. Everywhere else this room walks the document along the
tree of the policy's own paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

from streamguard.formats.json_schema import MESSAGES
from streamguard.guard.batch import Batch
from streamguard.guard.columns import SHAPE_MESSAGE
from streamguard.guard.violation import Finding
from streamguard.policy.paths import Path, Segment, Wild

SHAPE: Final = "transform.shape"
UNDECLARED: Final = MESSAGES["undeclared"]

_WHOLE: Final = "whole"
_SCALAR: Final = "scalar"
Tree = dict[Segment, Any]


class Declared:
    """Holds documents against the classified paths.

    `guarded` paths have a transform, which judges the value it meets; `kept` ones must be scalars at run time.
    `undeclared` says what happens to everything else.
    """

    stage = "validate"

    def __init__(
        self, guarded: Iterable[Path], kept: Iterable[Path], undeclared: Literal["reject", "drop", "keep"]
    ) -> None:
        self.tree: Tree = {}
        self.undeclared = undeclared
        for paths, leaf in ((kept, _SCALAR), (guarded, _WHOLE)):
            for path in paths:
                _plant(self.tree, path, leaf)

    def apply(self, batch: Batch) -> None:
        """Reject, or strip, what is not classified."""
        for row in batch.live:
            told = row in batch.findings  # of a wrong shape, by the schema's validator
            for code, path, message in set(self._walk(batch.documents[row], self.tree, Path(()))):
                if not told or code != SHAPE:
                    batch.reject(row, Finding(code, self.stage, message, str(path)))

    def _walk(self, node: Any, tree: Any, path: Path) -> Iterator[tuple[str, Path, str]]:
        if tree is _WHOLE or (node is None and path.segments):
            return
        container = isinstance(node, (dict, list))
        if container == (tree is _SCALAR):
            yield SHAPE, path, SHAPE_MESSAGE
        elif isinstance(node, dict):
            yield from self._walk_object(node, tree, path)
        elif isinstance(node, list):
            if Wild.EACH not in tree:
                yield SHAPE, path, SHAPE_MESSAGE
                return
            for element in node:
                yield from self._walk(element, tree[Wild.EACH], path.child(Wild.EACH))

    def _walk_object(self, node: dict[str, Any], tree: Tree, path: Path) -> Iterator[tuple[str, Path, str]]:
        if Wild.EACH in tree and len(tree) == 1:
            yield SHAPE, path, SHAPE_MESSAGE
            return
        unknown = []
        for name, child in node.items():
            known = name if name in tree else Wild.ANY
            if known in tree:
                yield from self._walk(child, tree[known], path.child(known))
            else:
                unknown.append(name)
        if unknown and self.undeclared == "reject":
            yield "schema.undeclared", path.child(Wild.ANY), UNDECLARED
        elif self.undeclared == "drop":
            for name in unknown:
                del node[name]


def _plant(tree: Tree, path: Path, leaf: str) -> None:
    *above, last = path.segments
    for step in above:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            return  # A shorter path already decides about everything below it.
        tree = below
    tree[last] = leaf
