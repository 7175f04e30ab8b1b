"""What the name of a field, and those of the objects around it, say about what it holds."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from streamguard.draft import kinds
from streamguard.draft.kinds import Confidence, Kind
from streamguard.draft.words import ABOUT, ALONE, CONTENTS, IDS, MEANINGS, NAMES, PERSONS, THINGS, Meaning
from streamguard.policy.paths import Path

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_FOLDED: Final = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l"})
_LONGEST: Final = 5
"""Words that one meaning may be spread over: ``date of birth``, ``numero de securite sociale``."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a name says: the kind, how sure that is, and the words that said so."""

    kind: Kind
    confidence: Confidence
    word: str


def tokens(name: str) -> list[str]:
    """The words of a name: ``shippingAddress_line-1`` is shipping, address, line, 1; without case and accents."""
    bare = "".join(
        sign
        for sign in unicodedata.normalize("NFKD", name.translate(_FOLDED))
        if not unicodedata.combining(sign)
    )
    return [word.lower().translate(_FOLDED) for word in _WORD.findall(bare)]


def named(path: Path) -> Named | None:
    """What the name of the field at `path` says, read in the light of what encloses it; None when it says nothing."""
    steps = [tokens(step) for step in path.segments if isinstance(step, str)]
    if not steps or not steps[-1]:
        return None
    *above, words = steps
    words = _split(words)
    if len(words) > 1 and words[-1] in ABOUT and not _ends_with_meaning(words):
        return None
    for reading in (_as_one, _by_owner, _by_meaning_alone, _by_parent):
        if (found := reading(words, above)) is not None:
            return found
    return None


def _meaning(word: str) -> Meaning | None:
    """What a word means, or its singular."""
    for ending in ("", "s", "es"):
        if len(word) >= 4 * len(ending) and word.endswith(ending):
            meaning = MEANINGS.get(word.removesuffix(ending))
            if meaning is not None:
                return meaning
    return None


def _ends_with_meaning(words: list[str]) -> bool:
    return any("".join(words[start:]) in MEANINGS for start in range(len(words)))


def _split(words: list[str]) -> list[str]:
    """The words, with what is glued together taken apart where a person comes first: ``customeremail``."""
    if len(words) != 1 or words[0] in MEANINGS:
        return words
    word = words[0]
    for end in range(len(word) - 2, 2, -1):
        if word[:end] in PERSONS and (word[end:] in MEANINGS or word[end:] in NAMES | IDS):
            return [word[:end], word[end:]]
    return words


def _as_one(words: list[str], above: list[list[str]]) -> Named | None:
    """The name as one word, with the last word around it or without: ``birth.date``, ``name.first``, ``device.id``."""
    readings = [words]
    if above and above[-1]:
        around = above[-1][-1]
        readings += [[*words, around]] if words[-1] in NAMES else [[around, *words], [*words, around]]
    for reading in readings:
        if (meaning := _meaning("".join(reading))) is not None:
            return Named(*meaning, " ".join(reading))
    return None


def _by_owner(words: list[str], above: list[list[str]]) -> Named | None:
    """Names and ids, which are what they belong to."""
    last = words[-1]
    if last not in NAMES and last not in IDS:
        return None
    owner = _owner([*above, words[:-1]])
    if last in NAMES:
        if owner is None:
            return Named(kinds.NAME, Confidence.POSSIBLE, last)
        return Named(kinds.NAME, Confidence.LIKELY, last) if owner else None
    meant = _by_meaning(words)
    if meant is not None or last not in ALONE | IDS:
        return meant
    if owner:
        return Named(kinds.PERSON, Confidence.LIKELY, last)
    if owner is None and last in ALONE and len(words) == 1:
        return Named(kinds.IDENTIFIER, Confidence.POSSIBLE, last)
    return None


def _owner(steps: list[list[str]]) -> bool | None:
    """Whether the nearest word around says that this belongs to a person (true) or to a thing (false)."""
    for words in reversed(steps):
        for word in reversed(words):
            if word in PERSONS or word.rstrip("s") in PERSONS:
                return True
            if word in THINGS or word.rstrip("s") in THINGS:
                return False
    return None


def _by_meaning(words: list[str]) -> Named | None:
    """The longest run of words with a meaning; of equally long ones, the last."""
    for length in range(min(_LONGEST, len(words)), 0, -1):
        for start in range(len(words) - length, -1, -1):
            run = words[start : start + length]
            if (meaning := _meaning("".join(run))) is not None:
                return Named(*meaning, " ".join(run))
    return None


def _by_meaning_alone(words: list[str], _: list[list[str]]) -> Named | None:
    return _by_meaning(words)


def _by_parent(words: list[str], above: list[list[str]]) -> Named | None:
    """What an object's name says of a field in it that only says ``number`` or ``value``."""
    return _by_meaning(above[-1]) if above and len(words) == 1 and words[0] in CONTENTS | IDS else None
