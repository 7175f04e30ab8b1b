"""What a policy does to every field, as a table: for `check --explain`, and for the auditor who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from streamguard.formats.base import Form, Leaf
    from streamguard.policy.loader import LoadedPolicy
    from streamguard.policy.models import Policy, Rule

UNCLASSIFIED = "not classified"
KEPT = "kept"


def treatments(loaded: LoadedPolicy, form: Form | None = None) -> list[dict[str, Any]]:
    """For each field, in the schema's order: its path, its types, what happens to it, and what that means.

    The schema is that of `form`, or else the policy's own file.

    ``origin``: what says so: ``fields``, ``keep``, or a tag of the schema. ``leaves_as``: its types then.
    ``reversible``: whoever holds the key gets the value back. ``joins``: equal values stay equal under one element.
    """
    from streamguard.guard.classify import treatments as treatments_of
    from streamguard.policy.paths import Places, parse_path

    policy = _readable(loaded.policy)
    leaves, after = _leaves(loaded, policy, form)
    ours = Places((path, one) for path, one in treatments_of(policy, leaves).items())
    kept = Places((path, path) for path in map(parse_path, policy.keep))
    rows = [_row("$key", ("string",), policy.key if policy.key.verb != "keep" else None)]
    for leaf in leaves:
        found = next(iter(ours.covering(leaf.path)), None)
        if found is not None:
            origin = f"tag {found.tag}" if found.tag else "fields"
            rows.append(_row(str(leaf.path), sorted(leaf.types), found.rule, origin=origin))
        else:
            otherwise, origin = (KEPT, "keep") if kept.covering(leaf.path) else (UNCLASSIFIED, "")
            rows.append(_row(str(leaf.path), sorted(leaf.types), None, otherwise, origin))
    if not leaves:
        named = {*map(str, policy.fields), *policy.keep}
        rows += [
            _row(path, (), policy.fields.get(path), origin="fields" if path in policy.fields else "keep")
            for path in sorted(named)
        ]
    leaving = Places((leaf.path, sorted(leaf.types)) for leaf in after)
    for row, leaf in zip(rows[1:], leaves, strict=False):
        row["leaves_as"] = next(iter(leaving.covering(leaf.path)), [] if after else None)
    return rows


def table(loaded: LoadedPolicy, form: Form | None = None) -> Table:
    """The same for people."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    policy = loaded.policy
    title = f"{policy.name}@{policy.version}: {policy.topic} → {policy.clean_topic}"
    shown = Table(title=title, box=SIMPLE, title_justify="left", title_style="bold")
    for heading in ("field", "type", "what happens", "because of", "leaves as", "reversible", "joins by"):
        shown.add_column(heading, overflow="fold", no_wrap=heading == "field")
    for row in treatments(loaded, form):
        style = {KEPT: "yellow", UNCLASSIFIED: "bold red"}.get(row["treatment"], "")
        reversible = {True: "yes", False: "no", None: ""}[row["reversible"]]
        cells = (
            row["path"],
            " or ".join(row["types"]),
            row["treatment"],
            row["origin"],
            _types(row.get("leaves_as")),
            reversible,
            row["joins"] or "",
        )
        shown.add_row(*(Text(cell, style) for cell in cells))
    return shown


def _types(types: list[str] | None) -> str:
    """What is written of the types that leave: nothing where that is not known, or not described."""
    return "" if types is None else " or ".join(types) or "dropped"


def _row(
    path: str, types: Any, rule: Rule | None, otherwise: str = KEPT, origin: str = "key"
) -> dict[str, Any]:
    from streamguard.transforms.register import register

    kind = register().get(rule.verb) if rule else None
    return {
        "path": path,
        "types": list(types),
        "treatment": written(rule) if rule else otherwise,
        "origin": origin,
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


def _leaves(
    loaded: LoadedPolicy, policy: Policy, form: Form | None
) -> tuple[tuple[Leaf, ...], tuple[Leaf, ...]]:
    """The leaves of the schema, and those of what leaves; none of what cannot be had, which `check` reports."""
    from streamguard.crypto.keyring import Keyring
    from streamguard.errors import ConfigError
    from streamguard.formats.open import declared_form
    from streamguard.guard.corridor import out_form

    leaves: tuple[Leaf, ...] = ()
    try:
        form = form or declared_form(loaded)
        leaves = form.leaves
        return leaves, out_form(policy, form, Keyring.in_memory()).leaves
    except ConfigError:
        return leaves, ()


def _readable(policy: Policy) -> Policy:
    """The policy without the paths that are none, which `check` reports."""
    fields = {path: rule for path, rule in policy.fields.items() if _is_path(path)}
    return policy.model_copy(update={"fields": fields, "keep": list(filter(_is_path, policy.keep))})


def _is_path(text: str) -> bool:
    from streamguard.policy.paths import parse_path

    try:
        parse_path(text)
    except ValueError:
        return False
    return True
