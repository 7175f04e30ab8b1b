"""``fpe``: a text becomes another one of the same length over the same alphabet, by FF1 (NIST SP 800-38G).

Nothing authenticates the result: an edited one decrypts to another plausible text. The characters that are kept are the
tweak, so that numbers with other beginnings or ends are encrypted otherwise.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic

from streamguard.crypto.ff1 import FF1, MINIMUM_DOMAIN, FF1Error
from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.errors import TokenError
from streamguard.transforms.base import DOMAIN, WRITABLE, Field, Options, Origin, Reject, Transform
from streamguard.transforms.lengths import Lengths
from streamguard.transforms.luhn import completing, is_valid
from streamguard.transforms.named_key import named_key

LUHN: Final = "luhn"

ALPHABETS: Final[Mapping[str, str]] = {
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "letters": string.ascii_letters,
    "alphanumeric": string.digits + string.ascii_letters,
}

_NOT_OURS: Final = "This is not what 'fpe' writes under the options of this field."


class FpeOptions(Options):
    """An `alphabet` by name, or its `symbols` in order.

    `keep_first` and `keep_last` count characters that are not separators; they and the `separators` stay. `luhn` takes
    numbers with a valid check digit only, and gives such numbers.
    """

    alphabet: Literal["digits", "lower", "upper", "letters", "alphanumeric"] | None = None
    symbols: Annotated[str, pydantic.Field(min_length=2, max_length=65_536), WRITABLE] | None = None
    keep_first: Annotated[int, pydantic.Field(ge=0, le=64)] = 0
    keep_last: Annotated[int, pydantic.Field(ge=0, le=64)] = 0
    separators: Annotated[str, pydantic.Field(max_length=16), WRITABLE] = ""
    luhn: bool = False

    @pydantic.model_validator(mode="after")
    def _one_alphabet(self) -> FpeOptions:
        if self.alphabet is not None and self.symbols is not None:
            raise ValueError("name an alphabet, or list its symbols, not both")
        if self.symbols is not None and len(set(self.symbols)) != len(self.symbols):
            raise ValueError("an alphabet names each symbol once")
        if any(character.isalnum() or character in self.letters for character in self.separators):
            raise ValueError(
                "separators are spaces and punctuation outside the alphabet; others would pass in the clear"
            )
        if self.luhn and self.letters != string.digits:
            raise ValueError("only digits have a Luhn check digit")
        return self

    @property
    def letters(self) -> str:
        """The alphabet, in order; digits unless another one is given."""
        return self.symbols or ALPHABETS[self.alphabet or "digits"]


@dataclass(frozen=True, slots=True)
class _Split:
    """A text taken apart: what is kept, what is encrypted, and its separators with the pieces between them."""

    head: str
    middle: str
    tail: str
    pieces: list[int]
    separators: list[str]

    @property
    def tweak(self) -> bytes:
        """The kept characters; their counts are the field's, so none of them is mistaken for another."""
        return f"{self.head}\0{self.tail}".encode("utf-8", "surrogatepass") if self.head or self.tail else b""

    def joined(self, middle: str) -> str:
        """The text with another middle."""
        text = self.head + middle + self.tail
        if not self.separators:
            return text
        starts = accumulate(self.pieces, initial=0)
        parts = [text[start : start + length] for start, length in zip(starts, self.pieces, strict=False)]
        return "".join(chain.from_iterable(zip(parts, [*self.separators, ""], strict=True)))


