"""FF1, format-preserving encryption (NIST SP 800-38G and its revision 1 draft, AES only).

A text over an alphabet becomes another text of the same length over the same alphabet. `FF1.encrypt` follows the
standard's algorithm 7 step by step; `FF1.encrypt_many` does the same for a whole column with numpy, one AES call per
round for all values of one length. Both give equal results on equal input.

FF1 authenticates nothing: an edited ciphertext decrypts to another plausible value. FF3 and FF3-1 are withdrawn by
NIST and deliberately absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

MINIMUM_DOMAIN: Final = 1_000_000
"""Fewest possible texts of a length (SP 800-38G rev. 1, section 5.1): below it, values can be found by trying."""

NOT_IN_ALPHABET: Final = "The text holds a symbol that is not in the alphabet."

_ROUNDS: Final = 10
_BLOCK: Final = 16
_LONGEST: Final = 4096
_KEY_BYTES: Final = frozenset({16, 24, 32})

Words = np.ndarray[Any, np.dtype[np.uint64]]


class FF1Error(ValueError):
    """A key, alphabet or text that FF1 cannot take. `code` says which: the text is never quoted.

    ``key``, ``alphabet``, ``length`` (the domain is too small or the text too long), ``symbol`` (outside the alphabet),
    ``tweak``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FF1Radix:
    """FF1 on lists of numerals from 0 to `radix` - 1 (2 to 65,536), under one AES key of 16, 24 or 32 bytes.

    Instances may be shared between threads. A `minimum_domain` below NIST's is for old data and test vectors only.
    """

    def __init__(self, key: bytes, radix: int, *, minimum_domain: int = MINIMUM_DOMAIN) -> None:
        if len(key) not in _KEY_BYTES:
            raise FF1Error("key", "FF1 takes an AES key of 16, 24 or 32 bytes.")
        if not 2 <= radix <= 65_536:
            raise FF1Error("alphabet", "FF1 takes between 2 and 65,536 symbols.")
        self.radix = radix
        self._aes = AES(key)
        self._minimum_domain = minimum_domain

    def encrypt(self, numerals: Sequence[int], tweak: bytes = b"") -> list[int]:
        """The ciphertext. Raises FF1Error."""
        return self._run(numerals, tweak, decrypting=False)

    def decrypt(self, numerals: Sequence[int], tweak: bytes = b"") -> list[int]:
        """The plaintext. Raises FF1Error; a wrong key or edited numerals go unnoticed."""
        return self._run(numerals, tweak, decrypting=True)

    def shape(self, length: int, tweak_length: int) -> Shape:
        """What the standard derives from radix, length and tweak length. Raises FF1Error outside its limits."""
        return _shape(self.radix, length, tweak_length, self._minimum_domain)

    def _run(self, numerals: Sequence[int], tweak: bytes, *, decrypting: bool) -> list[int]:
        """Algorithms 7 and 8 of the standard; the comments name their steps."""
        if not all(0 <= value < self.radix for value in numerals):
            raise FF1Error("symbol", "A numeral is not below the radix.")
        shape = self.shape(len(numerals), len(tweak))
        modulus = (shape.modulus_u, shape.modulus_v)
        a, b = _number(numerals[: shape.u], self.radix), _number(numerals[shape.u :], self.radix)  # 1, 2
        prf = _Prf(self._aes, shape, tweak)
        for turn in reversed(range(_ROUNDS)) if decrypting else range(_ROUNDS):  # 6
            y = prf.number(turn, a if decrypting else b)  # 6.i to 6.iv
            m = modulus[turn % 2]  # 6.v
            a, b = ((b - y) % m, a) if decrypting else (b, (a + y) % m)  # 6.vi to 6.ix
        return _digits(a, self.radix, shape.u) + _digits(b, self.radix, shape.v)

    def run_column(self, numerals: Words, tweaks: list[bytes], shape: Shape, *, decrypting: bool) -> Words:
        """The same for a matrix, a text in each row; tweaks of one length. Only where `shape.fits_words`."""
        modulus = (np.uint64(shape.modulus_u), np.uint64(shape.modulus_v))
        a, b = self._weigh(numerals[:, : shape.u]), self._weigh(numerals[:, shape.u :])
        prf = _ColumnPrf(self._aes, shape, tweaks)
        for turn in reversed(range(_ROUNDS)) if decrypting else range(_ROUNDS):
            m = modulus[turn % 2]
            y = _reduced(prf.blocks(turn, a if decrypting else b)[:, : shape.d], m)
            if decrypting:
                a, b = np.where(b >= y, b - y, b + (m - y)), a
            else:
                total = a + y
                a, b = b, np.where(total >= m, total - m, total)
        return np.hstack([self._spread(a, shape.u), self._spread(b, shape.v)])

    def _weigh(self, numerals: Words) -> Words:
        """NUM_radix of each row."""
        total = np.zeros(len(numerals), dtype=np.uint64)
        for column in numerals.T:
            total = total * np.uint64(self.radix) + column
        return total

    def _spread(self, totals: Words, length: int) -> Words:
        """STR_radix of each row."""
        numerals = np.empty((len(totals), length), dtype=np.uint64)
        for place in reversed(range(length)):
            totals, numerals[:, place] = np.divmod(totals, np.uint64(self.radix))
        return numerals


