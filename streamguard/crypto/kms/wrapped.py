"""A wrapped data key names the master key that opens it, whichever service that is in.

``sgw1 | master id (6 bytes) | …`` is wrapped by a master key of this machine (`streamguard.crypto.kms.local`);
``sgw2 | length (2 bytes) | master key's name (ASCII) | ciphertext`` by a service.
Both are permanent (docs/wire-format.md).
"""

from __future__ import annotations

from typing import Final

from streamguard.crypto.kms.refused import refused

LOCAL: Final = b"sgw1"
_SERVICE: Final = b"sgw2"


def pack(master: str, ciphertext: bytes) -> bytes:
    """A ciphertext together with the name of the master key that made it."""
    name = master.encode("ascii")
    return _SERVICE + len(name).to_bytes(2) + name + ciphertext


def unpack(wrapped: bytes) -> tuple[str, bytes]:
    """Name and ciphertext out of what `pack` gave; of a key wrapped on this machine, the name alone.

    Raises `KeysUnavailableError` for anything else.
    """
    if wrapped.startswith(LOCAL) and len(wrapped) > 10:
        return f"local:{wrapped[4:10].hex()}", b""
    end = 6 + int.from_bytes(wrapped[4:6])
    name, ciphertext = wrapped[6:end], wrapped[end:]
    if not wrapped.startswith(_SERVICE) or not name or not ciphertext or not name.isascii():
        raise refused(
            "A data key in the store is damaged: it names no master key.", "Restore the store from a backup."
        )
    return name.decode("ascii"), ciphertext


def master_of(wrapped: bytes) -> str:
    """The name of the master key that wrapped this, such as ``vault:transit/streamguard:v3``."""
    return unpack(wrapped)[0]