class Fpe(Transform[FpeOptions]):
    """FF1 with AES-256 under the subkey ``fpe`` of the element's pinned key, a column at a time."""

    verb: ClassVar[str] = "fpe"
    Options = FpeOptions
    takes: ClassVar[frozenset[str]] = frozenset({"string"})
    keeps_form = True
    reversible: ClassVar[bool] = True
    messages: ClassVar[Mapping[str, str]] = {
        DOMAIN: "the value is no text of the policy's alphabet, or too short: fewer than a million would be like it",
        LUHN: "the value's check digit is wrong, so that it is none of the numbers that the policy encrypts here",
    }

    def __init__(self, options: FpeOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._cipher: tuple[DataKey, FF1] | None = None
        self._separator = re.compile(f"[{re.escape(options.separators)}]") if options.separators else None

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The encrypted texts; what FF1 cannot take is rejected."""
        key = self.keyring.pinned(self.field.element)
        self.key_id = key.id
        return self._run(values, self._ff1(key).encrypt_many, reject)

    def reverse(self, values: list[Any], origins: Sequence[Origin]) -> list[Any]:
        """The texts, by the key that each record names."""
        found: list[Any] = list(values)
        rows_of: dict[str | None, list[int]] = {}
        for row, origin in enumerate(origins):
            rows_of.setdefault(origin.key_id, []).append(row)
        for key_id, rows in rows_of.items():
            for row, value in zip(rows, self._opened(key_id, [values[row] for row in rows]), strict=True):
                found[row] = value
        return found

    def check(self) -> str | None:
        """Fields of whose values fewer than a million can exist, as far as the schema tells."""
        options, field = self.options, self.field
        if field.enum:
            return f"The schema allows {len(field.enum)} values here: they would be found by trying. Use 'encrypt'."
        lengths = Lengths.of(field, options.separators)
        kept = options.keep_first + options.keep_last + options.luhn
        if lengths.most is not None and (left := self._domain(lengths.most - kept)) < MINIMUM_DOMAIN:
            return (
                f"The longest value that the schema allows leaves {left:,} possibilities beside what is kept, "
                f"and FF1 takes no fewer than {MINIMUM_DOMAIN:,}. Keep less, or use 'encrypt' or 'mask'."
            )
        return None

    def caution(self) -> str | None:
        """Fields of whose values some are too short."""
        options = self.options
        lengths = Lengths.of(self.field, options.separators)
        kept = options.keep_first + options.keep_last + options.luhn
        if lengths.least and self._domain(lengths.least - kept) < MINIMUM_DOMAIN:
            return "The schema allows values that are too short for FF1: their records become violations."
        return None

    def _domain(self, length: int) -> int:
        return int(len(self.options.letters) ** min(max(length, 0), 64))

    def _ff1(self, key: DataKey) -> FF1:
        # Read once: threads that reveal under other keys share this field, and FF1 would not notice a wrong key.
        cipher = self._cipher
        if cipher is None or cipher[0] is not key:
            cipher = self._cipher = (key, FF1(key.subkey(self.verb), self.options.letters))
        return cipher[1]

    def _opened(self, key_id: str | None, values: list[Any]) -> list[Any]:
        """Values under one key."""
        key = named_key(self.keyring, key_id, self.field.element)
        if not isinstance(key, DataKey):
            return [key] * len(values)
        refused: set[int] = set()
        opened = self._run(values, self._ff1(key).decrypt_many, lambda index, _code: refused.add(index))
        return [TokenError(_NOT_OURS) if row in refused else text for row, text in enumerate(opened)]

    def _run(
        self,
        values: list[Any],
        cipher: Callable[[list[str], list[bytes]], list[str | FF1Error]],
        reject: Reject,
    ) -> list[Any]:
        """The column through FF1 in one direction; what it cannot take is rejected and becomes None."""
        luhn = self.options.luhn
        out: list[Any] = [None] * len(values)
        refused: dict[int, str] = {}
        splits: list[tuple[int, _Split]] = []
        for row, value in enumerate(values):
            split = self._split(value) if type(value) is str else None
            if split is None:
                refused[row] = DOMAIN
            elif luhn and not is_valid(split.head + split.middle + split.tail):
                refused[row] = LUHN
            else:
                splits.append((row, split))
        texts = cipher(
            [split.middle[:-1] if luhn else split.middle for _, split in splits],
            [split.tweak for _, split in splits],
        )
        for (row, split), text in zip(splits, texts, strict=True):
            if isinstance(text, FF1Error):
                refused[row] = DOMAIN
            else:
                out[row] = split.joined(text + (completing(split.head + text, split.tail) if luhn else ""))
        for row in sorted(refused):
            reject(row, refused[row])
        return out

    def _split(self, text: str) -> _Split | None:
        """The parts of a text; None when nothing is left beside what is kept."""
        options, pieces, separators = self.options, [], []
        if self._separator is not None and (separators := self._separator.findall(text)):
            between = self._separator.split(text)
            pieces, text = list(map(len, between)), "".join(between)
        end = len(text) - options.keep_last
        if end <= options.keep_first:
            return None
        return _Split(
            text[: options.keep_first], text[options.keep_first : end], text[end:], pieces, separators
        )