class FF1:
    """FF1 on texts over `alphabet`: its symbols in order, each once. Otherwise as `FF1Radix`."""

    def __init__(self, key: bytes, alphabet: str, *, minimum_domain: int = MINIMUM_DOMAIN) -> None:
        if len(set(alphabet)) != len(alphabet):
            raise FF1Error("alphabet", "An alphabet names each symbol once.")
        self.alphabet = alphabet
        self._cipher = FF1Radix(key, len(alphabet), minimum_domain=minimum_domain)
        self._values = {symbol: value for value, symbol in enumerate(alphabet)}
        self._codes = np.array([ord(symbol) for symbol in alphabet], dtype="<u4")
        self._order = np.argsort(self._codes)
        self._sorted = self._codes[self._order]

    @staticmethod
    def from_radix(key: bytes, radix: int, *, minimum_domain: int = MINIMUM_DOMAIN) -> FF1Radix:
        """The same cipher on lists of integers, for alphabets that are not text."""
        return FF1Radix(key, radix, minimum_domain=minimum_domain)

    def encrypt(self, text: str, tweak: bytes = b"") -> str:
        """The ciphertext: as long as `text`, over the same alphabet. Raises FF1Error."""
        return self._spelled(self._cipher.encrypt(self._numerals(text), tweak))

    def decrypt(self, text: str, tweak: bytes = b"") -> str:
        """The plaintext. Raises FF1Error; a wrong key or an edited text goes unnoticed."""
        return self._spelled(self._cipher.decrypt(self._numerals(text), tweak))

    def encrypt_many(
        self, texts: Sequence[str], tweaks: Sequence[bytes] | bytes = b""
    ) -> list[str | FF1Error]:
        """A column of ciphertexts, equal to `encrypt` one by one; `tweaks` is one for all or one for each.

        A text that FF1 cannot take stands as its FF1Error in the result: one bad value spoils no column.
        """
        return self._many(texts, tweaks, decrypting=False)

    def decrypt_many(
        self, texts: Sequence[str], tweaks: Sequence[bytes] | bytes = b""
    ) -> list[str | FF1Error]:
        """A column of plaintexts; see `encrypt_many`."""
        return self._many(texts, tweaks, decrypting=True)

    def domain(self, length: int) -> int:
        """How many texts of a length there are."""
        return int(len(self.alphabet) ** length)

    def _numerals(self, text: str) -> list[int]:
        try:
            return [self._values[symbol] for symbol in text]
        except KeyError:
            raise FF1Error("symbol", NOT_IN_ALPHABET) from None

    def _spelled(self, numerals: list[int]) -> str:
        return "".join([self.alphabet[value] for value in numerals])

    def _many(
        self, texts: Sequence[str], tweaks: Sequence[bytes] | bytes, *, decrypting: bool
    ) -> list[str | FF1Error]:
        """Texts of one length, with tweaks of one length, go through the rounds together."""
        own = [tweaks] * len(texts) if isinstance(tweaks, bytes) else list(tweaks)
        groups: dict[tuple[int, int], list[int]] = {}
        for row, (text, tweak) in enumerate(zip(texts, own, strict=True)):
            groups.setdefault((len(text), len(tweak)), []).append(row)
        out: list[str | FF1Error] = [""] * len(texts)
        for lengths, rows in groups.items():
            column = self._group(
                [texts[row] for row in rows], [own[row] for row in rows], lengths, decrypting=decrypting
            )
            for row, result in zip(rows, column, strict=True):
                out[row] = result
        return out

    def _group(
        self, texts: list[str], tweaks: list[bytes], lengths: tuple[int, int], *, decrypting: bool
    ) -> list[str | FF1Error]:
        try:
            shape = self._cipher.shape(*lengths)
        except FF1Error as refused:
            return [refused] * len(texts)
        if not shape.fits_words:
            return [
                self._one(text, tweak, decrypting=decrypting)
                for text, tweak in zip(texts, tweaks, strict=True)
            ]
        numerals, good = self._read(texts, lengths[0])
        spelled = self._write(self._cipher.run_column(numerals, tweaks, shape, decrypting=decrypting))
        error = FF1Error("symbol", NOT_IN_ALPHABET)
        return [text if fine else error for text, fine in zip(spelled, good, strict=True)]

    def _one(self, text: str, tweak: bytes, *, decrypting: bool) -> str | FF1Error:
        try:
            return self.decrypt(text, tweak) if decrypting else self.encrypt(text, tweak)
        except FF1Error as refused:
            return refused

    def _read(self, texts: list[str], length: int) -> tuple[Words, list[bool]]:
        """Texts of one length as a matrix of numerals, and which of them hold symbols of the alphabet only."""
        joined = "".join(texts).encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(joined, dtype="<u4").reshape(-1, length)
        places = np.minimum(np.searchsorted(self._sorted, codes), len(self._sorted) - 1)
        good = (self._sorted[places] == codes).all(axis=1)
        return self._order[places].astype(np.uint64), good.tolist()

    def _write(self, numerals: Words) -> list[str]:
        """A matrix of numerals as texts."""
        length = numerals.shape[1]
        joined = self._codes[numerals].tobytes().decode("utf-32-le", "surrogatepass")
        return [joined[start : start + length] for start in range(0, len(joined), length)]


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything that depends on radix, length and tweak length alone (steps 1 to 5 of algorithm 7)."""

    u: int
    v: int
    b: int
    d: int
    modulus_u: int
    modulus_v: int
    padding: int
    p: bytes

    @property
    def fits_words(self) -> bool:
        """True when both halves leave eight spare bits in 64-bit words, and one AES block holds a round's output."""
        return self.modulus_v < 2**56 and self.d <= _BLOCK


