"""Columns: all values of one path in a batch, gathered out of the documents and scattered back.

One column per field and slice is what lets a transform draw its randomness once, reach a vault once, and keep Python's
loops short. Containers on the way to a leaf are found once per batch and shared by all fields below them.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, repeat
from operator import itemgetter, setitem
from typing import Any, Final

from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding
from streamguard.policy.paths import Path, Segment, Wild
from streamguard.transforms.base import DROP

SHAPE_MESSAGE: Final = "the path meets another shape here than the policy expects"
_DICT: Final = frozenset({dict})
_LIST: Final = frozenset({list})
_NULL: Final = type(None)


class Column:
    """Values that are present and not null, each with its row and the container and key it stands under.

    `types` are those of the values.
    """

    __slots__ = ("holders", "keys", "rows", "types", "values")

    def __init__(
        self, rows: list[int], holders: list[Any], keys: Any, values: list[Any], types: set[type]
    ) -> None:
        self.rows = rows
        self.holders = holders
        self.keys = keys
        self.values = values
        self.types = types

    def scatter(self, values: list[Any]) -> None:
        """Put `values` where the gathered ones stood."""
        deque(map(setitem, self.holders, self.keys, values), maxlen=0)

    def scatter_or_drop(self, values: list[Any]) -> None:
        """The same, where some values may be `DROP`. Backwards, so that positions in an array stay true."""
        places = list(zip(self.holders, self.keys, values, strict=False))
        for holder, key, value in reversed(places):
            if value is DROP:
                del holder[key]
            else:
                holder[key] = value


class Columns:
    """One compiled path. `stage` names the room in the findings it makes."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path = path
        *above, self.last = path.segments
        self.above: tuple[Segment, ...] = tuple(above)
        self.get = itemgetter(self.last)
        self.shape = Finding("transform.shape", stage, SHAPE_MESSAGE, str(path))

    def gather(self, batch: Batch) -> Column:
        """The column; a row where the path meets another shape gets a finding and is left out."""
        last = self.last
        rows, holders = self.places(batch, self.above, last)
        if isinstance(last, str):
            try:
                values = list(map(self.get, holders))
            except KeyError:
                values = [holder.get(last) for holder in holders]
            types = set(map(type, values))
            if _NULL in types:
                types.remove(_NULL)
                kept = [index for index, value in enumerate(values) if value is not None]
                rows = [rows[index] for index in kept]
                holders = [holders[index] for index in kept]
                values = [values[index] for index in kept]
            return Column(rows, holders, repeat(last), values, types)
        found = [
            (row, holder, key, value)
            for row, holder in zip(rows, holders, strict=True)
            for key, value in (enumerate(holder) if last is Wild.EACH else holder.items())
            if value is not None
        ]
        rows, holders, keys, values = map(list, zip(*found, strict=True)) if found else ([], [], [], [])
        return Column(rows, holders, keys, values, set(map(type, values)))

    def drop_nulls(self, batch: Batch) -> None:
        """Remove every null that stands there, together with its name."""
        last = self.last
        _, holders = self.places(batch, self.above, last)
        for holder in holders:
            if last is Wild.EACH:
                holder[:] = [value for value in holder if value is not None]
            elif last is Wild.ANY:
                for name in [name for name, value in holder.items() if value is None]:
                    del holder[name]
            elif last in holder and holder[last] is None:
                del holder[last]

    def places(self, batch: Batch, above: tuple[Segment, ...], step: Segment) -> tuple[list[int], list[Any]]:
        """Rows and containers at `above` into which `step` can be taken: arrays for ``[*]``, objects otherwise."""
        wanted = _LIST if step is Wild.EACH else _DICT
        known = batch.places.get((above, wanted))
        if known is None:
            known = batch.places[above, wanted] = self._open(batch, above, wanted)
        return known

    def _open(
        self, batch: Batch, above: tuple[Segment, ...], wanted: frozenset[type]
    ) -> tuple[list[int], list[Any]]:
        rows, nodes = self._nodes(batch, above)
        if set(map(type, nodes)) <= wanted:
            return rows, nodes
        fitting = [index for index, node in enumerate(nodes) if type(node) in wanted]
        strange = {
            rows[index] for index, node in enumerate(nodes) if node is not None and type(node) not in wanted
        }
        batch.reject_all(strange, self.shape)
        return [rows[index] for index in fitting], [nodes[index] for index in fitting]

    def _nodes(self, batch: Batch, above: tuple[Segment, ...]) -> tuple[list[int], list[Any]]:
        """What stands at `above`, nulls and wrong shapes included."""
        if not above:
            return batch.live, batch.live_documents
        *parents, step = above
        rows, holders = self.places(batch, tuple(parents), step)
        if isinstance(step, str):
            return rows, [holder.get(step) for holder in holders]
        inner = holders if step is Wild.EACH else [holder.values() for holder in holders]
        below = [row for row, holder in zip(rows, holders, strict=True) for _ in holder]
        return below, list(chain.from_iterable(inner))
