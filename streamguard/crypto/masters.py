"""The master keys of a service: the one that wraps, and those that still unwrap what they wrapped before it."""

from __future__ import annotations

from collections.abc import Iterable

from streamguard.crypto.kms.base import Kms
from streamguard.errors import KeysUnavailableError


class Masters:
    """`current` wraps. What is wrapped already is unwrapped by the one that its row names, `current` or `previous`."""

    def __init__(self, current: Kms, previous: Iterable[Kms] = ()) -> None:
        self._current = current
        self._all = [current, *previous]

    @property
    def name(self) -> str:
        """Which master key wraps now; kept beside every wrapped key."""
        return self._current.name

    def wrap(self, secret: bytes) -> bytes:
        """Encrypt a data key (32 bytes) under the current master key. Raises `KeysUnavailableError`."""
        return self._current.wrap(secret)

    def unwrap(self, wrapped: bytes, master: str) -> bytes:
        """The data key that was wrapped under the master key named `master`. Raises `KeysUnavailableError`."""
        refusal: KeysUnavailableError | None = None
        for kms in self._candidates(master):
            try:
                return kms.unwrap(wrapped)
            except KeysUnavailableError as error:
                refusal = refusal or error
        raise refusal or KeysUnavailableError(
            f"A data key was wrapped by another master key than those given: by {master}.",
            "Name that master key under 'keys:' or, when another one wraps now, under 'keys: {previous: [...]}'.",
        )

    def health(self) -> None:
        """Prove that the current master key wraps and unwraps now. Raises `KeysUnavailableError`."""
        self._current.health()

    def _candidates(self, master: str) -> list[Kms]:
        """Who may know this master key: whoever bears its name, or else those of the same provider.

        A provider can know more master keys than the one it is named after: a local file has older lines, and a key
        in the cloud can be given by its alias one day and by its full name the next.
        """
        named = [kms for kms in self._all if kms.name == master]
        return named or [kms for kms in self._all if _provider(kms.name) == _provider(master)]


def _provider(name: str) -> str:
    return name.partition(":")[0]
