"""The words that are promised to users, as the code has them: violation codes and metrics."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from streamguard import metrics
from streamguard.formats import json_schema
from streamguard.guard import lookalikes
from streamguard.transforms.register import OWN
from tests.docs.pages import ROOT

STAGES: Final = ("decode", "schema", "quality", "transform", "inspect", "encode", "produce", "guard")
_CODE: Final = re.compile(rf"(?:{'|'.join(STAGES)})\.[a-z_A-Z]+(?:\.[a-z_]+)?")
FAMILIES: Final = {"schema.<keyword>", "quality.<code>", "transform.<verb>.<code>"}
"""Codes whose ends come from elsewhere: the schema's keywords, the policy's rules, other packages."""


def is_code(text: str) -> bool:
    """Whether a text has the form of a violation's code."""
    return _CODE.fullmatch(text) is not None


@cache
def codes() -> frozenset[str]:
    """Every violation code that StreamGuard itself can write, with the families that are open."""
    return frozenset(
        _written()
        | {f"schema.{keyword}" for keyword in json_schema.MESSAGES}
        | {f"inspect.{code}" for code in lookalikes.MESSAGES}
        | {f"transform.{kind.verb}.{code}" for kind in OWN for code in kind.messages if _can_refuse(kind)}
        | FAMILIES
    )


def _can_refuse(kind: type) -> bool:
    """Whether a transform says which codes it has; those that take anything have no messages of their own."""
    return "messages" in vars(kind)


def _written() -> set[str]:
    """The codes that stand in the code as they are, each in a call of ``Finding`` or in a constant."""
    found: set[str] = set()
    for file in (ROOT / "streamguard").rglob("*.py"):
        if "demo" in file.parts or "cli" in file.parts:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        logged = {id(argument) for call in _calls(tree) if _logs(call) for argument in call.args}
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in logged
            and _CODE.fullmatch(node.value)
        }
    return found


def computed_codes() -> set[str]:
    """How the codes begin that are put together when a record is judged: ``schema.`` and whatever follows."""
    return {
        first.value
        for file in (ROOT / "streamguard").rglob("*.py")
        for call in _calls(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call.func, ast.Name) and call.func.id == "Finding" and call.args
        if isinstance(call.args[0], ast.JoinedStr)
        for first in call.args[0].values[:1]
        if isinstance(first, ast.Constant)
    }


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _logs(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in {"debug", "info", "warning", "error"}


def metric_names() -> dict[str, set[str]]:
    """Every metric by the name that dashboards use, with the names of all its series."""
    found: dict[str, set[str]] = {}
    for collector in vars(metrics).values():
        if isinstance(collector, MetricWrapperBase):
            for metric in collector.describe():
                ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(
                    metric.type, [""]
                )
                name = f"{metric.name}_total" if metric.type == "counter" else metric.name
                found[name] = {name, *(f"{metric.name}{end}" for end in ends)}
    return found
