"""Reading a policy file and the schema it names.

The schema's file is looked for beside the policy, in the folder above it, in ``../schemas``, and in the working folder;
the first one found counts. Every problem of the file is collected before anything is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from streamguard.errors import ConfigError
from streamguard.policy.document import Document, read_document
from streamguard.policy.gaps import read_around
from streamguard.policy.models import Policy
from streamguard.policy.problems import Problem, ProblemsError, nearest
from streamguard.policy.wording import problems_of

TEST_SUFFIXES: Final = (".test.yaml", ".test.yml")
"""Endings of policy tests, which sit beside the policies."""

_SCHEMA_SUFFIXES: Final = (".json", ".avsc", ".proto")
_POLICY_SUFFIXES: Final = (".yaml", ".yml")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy as it was read, with what is needed to use it and to talk about it.

    `policy` has its name and version filled in; `schema` is the parsed schema (of a .proto file, its text), None when
    the policy names none; `schema_path` is its file; `document` knows the place of every value. `gaps` are the sections
    (``schema`` among them) that `look_at` could not read: a policy that has any is there to be checked, not to be used.
    """

    policy: Policy
    path: Path
    schema: Any
    schema_path: Path | None
    document: Document
    gaps: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """The policy's version: as written, or a digest of the policy and its schema."""
        return self.policy.version


def load_policy(path: Path | str) -> LoadedPolicy:
    """Read and validate a policy. Raises ProblemsError with every problem, ConfigError when a file cannot be read."""
    loaded, problems = look_at(path)
    if loaded is None or problems:
        raise ProblemsError(problems)
    return loaded


def look_at(path: Path | str) -> tuple[LoadedPolicy | None, list[Problem]]:
    """What can be read of a policy, and what is wrong with the rest.

    Raises ProblemsError where the file is no YAML, ConfigError when it cannot be read.
    """
    path = Path(path)
    document = read_document(path, what="policy")
    policy, gaps, problems = _validated(document)
    schema_path, schema, schema_bytes = None, None, b""
    named = _named_schema(document)
    if named is not None:
        of_schema: list[Problem] = []
        schema_path = find_schema(path, named)
        if schema_path is None:
            of_schema.append(_missing_schema(document, path, named))
        else:
            schema_bytes = _read_schema(document, schema_path, of_schema)
            schema = _parse_schema(document, schema_path, schema_bytes, of_schema)
        gaps |= {"schema"} if of_schema else set()
        problems += of_schema
    if policy is None:
        return None, problems
    policy = policy.model_copy(
        update={
            "name": policy.name or default_name(path),
            "version": policy.version or _digest(document.data, schema_bytes),
        }
    )
    return LoadedPolicy(policy, path, schema, schema_path, document, gaps), problems


def look_at_all(paths: Iterable[Path]) -> tuple[list[LoadedPolicy], list[Problem]]:
    """What can be read of several policies, and what is wrong with the rest. Raises nothing for what a file holds."""
    policies: list[LoadedPolicy] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            policy, found = look_at(path)
        except ProblemsError as error:
            problems += error.problems
        except ConfigError as error:
            problems.append(Problem(str(path), 0, 0, "", error.message, error.remedy, code="missing_file"))
        else:
            policies += [policy] if policy is not None else []
            problems += found
    return policies, problems


def default_name(path: Path) -> str:
    """``orders`` for ``policies/orders.yaml``."""
    return _NOT_IN_NAMES.sub("-", path.stem)[:64]


def find_policies(paths: Iterable[Path]) -> list[Path]:
    """The policy files among files and folders (of which each gives its ``*.yaml`` and ``*.yml``), without tests."""
    found: dict[Path, None] = {}
    for path in paths:
        files = sorted(f for f in path.iterdir() if f.suffix in _POLICY_SUFFIXES) if path.is_dir() else [path]
        found |= dict.fromkeys(file for file in files if not file.name.endswith(TEST_SUFFIXES))
    return list(found)


def find_schema(policy: Path, named: str) -> Path | None:
    """The schema file that a policy means by `named`, or None when there is none."""
    return next((folder / named for folder in _schema_folders(policy) if (folder / named).is_file()), None)


def _schema_folders(policy: Path) -> list[Path]:
    home = policy.parent
    return [home, home.parent if home.name else home / "..", home / ".." / "schemas", Path()]


def _validated(document: Document) -> tuple[Policy | None, frozenset[str], list[Problem]]:
    """The policy, as far as it can be read; the sections with gaps; and what is wrong with them."""
    if not isinstance(document.data, dict):
        what = "the file is empty" if document.data is None else "a policy is a mapping"
        problem = document.problem((), what, code="missing", suggestion="begin with 'topic: …'")
        return None, frozenset(), [problem]
    try:
        return Policy.model_validate(document.data), frozenset(), []
    except ValidationError as error:
        policy, gaps = read_around(document, error) or (None, frozenset())
        return policy, gaps, problems_of(error, Policy, document)


def _named_schema(document: Document) -> str | None:
    value = document.data.get("value") if isinstance(document.data, dict) else None
    named = value.get("schema") if isinstance(value, dict) else None
    return named if isinstance(named, str) else None


def _missing_schema(document: Document, path: Path, named: str) -> Problem:
    folders = _schema_folders(path)
    known = {
        file.name
        for folder in {*folders, *(f / "schemas" for f in folders)}
        for ending in _SCHEMA_SUFFIXES
        for file in folder.glob(f"*{ending}")
    }
    near = nearest(Path(named).name, known)
    return document.problem(
        ("value", "schema"),
        f"the schema '{named}' is not beside the policy, above it, in ../schemas or in the working folder",
        code="missing_file",
        suggestion=f"did you mean '{near}'?" if near else "",
    )


def _read_schema(document: Document, path: Path, problems: list[Problem]) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        message = f"the schema '{path}' cannot be read"
        advice = "check its permissions"
        problems.append(
            document.problem(("value", "schema"), message, code="missing_file", suggestion=advice)
        )
        return b""


def _parse_schema(document: Document, path: Path, text: bytes, problems: list[Problem]) -> Any:
    if problems and not text:
        return None
    form = document.data["value"].get("format", "json")
    try:
        if form == "protobuf":
            return text.decode()
        schema = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        message = f"the schema '{path}' is not JSON: line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError:
        message = f"the schema '{path}' is not UTF-8 text"
    except RecursionError:
        message = f"the schema '{path}' is nested too deeply"
    except _DuplicateError as error:
        message = f"the schema '{path}' writes '{error}' twice in one object"
    else:
        if isinstance(schema, dict) or form == "avro":
            return schema
        message = f"the schema '{path}' is not a JSON object"
    advice = "mend the schema file"
    problems.append(document.problem(("value", "schema"), message, code="bad_schema", suggestion=advice))
    return None


class _DuplicateError(ValueError):
    """A name that an object of the schema has twice."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in pairs:
        if name in names:
            raise _DuplicateError(name)
        names[name] = value
    return names


def _digest(data: dict[str, Any], schema: bytes) -> str:
    """12 hex digits that change with the meaning of the policy or with its schema, not with its layout or comments."""
    written = {name: value for name, value in data.items() if name not in ("name", "version")}
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha256(canonical + b"\n" + schema).hexdigest()[:12]
