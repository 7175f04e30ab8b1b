"""``mask``: all but the first or last few characters become a mask character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import pydantic

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import DOMAIN, WRITABLE, Field, Options, Reject, Transform

_TEXTS: Final = frozenset({str})
_MAX_LAYOUTS: Final = 4096
"""How many layouts a mask remembers. Cards and phone numbers have a handful; free text may have any number."""


class MaskOptions(Options):
    """`keep_first` and `keep_last` count characters that are not separators; `separators` stay where they are."""

    keep_first: Annotated[int, pydantic.Field(ge=0, le=64)] = 0
    keep_last: Annotated[int, pydantic.Field(ge=0, le=64)] = 0
    character: Annotated[str, pydantic.Field(min_length=1, max_length=1), WRITABLE] = "*"
    separators: Annotated[str, pydantic.Field(max_length=16), WRITABLE] = ""

    @pydantic.model_validator(mode="after")
    def _separators_are_punctuation(self) -> MaskOptions:
        if any(character.isalnum() for character in self.separators):
            raise ValueError("separators are spaces and punctuation; letters and digits would pass unmasked")
        if self.character in self.separators:
            raise ValueError("the mask character cannot be a separator too")
        return self


class _Table(dict[int, str]):
    """A table for `str.translate` that turns everything into the mask character, except the separators.

    ASCII is filled in ahead: `__missing__` costs a call per character.
    """

    def __init__(self, options: MaskOptions) -> None:
        super().__init__(dict.fromkeys(range(128), options.character))
        self.update({ord(separator): separator for separator in options.separators})
        self._character = options.character

    def __missing__(self, key: int) -> str:
        return self._character


class _Cuts(dict[Any, tuple[int, str, int]]):
    """How to cut a value, by its layout: keep up to `head`, put `middle`, keep from `tail` on.

    A layout is the value with all but its separators masked, or its length when no separators are kept. Values of one
    layout are cut alike, so each layout is worked out once.
    """

    def __init__(self, options: MaskOptions) -> None:
        super().__init__()
        self._options = options

    def __missing__(self, layout: str | int) -> tuple[int, str, int]:
        options = self._options
        masked = layout if isinstance(layout, str) else options.character * layout
        count, kept = masked.count(options.character), options.keep_first + options.keep_last
        if not count or 2 * kept > count:
            cut = (0, options.character * len(masked), len(masked))
        else:
            head, tail = 0, len(masked)
            for _ in range(options.keep_first):
                head = masked.index(options.character, head) + 1
            for _ in range(options.keep_last):
                tail = masked.rindex(options.character, 0, tail)
            cut = (head, masked[head:tail], tail)
        if len(self) < _MAX_LAYOUTS:
            self[layout] = cut
        return cut


class Mask(Transform[MaskOptions]):
    """Masks a text, or an integer as its decimal text. A value of which more than half would stay is masked whole."""

    verb: ClassVar[str] = "mask"
    Options = MaskOptions
    takes: ClassVar[frozenset[str]] = frozenset({"string", "integer"})
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: "only texts and whole numbers can be masked"}

    def __init__(self, options: MaskOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._table = _Table(options) if options.separators else None
        self._cuts = _Cuts(options)

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The masked texts; anything but text and integers is rejected."""
        texts = values if set(map(type, values)) <= _TEXTS else self._texts(values, reject)
        table = self._table
        layouts = [text.translate(table) for text in texts] if table else map(len, texts)
        return [
            text[:head] + middle + text[tail:]
            for text, (head, middle, tail) in zip(texts, map(self._cuts.__getitem__, layouts), strict=True)
        ]

    def _texts(self, values: list[Any], reject: Reject) -> list[str]:
        """Texts and integers as texts; anything else is rejected, and an empty text."""
        texts = []
        for index, value in enumerate(values):
            if type(value) is int and value.bit_length() <= 64:
                texts.append(str(value))
            elif type(value) is str:
                texts.append(value)
            else:
                reject(index, DOMAIN)
                texts.append("")
        return texts
