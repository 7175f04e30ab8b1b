"""Canaries: marked values that must never come out, and a search that finds them however they are spelled.

Every marked text begins with `STEM`, a word that occurs nowhere else, and goes on with the site it was planted at. So
one search per spelling of the stem finds all of them. Where only digits fit (cards, addresses), the whole value is a
mark.
"""

import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

STEM = "Zq7kanarienvogel"
"""Letters and digits, so that it survives every pattern and every transform; no text in any language has it."""

_SITE = re.compile(rb"([a-z0-9]{1,24})x")
_CODECS = {"": "utf-8", " of UTF-16": "utf-16-le", " of UTF-16BE": "utf-16-be"}
_INFLATED_AT_MOST = 1 << 20


def marked(site: str) -> str:
    """A marked text for a planting site, which is named in lower-case letters and digits without x."""
    return f"{STEM}{site}x"


def sites(data: bytes) -> set[str]:
    """The planting sites whose marked text stands in `data` as it is."""
    parts = data.split(STEM.encode())[1:]
    return {found[1].decode() for part in parts if (found := _SITE.match(part)) is not None}


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that came out: how it is spelled, where in the bytes, and what stands around it."""

    spelling: str
    position: int
    context: bytes


class Search:
    """Looks for the stem, and for more `words`, in any bytes.

    Spelled in capitals or not, in UTF-16, hexadecimal, base64 at every alignment (once, or twice as originals of
    violations are), in escapes of every kind, reversed, and compressed.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        words = [STEM, *words]
        self._exact = sorted({found for word in words for found in _base64(word)})
        # Of these, upper and lower case are looked for alike.
        self._folded = sorted({(name, found.lower()) for word in words for name, found in _escaped(word)})

    def leaks(self, data: bytes) -> list[Leak]:
        """Every spelling found in `data`, at its first place each."""
        return [
            *self._leaks(data, ""),
            *(leak for part in _inflated(data) for leak in self._leaks(part, ", compressed")),
        ]

    def _leaks(self, data: bytes, how: str) -> Iterator[Leak]:
        for text, needles in ((data, self._exact), (data.lower(), self._folded)):
            for name, needle in needles:
                if (place := text.find(needle)) >= 0:
                    yield Leak(name + how, place, data[max(0, place - 60) : place + 100])


def _base64(word: str) -> Iterator[tuple[str, bytes]]:
    for cased in {word, word.lower(), word.upper()}:
        for of, codec in _CODECS.items():
            for once in _digits(cased.encode(codec)):
                yield f"base64{of}", once
                yield f"base64{of}", once.replace(b"+", b"-").replace(b"/", b"_")
                for twice in _digits(once):
                    yield f"base64 of base64{of}", twice


def _digits(data: bytes) -> Iterator[bytes]:
    """The base64 digits that stand for `data` wherever it begins in a longer text: one way for each alignment."""
    for before in range(3):
        text = b64encode(bytes(before) + data + bytes(3))
        yield text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


def _escaped(word: str) -> Iterator[tuple[str, bytes]]:
    plain = word.encode()
    for of, codec in _CODECS.items():
        data = word.encode(codec)
        yield f"plain{of}", data
        yield f"hexadecimal{of}", data.hex().encode()
        yield f"hexadecimal{of}", data.hex(" ").encode()
    yield "reversed", plain[::-1]
    for name, escape in (("percent", b"%%%02x"), ("\\x", b"\\x%02x"), ("\\u", b"\\u%04x"), ("&#", b"&#%d;")):
        yield f"{name} escapes", b"".join(escape % byte for byte in plain)


def _inflated(data: bytes) -> Iterator[bytes]:
    """What zlib and gzip streams in `data` hold, as far as they can be read."""
    for found in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", data):
        try:
            yield zlib.decompressobj(wbits=47).decompress(data[found.start() :], _INFLATED_AT_MOST)
        except zlib.error:
            continue
