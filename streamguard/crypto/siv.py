"""AES-SIV (RFC 5297) on columns: what a slice of short values costs in a few calls instead of one call each.

`cryptography` seals one value at a time, and half of what that costs is set-up. Here the associated data, which is the
same for a column, is authenticated once, and each step of all values together is one AES-ECB call. The outcome is the
same to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import xor
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.cmac import CMAC
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_BLOCK: Final = 16
_FEW: Final = 64
"""Values below which one call each is cheaper."""
_LONG: Final = 512
"""Bytes of a value above which AES itself is what costs."""


class Siv:
    """AES-SIV with one string of associated data. `key` has 32, 48 or 64 bytes: one half for each of its two parts.

    For one thread.
    """

    def __init__(self, key: bytes, associated: bytes) -> None:
        half = len(key) // 2
        self._one = AESSIV(key)
        self._associated = [associated]
        self._mac_ecb = Cipher(AES(key[:half]), ECB()).encryptor()  # noqa: S305 - the block function, not a mode of use
        self._ctr_ecb = Cipher(AES(key[half:]), ECB()).encryptor()  # noqa: S305
        # CMAC's two subkeys (NIST SP 800-38B), for a last block that is whole and for one that is padded.
        whole = _doubled(self._mac_ecb.update(bytes(_BLOCK)))
        self._whole, self._padded = _array(whole), _array(_doubled(whole))
        # What S2V has summed up when a value's turn comes, and its double.
        before = _xor(_doubled(_cmac(key[:half], bytes(_BLOCK))), _cmac(key[:half], associated))
        self._before, self._before_doubled = _array(before), _array(_doubled(before))

    def seal(self, values: Sequence[bytes]) -> list[bytes]:
        """Synthetic IV (16 bytes) ‖ ciphertext, for each value."""
        if len(values) < _FEW or max(map(len, values)) > _LONG:
            return [self._one.encrypt(value, self._associated) for value in values]
        lengths = np.fromiter(map(len, values), np.intp, len(values))
        blocks = np.maximum(1, -(-lengths // _BLOCK))
        groups = np.unique(blocks).tolist()
        if len(groups) == 1:
            return self._seal_alike(values, lengths, groups[0])
        sealed: list[bytes] = [b""] * len(values)
        for count in groups:
            rows = np.flatnonzero(blocks == count)
            some = [values[row] for row in rows.tolist()]
            for row, payload in zip(rows.tolist(), self._seal_alike(some, lengths[rows], count), strict=True):
                sealed[row] = payload
        return sealed

    def _seal_alike(self, values: Sequence[bytes], lengths: NDArray[np.intp], count: int) -> list[bytes]:
        """Seal values that fill `count` blocks, the last of them perhaps in part."""
        width = count * _BLOCK
        joined = b"".join([value.ljust(width, b"\0") for value in values])
        plain = np.frombuffer(joined, np.uint8).reshape(len(values), width)
        iv = self._iv(plain, lengths, count)
        out = np.empty((len(values), _BLOCK + width), np.uint8)
        out[:, :_BLOCK] = iv
        np.bitwise_xor(plain, self._key_stream(iv, count), out=out[:, _BLOCK:])
        text, step = out.tobytes(), _BLOCK + width
        ends = (lengths + _BLOCK).tolist()
        starts = range(0, step * len(values), step)
        return [text[start : start + end] for start, end in zip(starts, ends, strict=True)]

    def _iv(self, plain: Bytes, lengths: NDArray[np.intp], count: int) -> Bytes:
        """S2V of the associated data and each value (section 2.4)."""
        text = plain.copy()
        rows = np.arange(len(text))
        partial = lengths < count * _BLOCK
        text[rows[partial], lengths[partial]] = 0x80
        last = text[:, -_BLOCK:]
        if count == 1:
            # A whole block takes the sum of before as it is, a shorter one doubled and padded; either way it is whole.
            last ^= np.where(partial[:, None], self._before_doubled, self._before)
            last ^= self._whole
        else:
            places = lengths[:, None] + np.arange(-_BLOCK, 0)
            text[rows[:, None], places] ^= self._before
            last ^= np.where(partial[:, None], self._padded, self._whole)
        state = self._ecb(self._mac_ecb, text[:, :_BLOCK])
        for start in range(_BLOCK, count * _BLOCK, _BLOCK):
            state = self._ecb(self._mac_ecb, state ^ text[:, start : start + _BLOCK])
        return state

    def _key_stream(self, iv: Bytes, count: int) -> Bytes:
        """CTR from the synthetic IV with two bits cleared, so that a counter of 32 bits cannot run over (2.5)."""
        first = iv.copy()
        first[:, [8, 12]] &= 0x7F
        counters = np.repeat(first, count, axis=0).reshape(len(iv), count, _BLOCK)
        if count > 1:
            low = counters[:, :, 12:].copy().view(">u4")[:, :, 0] + np.arange(count, dtype=np.uint32)
            counters[:, :, 12:] = low.astype(">u4")[:, :, None].view(np.uint8)
        return self._ecb(self._ctr_ecb, counters).reshape(len(iv), count * _BLOCK)

    def _ecb(self, cipher: Any, blocks: Bytes) -> Bytes:
        return np.frombuffer(cipher.update(blocks.tobytes()), np.uint8).reshape(blocks.shape)


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def _doubled(block: bytes) -> bytes:
    """Multiplication by x in GF(2^128)."""
    number = int.from_bytes(block)
    return ((number << 1) % 2**128 ^ (0x87 if number >> 127 else 0)).to_bytes(_BLOCK)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(map(xor, one, other))


def _array(block: bytes) -> Bytes:
    return np.frombuffer(block, np.uint8)
