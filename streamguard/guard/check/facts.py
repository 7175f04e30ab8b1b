"""A policy, its schema and its paths, for the rules of `check` to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from streamguard.crypto.keyring import Keyring
from streamguard.formats.base import Form, Leaf
from streamguard.guard.classify import first_tag
from streamguard.policy.expected import Place
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.paths import Path, Places, parse_path
from streamguard.policy.problems import Problem, nearest

TEXT: Final = frozenset({"string"})


@dataclass(frozen=True, slots=True)
class Written:
    """A path as it stands in the policy: its text, what it parses to, and its place in the file."""

    text: str
    path: Path
    place: Place
    on_key: bool


class Facts:
    """A policy, its schema and its paths, for the rules to look at."""

    def __init__(self, loaded: LoadedPolicy, form: Form) -> None:
        self.loaded = loaded
        self.policy = loaded.policy
        self.form = form
        self.leaves: tuple[Leaf, ...] = form.leaves
        self.places = form.places
        self.bad_paths: list[Problem] = []
        policy = loaded.policy
        self.fields = [w for name in policy.fields if (w := self._path(name, ("fields", name), on_key=True))]
        self.kept = [w for i, name in enumerate(policy.keep) if (w := self._path(name, ("keep", i)))]
        self.cleaned = [w for name in policy.clean if (w := self._path(name, ("clean", name), on_key=True))]
        skipped = enumerate(policy.inspect.skip)
        self.skipped = [w for i, name in skipped if (w := self._path(name, ("inspect", "skip", i)))]
        self.subject = self._path(policy.subject, ("subject",)) if policy.subject is not None else None

    def report(
        self, place: Place, message: str, code: str, suggestion: str = "", *, on_key: bool = False
    ) -> Problem:
        """An error at a place of the policy's file."""
        on: Literal["key", "value"] = "key" if on_key else "value"
        return self.loaded.document.problem(place, message, code=code, suggestion=suggestion, on=on)

    def warn(self, place: Place, message: str, code: str, suggestion: str = "") -> Problem:
        """A warning at a place of the policy's file."""
        document = self.loaded.document
        return document.problem(place, message, code=code, suggestion=suggestion, severity="warning")

    @cached_property
    def keyring(self) -> Keyring:
        """Keys for transforms that are only looked at."""
        return Keyring.in_memory()

    @cached_property
    def decided(self) -> Places[Written]:
        """What stands under `fields` and `keep`, to be found by its path."""
        return Places((written.path, written) for written in (*self.fields, *self.kept))

    @cached_property
    def tagged(self) -> list[tuple[str, Leaf]]:
        """The leaves that only a tag decides about, each with the tag that counts."""
        found = ((first_tag(self.policy.tags, leaf)[0], leaf) for leaf in self.leaves)
        return [(tag, leaf) for tag, leaf in found if tag and not self.decided.covering(leaf.path)]

    @cached_property
    def known_paths(self) -> dict[str, None]:
        """Every path that the schema has: its leaves and what encloses them."""
        paths = {
            Path(leaf.path.segments[:length]): None
            for leaf in self.leaves
            for length in range(len(leaf.path.segments), 0, -1)
        }
        return {str(path): None for path in paths}

    def nearest_path(self, text: str) -> str:
        """The path of the schema that was probably meant, or empty."""
        known = self.known_paths
        plain = text.removeprefix("$.")
        ending = [path for path in known if path.rpartition(".")[2] == plain.rpartition(".")[2]]
        near = nearest(plain, known) if plain not in known else plain
        return near or (ending[0] if len(ending) == 1 else "")

    def _path(self, text: str, place: Place, *, on_key: bool = False) -> Written | None:
        try:
            return Written(text, parse_path(text), place, on_key)
        except ValueError as error:
            advice = "a path names no position: write [*] for every element" if "[" in text else ""
            message = f"'{text}' is not a path: {error}"
            self.bad_paths.append(self.report(place, message, "bad_path", advice, on_key=on_key))
            return None


def quoted(path: Path | str) -> str:
    """A path as it can be written in YAML anywhere, flow lists included."""
    text = str(path)
    return f'"{text}"' if any(sign in text for sign in "*[]\\") else text


def as_clause(sentence: str) -> str:
    """A transform's sentence as the messages here are written: no full stop."""
    return sentence.removesuffix(".")
