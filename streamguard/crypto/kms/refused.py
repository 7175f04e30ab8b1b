"""When a key service says no, and not only later."""

from __future__ import annotations

from streamguard.errors import KeysUnavailableError


class Refused(KeysUnavailableError):
    """The service answered, and would answer the same again at once: a person has to act."""


def another_master(master: str) -> Refused:
    """What to raise for a data key that is another master key's."""
    return Refused(
        f"A data key was wrapped by another master key than those given: by {master}.",
        "Add that master key to 'earlier' of the service file's 'keys'.",
    )
