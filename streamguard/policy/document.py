"""A YAML file in which every value knows its line and column.

YAML 1.2: ``on``, ``off``, ``yes`` and ``no`` are words, dates are text, and every key is text, exactly as it is written
(``1.10: keep`` has the key ``1.10``, not ``1.1``). A key that is written twice is an error: of ``ssn: encrypt`` and
``ssn: mask``, nobody should have to guess which one counts. Anchors, aliases and merge keys (``<<: *base``) work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from streamguard.errors import ConfigError
from streamguard.policy.expected import Place
from streamguard.policy.problems import Problem, ProblemsError

MAX_VALUES: Final = 100_000
"""Values a file may unfold to. Aliases of aliases multiply; a policy for a thousand fields needs a few thousand."""

_TAGS: Final = "tag:yaml.org,2002:"
_CONSTRUCTED: Final = frozenset(_TAGS + name for name in ("int", "float", "bool", "null"))
_AS_WRITTEN: Final = frozenset(_TAGS + name for name in ("str", "timestamp", "merge", "value"))
_PATH: Final = re.compile(r"(?:\\.|\[\*\]|[\w.*-])+")
_OTHER_YAML: Final = re.compile(r"^%YAML.*$", re.MULTILINE)
_STAR: Final = re.compile(r"\[\*\]|\.\*|\*\.|^\*$")
_SIMPLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Span:
    """A place in the text: line and column from 1, and how many characters to underline."""

    line: int
    column: int
    length: int = 1


class Document:
    """A parsed file: `data` in plain Python values, and the place of each.

    `secret`, where given, says which places hold values that must never be shown: a line with one of them is not quoted
    in a problem, and while the file is being parsed (who knows yet what is where) none is.
    """

    def __init__(self, file: str, text: str, *, secret: Callable[[Place], bool] | None = None) -> None:
        self.file = file
        self._secret = secret
        self._lines = text.splitlines()
        self._quotable = range(len(self._lines) if secret is None else 0)
        self._hidden: set[int] = set()
        self._problems: list[Problem] = []
        self._count = 0
        self._reader = YAML(typ="safe", pure=True)
        self._reader.composer.warn_double_anchors = False
        self._root = self._compose(text)
        self.data: Any = self._construct(self._root, (), ())
        if self._problems:
            raise ProblemsError(self._problems)
        self._quotable = range(len(self._lines))

    def is_secret(self, place: Place) -> bool:
        """Whether the value at this place must never be shown."""
        return self._secret is not None and self._secret(place)

    def span(self, place: Place, on: Literal["key", "value"] = "value") -> Span:
        """The span of a value or of its key; of the nearest enclosing value when the place does not exist."""
        node, key = self._root, self._root
        for step in place:
            pair = _pair(node, step)
            if pair is None:
                return _span(key, key)
            key, node = pair
        return _span(key if on == "key" else node, key)

    def has(self, place: Place) -> bool:
        """Whether the file has a value at this place."""
        node: Node | None = self._root
        for step in place:
            pair = _pair(node, step) if node is not None else None
            if pair is None:
                return False
            node = pair[1]
        return True

    def problem(
        self,
        place: Place,
        message: str,
        *,
        code: str,
        suggestion: str = "",
        severity: Literal["error", "warning"] = "error",
        on: Literal["key", "value"] = "value",
    ) -> Problem:
        """A problem at a place of this file."""
        return self._at(self.span(place, on), shown(place), message, code, suggestion, severity)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _compose(self, text: str) -> Node | None:
        if found := _OTHER_YAML.search(text):
            span = Span(text.count("\n", 0, found.start()) + 1, 1, len(found[0]))
            raise ProblemsError(
                [self._at(span, "", "this file is read as YAML 1.2", "syntax", "remove the directive")]
            )
        try:
            return self._reader.compose(text)  # type: ignore[no-any-return]
        except MarkedYAMLError as error:
            raise ProblemsError([self._syntax(error)]) from None
        except ReaderError as error:
            before = text[: error.position]
            span = Span(before.count("\n") + 1, error.position - before.rfind("\n"))
            raise ProblemsError(
                [self._at(span, "", "a control character stands here", "syntax", "remove it")]
            ) from None
        except RecursionError:
            raise ProblemsError(
                [self._at(Span(1, 1), "", "the file is nested too deeply", "syntax", "")]
            ) from None
        except (YAMLError, ValueError):
            raise ProblemsError(
                [self._at(Span(1, 1), "", "the file is not YAML 1.2", "syntax", "")]
            ) from None

    def _construct(self, node: Node | None, place: Place, above: tuple[Node, ...]) -> Any:
        self._count += 1
        if node is None:
            return None
        if node in above or self._count > MAX_VALUES:
            if not self._problems or self._count <= MAX_VALUES:
                what = (
                    "an alias refers to what encloses it"
                    if node in above
                    else "aliases unfold to too many values"
                )
                self._report(node, place, what, "syntax", "write the value out")
            return None
        if isinstance(node, ScalarNode):
            if self.is_secret(place):
                self._hidden.update(range(node.start_mark.line, node.end_mark.line + 1))
            return self._scalar(node, place)
        if isinstance(node, SequenceNode):
            return [
                self._construct(item, (*place, index), (*above, node))
                for index, item in enumerate(node.value)
            ]
        return {
            name: self._construct(value, (*place, name), (*above, node))
            for name, value in self._pairs(node, place).items()
        }

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        if node.tag in _AS_WRITTEN:
            return node.value
        if node.tag not in _CONSTRUCTED:
            self._report(
                node, place, f"the tag '{node.tag}' is not known here", "syntax", "write the plain value"
            )
            return None
        try:
            return self._reader.constructor.construct_object(node)
        except (YAMLError, ValueError, LookupError):
            self._report(node, place, "YAML knows no such value", "syntax", "quote it")
            return None

    def _pairs(self, node: Node, place: Place) -> dict[str, Node]:
        """The values of a mapping by name. Its own names win over merged ones; among merged ones, the first wins."""
        own: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if _is_merge(key):
                for source in _merge_sources(value):
                    if source is node or not isinstance(source, MappingNode):
                        advice = "write '<<: *name' of a mapping"
                        self._report(key, place, "'<<' merges mappings only", "syntax", advice)
                    else:
                        merged = {**self._pairs(source, place), **merged}
            elif not isinstance(key, ScalarNode):
                self._report(
                    key, place, "a key must be a word, not a list or a mapping", "syntax", "quote it"
                )
            elif key.value in own:
                message = f"'{key.value}' is written twice (first on line {lines[key.value]})"
                self._report(key, (*place, key.value), message, "duplicate_key", "remove one of the two")
            else:
                own[key.value], lines[key.value] = value, key.start_mark.line + 1
        return {**merged, **own}

    # -- reporting ---------------------------------------------------------------------------------------------------

    def _at(
        self,
        span: Span,
        path: str,
        message: str,
        code: str,
        suggestion: str,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        index = span.line - 1
        source = (
            _printable(self._lines[index]) if index in self._quotable and index not in self._hidden else ""
        )
        return Problem(
            self.file, span.line, span.column, path, message, suggestion, severity, code, span.length, source
        )

    def _report(self, node: Node, place: Place, message: str, code: str, suggestion: str) -> None:
        self._problems.append(self._at(_span(node, node), shown(place), message, code, suggestion))

    def _syntax(self, error: MarkedYAMLError) -> Problem:
        for mark in (error.problem_mark, error.context_mark):
            if mark is not None and (found := self._starred_path(mark.line)):
                span = Span(mark.line + 1, found.start() + 1, len(found[0]))
                message = f"YAML reads the '*' of {found[0]} as a sign of its own"
                return self._at(span, "", message, "quote_path", f'quote this path: "{found[0]}"')
        mark = error.problem_mark or error.context_mark
        span = Span(mark.line + 1, mark.column + 1) if mark else Span(1, 1)
        for signs, message, suggestion in _SYNTAX:
            if signs in (error.problem or ""):
                return self._at(span, "", message, "syntax", suggestion)
        return self._at(
            span, "", "this is not YAML", "syntax", "check the indentation, brackets and quotes here"
        )

    def _starred_path(self, line: int) -> re.Match[str] | None:
        """The first path with a star that stands unquoted on this line."""
        text = self._lines[line] if line < len(self._lines) else ""
        for found in _PATH.finditer(text):
            before = text[: found.start()]
            quoted = before.count('"') % 2 or before.count("'") % 2 or "#" in before
            if _STAR.search(found[0]) and not quoted:
                return found
        return None


def read_document(path: Path, *, what: str, secret: Callable[[Place], bool] | None = None) -> Document:
    """Read a YAML file. `what` names it in errors ("policy"). Raises ConfigError, ProblemsError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        remedy = "Check the path; it is relative to this folder."
        raise ConfigError(f"The {what} '{path}' does not exist.", remedy) from None
    except IsADirectoryError:
        raise ConfigError(f"'{path}' is a folder, not a {what}.", "Name the file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The {what} '{path}' is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError:
        raise ConfigError(f"The {what} '{path}' cannot be read.", "Check its permissions.") from None
    return Document(str(path), text, secret=secret)


def shown(place: Place) -> str:
    """A place as people read it: ``fields.'customer.ssn'.mask``, ``keep[2]``."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _SIMPLE_NAME.fullmatch(step) else f"'{step}'"
            text += f".{name}" if text else name
    return text


_SYNTAX: Final = (
    ("undefined alias", "'*' begins an alias, and no anchor of this name comes before it", "quote the text"),
    ("\\t", "a tab cannot indent YAML", "indent with spaces"),
    ("cannot start any token", "a text cannot begin with this sign", "quote the text"),
    ("mapping values are not", "a second ':' on this line, or a key indented too far", "quote a text with ': '"),
    ("sequence entries are not", "a list item cannot begin here", "put '-' on a line of its own"),
    ("unexpected end of stream", "a quote is opened and never closed", "close the quote"),
    ("expected ',' or ']'", "a list is not closed, or a comma is missing", "check the brackets above"),
    ("expected ',' or '}'", "a mapping is not closed, or a comma is missing", "check the braces above"),
    ("expected <block end>", "the text goes on where a key was expected", "check the indentation and the quotes"),
    ("could not find expected ':'", "a key without a ':'", "write 'key: value'"),
    ("found another document", "the file holds a second document ('---')", "one file, one document"),
)  # fmt: skip


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " if sign == "\t" else "�" for sign in text)


def _pair(node: Node | None, step: str | int) -> tuple[Node, Node] | None:
    """Key node and value node of one step down; merged mappings are looked at last."""
    if isinstance(node, SequenceNode):
        return (node.value[step],) * 2 if isinstance(step, int) and step < len(node.value) else None
    if not isinstance(node, MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, ScalarNode) and not _is_merge(key) and key.value == step:
            return key, value
    for key, value in node.value:
        if _is_merge(key):
            for source in _merge_sources(value):
                if source is not node and (pair := _pair(source, step)):
                    return pair
    return None


def _is_merge(key: Node) -> bool:
    return bool(key.tag == _TAGS + "merge")


def _merge_sources(value: Node) -> list[Node]:
    return value.value if isinstance(value, SequenceNode) else [value]


def _span(node: Node | None, fallback: Node | None) -> Span:
    """The first line of a node; a block (which begins on its key's next line) is shown by its key."""
    if node is None:
        return Span(1, 1)
    if isinstance(node, CollectionNode) and not node.flow_style and fallback is not None:
        node = fallback
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Span(start.line + 1, start.column + 1, max(length, 1))
