"""The pages people read, taken apart: fenced blocks, links, and what stands between back-ticks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!\!)\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `language` is the first word after the fence, `tags` are the others."""

    page: str
    line: int
    language: str
    tags: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def kind(self) -> str:
        return " ".join((self.language, *self.tags)).strip()


@dataclass(frozen=True)
class Page:
    """One file. `name` is its path from the top of the repository."""

    name: str
    text: str = field(repr=False)

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def blocks(self) -> list[Block]:
        return [self._block(found) for found in _FENCE.finditer(self.text)]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks, of which only the line breaks stay."""
        return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), self.text)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def code(self) -> list[str]:
        """What stands between back-ticks in the prose."""
        return [text.replace("\\|", "|") for text in _CODE.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """The headings, as links to them are written."""
        return {anchor(heading) for heading in _HEADING.findall(self.prose)}

    @property
    def rows(self) -> list[list[str]]:
        """The cells of all tables, row by row."""
        lines = [line for line in self.prose.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]

    def _block(self, found: re.Match[str]) -> Block:
        language, *tags = found["info"].split() or [""]
        line = self.text.count("\n", 0, found.start()) + 1
        text = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        return Block(self.name, line, language, tuple(tags), text)


def anchor(heading: str) -> str:
    """A heading as GitHub links to it: lower case, no punctuation, hyphens for blanks."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def page(name: str) -> Page:
    return Page(name, (ROOT / name).read_text(encoding="utf-8"))


@cache
def pages() -> tuple[Page, ...]:
    """Every page at the top of the repository and under docs/."""
    files = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
    return tuple(page(str(file.relative_to(ROOT))) for file in files)
