"""When a key service says no, and would say it again at once."""

from __future__ import annotations

from streamguard.errors import KeysUnavailableError


def refused(message: str, remedy: str = "") -> KeysUnavailableError:
    """What to raise when the service answered, and a person has to act: it is not asked again within a call."""
    return KeysUnavailableError(message, remedy, lasts=True)


def another_master(master: str) -> KeysUnavailableError:
    """What to raise for a data key that is another master key's."""
    return refused(
        f"A data key was wrapped by another master key than those given: by {master}.",
        "Add that master key to 'earlier' of the service file's 'keys'.",
    )
