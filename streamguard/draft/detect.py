"""Which leaves hold personal data: what a field is called and what its values look like, weighed together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from streamguard.draft import kinds
from streamguard.draft.content import ASKED, Content, content_of, inside
from streamguard.draft.kinds import Confidence, Kind
from streamguard.draft.names import Named, named
from streamguard.formats.base import Leaf

_SHAPED: Final = frozenset({"uuid", "date", "date-time", "time", "duration"})
"""Formats whose texts are never a name or a phrase."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a leaf seems to hold, how sure that is, and why; all in our own words."""

    kind: Kind
    confidence: Confidence
    reason: str


def detect(leaf: Leaf, values: list[Any]) -> Finding | None:
    """What a leaf holds, judged by its path, its types, its schema's tags and the values that were seen there."""
    found = _judged(leaf, values)
    if not leaf.tags:
        return found
    says = f"its schema says {', '.join(sorted(leaf.tags))}"
    if found is None:
        return Finding(kinds.TAGGED, Confidence.CERTAIN, says)
    return replace(found, confidence=Confidence.CERTAIN, reason=f"{says}, and {found.reason}")


def _judged(leaf: Leaf, values: list[Any]) -> Finding | None:
    name = named(leaf.path)
    if leaf.free or "bytes" in leaf.types:
        return _of_open(leaf, name, is_filled=bool(values))
    if name is not None and not _can_be(leaf, name.kind):
        name = None
    content = Content() if leaf.enum else content_of(values)
    if content.kind is not None and content.confidence > Confidence.POSSIBLE:
        return _seen(content, name)
    if name is not None:
        return _called(name, content)
    if content.inside and not leaf.enum:
        kind = kinds.FREE_TEXT if content.phrases else kinds.IDENTIFIER
        return Finding(kind, Confidence.LIKELY, f"holds what looks like {inside(content)} values")
    if content.kind is not None and leaf.format not in _SHAPED - {"date"}:
        return Finding(content.kind, content.confidence, content.reason)
    return None


def _can_be(leaf: Leaf, kind: Kind) -> bool:
    """Whether the types, and the format, leave room for this kind."""
    if leaf.types.isdisjoint(kind.types):
        return False
    return not (leaf.format in _SHAPED and kind in (kinds.NAME, kinds.ADDRESS, kinds.FREE_TEXT, kinds.PHONE))


def _of_open(leaf: Leaf, name: Named | None, *, is_filled: bool) -> Finding:
    """Something that can hold anything: only a secret is treated otherwise than whole."""
    if not is_filled:
        what = "nothing was there yet, so that its type is not known"
    elif "bytes" in leaf.types:
        what = "bytes can hold anything"
    elif leaf.types == {"object"}:
        what = "an object whose property names differ or look like data"
    else:
        what = "values of several shapes"
    if name is None:
        return Finding(kinds.OPEN, Confidence.POSSIBLE, what)
    kind = kinds.SECRET if name.kind is kinds.SECRET else kinds.OPEN
    return Finding(kind, Confidence.LIKELY, f"{what}, and the name says '{name.word}'")


def _seen(content: Content, name: Named | None) -> Finding:
    """Values that speak for themselves."""
    kind = content.kind or kinds.OPEN
    if name is not None and name.kind is kind:
        return Finding(kind, Confidence.CERTAIN, f"the name says '{name.word}', and {content.reason}")
    return Finding(kind, content.confidence, content.reason)


def _called(name: Named, content: Content) -> Finding:
    """A name that says what the field is, and values that agree, disagree, or cannot be told."""
    says = f"the name says '{name.word}'"
    kind = name.kind
    if kind.name in content.looks or (kind is kinds.FREE_TEXT and content.is_wordy):
        return Finding(
            kind, Confidence(min(name.confidence + 1, Confidence.CERTAIN)), f"{says}, and the values agree"
        )
    if kind.name in ASKED and content.texts:
        return Finding(kind, Confidence.POSSIBLE, f"{says}, though the values do not look like it")
    if content.inside:
        return Finding(
            kind, name.confidence, f"{says}, and it holds what looks like {inside(content)} values"
        )
    return Finding(kind, name.confidence, says)
