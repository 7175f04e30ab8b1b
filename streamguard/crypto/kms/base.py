"""What a key management service is to us: it wraps data keys under a master key that never leaves it."""

from __future__ import annotations

from typing import Protocol


class Kms(Protocol):
    """One provider. Every method raises `KeysUnavailableError` when the service cannot do it now."""

    @property
    def name(self) -> str:
        """Which master key wraps now, such as ``local:3f9a1c0b2d4e``; kept beside every wrapped key."""
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
