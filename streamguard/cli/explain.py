"""What a policy does to every field, as a table: for `check --explain`, and for the auditor who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from streamguard.formats.json_schema import Leaf
    from streamguard.policy.loader import LoadedPolicy
    from streamguard.policy.models import Rule

UNCLASSIFIED = "not classified"
KEPT = "kept"


def treatments(loaded: LoadedPolicy) -> list[dict[str, Any]]:
    """For each field, in the schema's order: its path, its types, what happens to it, and what that means.

    ``reversible``: whoever holds the key gets the value back. ``joins``: equal values stay equal under one element.
    """
    policy = loaded.policy
    fields, kept = list(policy.fields.items()), list(policy.keep)
    leaves = _leaves(loaded)
    rows = [_row("$key", ("string",), policy.key if policy.key.verb != "keep" else None)]
    named = {path for path, _ in fields} | set(kept)
    for leaf in leaves:
        path = str(leaf.path)
        rule = next((rule for name, rule in fields if _covers(name, leaf)), None)
        is_kept = any(_covers(name, leaf) for name in kept)
        rows.append(
            _row(path, sorted(leaf.types), rule, UNCLASSIFIED if rule is None and not is_kept else KEPT)
        )
    if not leaves:
        rows += [_row(path, (), policy.fields.get(path)) for path in sorted(named)]
    return rows


def table(loaded: LoadedPolicy) -> Table:
    """The same for people."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    policy = loaded.policy
    title = f"{policy.name}@{policy.version}: {policy.topic} → {policy.clean_topic}"
    shown = Table(title=title, box=SIMPLE, title_justify="left", title_style="bold")
    for heading in ("field", "type", "what happens", "reversible", "joins by"):
        shown.add_column(heading, overflow="fold", no_wrap=heading == "field")
    for row in treatments(loaded):
        style = {KEPT: "yellow", UNCLASSIFIED: "bold red"}.get(row["treatment"], "")
        reversible = {True: "yes", False: "no", None: ""}[row["reversible"]]
        cells = (row["path"], " or ".join(row["types"]), row["treatment"], reversible, row["joins"] or "")
        shown.add_row(*(Text(cell, style) for cell in cells))
    return shown


def _row(path: str, types: Any, rule: Rule | None, otherwise: str = KEPT) -> dict[str, Any]:
    from streamguard.transforms.register import register

    kind = register().get(rule.verb) if rule else None
    return {
        "path": path,
        "types": list(types),
        "treatment": written(rule) if rule else otherwise,
        "reversible": kind.reversible if kind else None,
        "joins": rule.element if rule else None,
    }


def written(rule: Rule) -> str:
    """A rule as it is written in a policy: ``mask {keep_last: 4}``."""
    options = ", ".join(f"{name}: {_value(value)}" for name, value in rule.options.items())
    return f"{rule.verb} {{{options}}}" if options else rule.verb


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def _leaves(loaded: LoadedPolicy) -> tuple[Leaf, ...]:
    from streamguard.errors import ConfigError
    from streamguard.formats.json_schema import Schema

    try:
        return Schema(loaded.schema).leaves if loaded.schema is not None else ()
    except ConfigError:  # check reports it
        return ()


def _covers(path: str, leaf: Leaf) -> bool:
    from streamguard.policy.paths import parse_path

    try:
        return parse_path(path).covers(leaf.path)
    except ValueError:  # check reports it
        return False
