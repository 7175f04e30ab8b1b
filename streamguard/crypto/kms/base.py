"""What a key management service is to us: it wraps data keys under a master key that never leaves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

from streamguard.crypto.kms.refused import another_master, refused
from streamguard.crypto.kms.wrapped import master_of, pack, unpack

PROBE: Final = bytes(range(32))
"""What is wrapped and unwrapped to see whether that works; it protects nothing."""


class Kms(Protocol):
    """One provider. Every method raises `KeysUnavailableError` when the service cannot do it now."""

    @property
    def name(self) -> str:
        """Which master key wraps now, such as ``local:3f9a1c0b2d4e``; the service may have to be asked.

        What a wrapped key was really wrapped by says `streamguard.crypto.kms.wrapped.master_of`.
        """
        ...

    def opens(self, master: str) -> bool:
        """Whether keys wrapped by the master key of this name are its to unwrap; nobody is asked."""
        ...

    def wrap(self, secret: bytes) -> bytes:
        """Encrypt a data key (32 bytes) under the master key, authenticated; the result says which master key."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key that `wrap` returned `wrapped` for."""
        ...

    def health(self) -> None:
        """Prove that wrapping and unwrapping both work now."""
        ...


class RemoteKms(ABC):
    """What the providers outside of this process have in common; a subclass says how its service is spoken to.

    `_encrypt` and `_decrypt` raise `KeysUnavailableError` in words of ours; `refused` makes one that lasts.
    """

    @property
    def name(self) -> str:
        return master_of(self.wrap(PROBE))

    def wrap(self, secret: bytes) -> bytes:
        return pack(*self._encrypt(secret))

    def unwrap(self, wrapped: bytes) -> bytes:
        master, ciphertext = unpack(wrapped)
        if not self.opens(master):
            raise another_master(master)
        return self._decrypt(ciphertext)

    def health(self) -> None:
        if self.unwrap(self.wrap(PROBE)) != PROBE:
            raise refused("The key service gives back another key than it was given.", "Do not use it.")

    @abstractmethod
    def opens(self, master: str) -> bool:
        """See `Kms.opens`."""

    @abstractmethod
    def _encrypt(self, secret: bytes) -> tuple[str, bytes]:
        """The name of the master key, and the ciphertext under it."""

    @abstractmethod
    def _decrypt(self, ciphertext: bytes) -> bytes:
        """What `_encrypt` was given."""
