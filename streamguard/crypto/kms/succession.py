"""Master keys that follow one another: the current one wraps, and those of before still unwrap."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.refused import another_master
from streamguard.crypto.kms.wrapped import master_of
from streamguard.errors import KeysUnavailableError


class Succession:
    """Lets a service change its master key, or its key service, without standing still: `streamguard keys rewrap`."""

    def __init__(self, current: Kms, earlier: Sequence[Kms]) -> None:
        self._current = current
        self._all = [current, *earlier]

    @property
    def name(self) -> str:
        return self._current.name

    def opens(self, master: str) -> bool:
        return any(kms.opens(master) for kms in self._all)

    def wrap(self, secret: bytes) -> bytes:
        return self._current.wrap(secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        master = master_of(wrapped)
        refusal = another_master(master)
        for kms in self._all:
            if kms.opens(master):
                try:
                    return kms.unwrap(wrapped)
                except KeysUnavailableError as error:
                    if not error.lasts:
                        raise
                    refusal = error  # two servers may call their keys by one name
        raise refusal

    def health(self) -> None:
        self._current.health()