@lru_cache(maxsize=4096)
def _shape(radix: int, length: int, tweak_length: int, minimum_domain: int) -> Shape:
    domain = radix**length if length <= _LONGEST else 0
    if length < 2 or domain < minimum_domain:
        raise FF1Error(
            "length", f"FF1 takes texts of which at least {minimum_domain:,} exist, up to {_LONGEST:,} long."
        )
    if tweak_length >= 2**32:
        raise FF1Error("tweak", "A tweak is shorter than 2^32 bytes.")
    u = length // 2
    v = length - u
    modulus_v = radix**v
    b = -(-(modulus_v - 1).bit_length() // 8)  # 3: ceil(ceil(v * log2(radix)) / 8), exactly
    d = 4 * -(-b // 4) + 4  # 4
    counts = u.to_bytes(1, "big") if u < 256 else (u % 256).to_bytes(1, "big")
    p = b"\x01\x02\x01" + radix.to_bytes(3, "big") + b"\x0a" + counts  # 5
    p += length.to_bytes(4, "big") + tweak_length.to_bytes(4, "big")
    return Shape(u, v, b, d, radix**u, modulus_v, (-tweak_length - b - 1) % _BLOCK, p)


class _Prf:
    """Steps 6.i to 6.iv for one text: the CBC-MAC of P and Q, stretched to d bytes, as a number.

    What no round changes, P and the front of Q, is encrypted once.
    """

    def __init__(self, aes: AES, shape: Shape, tweak: bytes) -> None:
        self._encrypt = Cipher(aes, ECB()).encryptor().update  # noqa: S305 - the standard's own use of AES
        self._shape = shape
        fixed = tweak + bytes(shape.padding)
        whole = len(fixed) // _BLOCK * _BLOCK
        self._front = fixed[whole:]
        self._state = self._chained(int.from_bytes(self._encrypt(shape.p), "big"), fixed[:whole])

    def number(self, turn: int, half: int) -> int:
        """The y of step 6.iv for a round and the half that it reads."""
        tail = self._front + bytes([turn]) + half.to_bytes(self._shape.b, "big")
        r = self._chained(self._state, tail)
        blocks = b"".join((r ^ j).to_bytes(_BLOCK, "big") for j in range(1, -(-self._shape.d // _BLOCK)))
        s = r.to_bytes(_BLOCK, "big") + (self._encrypt(blocks) if blocks else b"")
        return int.from_bytes(s[: self._shape.d], "big")

    def _chained(self, state: int, blocks: bytes) -> int:
        for start in range(0, len(blocks), _BLOCK):
            block = int.from_bytes(blocks[start : start + _BLOCK], "big")
            state = int.from_bytes(self._encrypt((state ^ block).to_bytes(_BLOCK, "big")), "big")
        return state


class _ColumnPrf:
    """The PRF of a column: the blocks that no round changes are encrypted once, the last one or two in each round."""

    def __init__(self, aes: AES, shape: Shape, tweaks: list[bytes]) -> None:
        self._encrypt: Callable[[bytes], bytes] = Cipher(aes, ECB()).encryptor().update  # noqa: S305 - the standard's own use of AES
        self._b = shape.b
        padding = bytes(shape.padding)
        fixed = b"".join([tweak + padding + bytes(1 + shape.b) for tweak in tweaks])
        q = np.frombuffer(fixed, dtype=np.uint8).reshape(len(tweaks), -1)
        changing = -(-(1 + shape.b) // _BLOCK) * _BLOCK
        state = np.frombuffer(self._encrypt(shape.p), dtype=np.uint8)
        state = np.broadcast_to(state, (len(tweaks), _BLOCK))
        for start in range(0, q.shape[1] - changing, _BLOCK):
            state = self._step(state, q[:, start : start + _BLOCK])
        self._state = state
        self._tail = q[:, q.shape[1] - changing :].copy()

    def blocks(self, turn: int, halves: Words) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """R of step 6.ii, one row of 16 bytes per value."""
        tail = self._tail
        tail[:, -self._b - 1] = turn
        tail[:, -self._b :] = halves.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - self._b :]
        state = self._state
        for start in range(0, tail.shape[1], _BLOCK):
            state = self._step(state, tail[:, start : start + _BLOCK])
        return state

    def _step(self, state: Any, block: Any) -> Any:
        return np.frombuffer(self._encrypt((state ^ block).tobytes()), dtype=np.uint8).reshape(-1, _BLOCK)


def _reduced(digits: np.ndarray[Any, np.dtype[np.uint8]], modulus: np.uint64) -> Words:
    """Big-endian bytes modulo `modulus` (< 2^56), by Horner's rule in as few steps as 64-bit words allow."""
    step = 4 if modulus <= 2**32 else 2 if modulus <= 2**48 else 1
    words = (
        digits.view(f">u{step}")
        if digits.flags.c_contiguous
        else np.ascontiguousarray(digits).view(f">u{step}")
    )
    total = np.zeros(len(digits), dtype=np.uint64)
    shift = np.uint64(8 * step)
    for column in words.T:
        total = ((total << shift) | column.astype(np.uint64)) % modulus
    return total


def _number(numerals: Sequence[int], radix: int) -> int:
    """NUM_radix: the numerals as a number, most significant first."""
    total = 0
    for value in numerals:
        total = total * radix + value
    return total


def _digits(number: int, radix: int, length: int) -> list[int]:
    """STR_radix: the `length` numerals of a number, most significant first."""
    numerals = [0] * length
    for place in reversed(range(length)):
        number, numerals[place] = divmod(number, radix)
    return numerals
