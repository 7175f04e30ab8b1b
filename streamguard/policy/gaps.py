"""A policy with mistakes, read around them, so that everything else in it can be looked at in the same go.

What cannot be read is left out, or something harmless stands in its place. Such a policy is checked and never used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from typing import Any, Final

from pydantic import ValidationError

from streamguard.policy.document import Document
from streamguard.policy.expected import Place
from streamguard.policy.models import Policy
from streamguard.policy.wording import places_of

_STAND_INS: Final = {"topic": "topic", "key": "drop", "timestamp": "drop"}
_DECISIVE: Final = frozenset({"value", "subject", "fields", "tags", "keep"})
"""Without these as a whole nobody can tell a mistake from what follows from one."""
_ROUNDS: Final = 10
"""One mistake may hide another in the same entry; more of them in a row than this are left for the next look."""


def read_around(document: Document, error: ValidationError) -> tuple[Policy, frozenset[str]] | None:
    """The rest of a policy that `error` refuses, and the sections that have gaps. None where too little is left."""
    data = deepcopy(document.data)
    gaps: set[str] = set()
    for _ in range(_ROUNDS):
        places = places_of(error, document)
        gaps.update(str(place[0]) for place in places if place)
        if not _leave_out(data, places):
            return None
        try:
            return Policy.model_validate(data), frozenset(gaps)
        except ValidationError as next_error:
            error = next_error
    return None


def _leave_out(data: dict[str, Any], places: Iterable[Place]) -> bool:
    """Take what is wrong out of `data`. False where that would leave out what others depend on."""
    for place in places:
        if len(place) > 1 and place[0] not in data:
            continue  # its section is gone already
        match place:
            case ("fields" | "tags" as section, str(name), *below) if name in data[section]:
                data[section][name] = _rule(data[section][name], below)
            case ("keep", int(index)) if isinstance(value := data["keep"][index], bool | int | float):
                data["keep"][index] = str(value).lower()
            case ("quality", int(index), "code"):
                data["quality"][index]["code"] = f"rule_{index}"
            case ("quality", int(index), str(name)) if name != "rule":
                data["quality"][index].pop(name, None)
            case ("clean", str(name), *_) | ("value", "max_depth" | "max_bytes" as name):
                data[str(place[0])].pop(name, None)
            case (str(section), *_) if section not in _DECISIVE:
                data.pop(section, None)
                if section in _STAND_INS:
                    data[section] = _STAND_INS[section]
            case _:
                return False
    return True


def _rule(written: Any, below: Collection[str | int]) -> Any:
    """A rule without the part that is wrong; where no transform is left, one that takes everything."""
    if not below or not isinstance(written, dict):
        return "redact"
    rest = {name: part for name, part in written.items() if name not in below}
    return rest if set(rest) - {"element"} else "redact"
