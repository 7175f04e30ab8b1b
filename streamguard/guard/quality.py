"""Quality rules: CEL expressions over the cleaned document, each of which must be true.

CEL (the Common Expression Language, cel.dev) always terminates and touches nothing but what it is given. Handing the
evaluator a whole document costs far more than the rule does, since every value is copied into it, so a rule is compiled
to the few values it reads: ``payment.amount >= 0`` becomes ``__0 >= 0``, with `payment.amount` as the only variable.
All rules are asked as one question first, and one by one only where the answer is not a plain yes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import cel

from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding
from streamguard.policy.models import QualityRule

Names = tuple[str, ...]
Types = Mapping[Names, Collection[str]]

_IDENTIFIER: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_CHAIN: Final = rf"{_IDENTIFIER}(?:\s*\.\s*{_IDENTIFIER})*"
# What a rule is made of, as far as it matters here: names that stand for fields, and what may only look like one.
_TOKEN: Final = re.compile(
    r"//[^\n]*"
    r"|(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"]*\"|'[^']*')"
    r"|[bB]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|[0-9][0-9A-Za-z_.]*"
    rf"|\.\s*{_IDENTIFIER}"
    rf"|\bhas\s*\(\s*(?P<has>{_CHAIN})\s*\)"
    rf"|(?P<chain>{_CHAIN})(?P<call>\s*\()?",
    re.DOTALL,
)
_BOUND: Final = re.compile(rf"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*({_IDENTIFIER})\s*,")
# Words of the language, and its names of types: `type(x) == string`. No field at the top may be read by such a name.
_RESERVED: Final = frozenset(
    {
        "true",
        "false",
        "null",
        "in",
        "int",
        "uint",
        "double",
        "string",
        "bool",
        "bytes",
        "list",
        "map",
        "null_type",
    }
)
_FUNCTIONS: Final = frozenset(
    {
        "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes", "type",
        "dyn", "timestamp", "duration", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate",
        "getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    }
)  # fmt: skip
_SAMPLES: Final[Mapping[str, tuple[Any, ...]]] = {
    "integer": (1,),
    "number": (1.5, 1),
    "string": ("2024-01-01T00:00:00Z", "a"),
    "boolean": (True,),
    "object": ({},),
    "array": ([], [1], ["a"], [True], [{}]),
}
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+)")
_FAILED: Final = object()
"""The result of an evaluation that ended in an error."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule over the values it reads.

    `paths` are the fields that it reads or asks for, as names from the top of the document. `expression` is the rule
    with a variable in the place of each of them.
    """

    rule: QualityRule
    paths: frozenset[Names]
    expression: str
    program: cel.Program


def compile_rule(rule: QualityRule, types: Types | None = None) -> CompiledRule:
    """Compile one rule. `types` gives the JSON types of fields, as far as a schema declares them.

    Raises ConfigError when the rule is not CEL, calls a function that does not exist, or cannot be true or false.
    """
    return _Reader().compile(rule, types or {})


class Quality:
    """The quality rules of a policy, compiled. Raises ConfigError like `compile_rule`."""

    stage = "quality"

    def __init__(self, rules: Sequence[QualityRule], types: Types | None = None) -> None:
        self.reader = _Reader()
        self.rules = [self.reader.compile(rule, types or {}) for rule in rules]
        self.all = cel.compile(" && ".join(f"({rule.expression}\n)" for rule in self.rules) or "true")

    def apply(self, batch: Batch) -> None:
        """Add a finding for every rule that is not true of a document, or that cannot be evaluated for it."""
        for row in batch.live:
            values = self.reader.values(batch.documents[row])
            if _evaluate(self.all, values) is not True:
                for rule in self.rules:
                    result = _evaluate(rule.program, values)
                    if result is not True:
                        batch.reject(row, _finding(rule.rule, result))


class _Reader:
    """Gives every field that rules read a variable, and reads their values out of documents."""

    def __init__(self) -> None:
        self.fields: dict[Names, str] = {}
        self.presence: dict[Names, str] = {}
        self.bound: dict[Names, str] = {}

    def values(self, document: Any) -> dict[str, Any]:
        """The variables for a document. A missing field has none, which is an error for the rule that needs it."""
        values: dict[str, Any] = {}
        for names, variable in chain(self.fields.items(), self.bound.items()):
            value = document
            try:
                for name in names:
                    value = value[name]
            except (LookupError, TypeError):
                continue
            values[variable] = value
        for (*above, last), variable in self.presence.items():
            value = document
            try:
                for name in above:
                    value = value[name]
            except (LookupError, TypeError):
                continue
            if isinstance(value, dict):
                values[variable] = last in value
        return values

    def compile(self, rule: QualityRule, types: Types) -> CompiledRule:
        _program(
            rule, _TOKEN.sub(_top_level_has, rule.rule)
        )  # its own mistakes first, at their own positions
        bound = frozenset(_BOUND.findall(rule.rule))
        paths: set[Names] = set()
        expression = _TOKEN.sub(lambda found: self._replace(found, bound, paths), rule.rule)
        program = _program(rule, expression)
        self.bound.update(
            {(name,): name for name in bound}
        )  # Outside of its macro the name is a field again.
        read = chain(self.fields.items(), self.bound.items())
        known = {variable: types.get(names, ()) for names, variable in read}
        known |= dict.fromkeys(self.presence.values(), ("boolean",))
        _refuse_unknown(rule, program, known.keys() | _RESERVED)
        _refuse_unless_boolean(rule, program, known)
        return CompiledRule(rule, frozenset(paths), expression, program)

    def _replace(self, found: re.Match[str], bound: Collection[str], paths: set[Names]) -> str:
        whole = found[0]
        variables, chain, method = self.fields, found["chain"], ""
        if found["has"]:
            variables, chain = self.presence, found["has"]
        if not chain:
            return whole
        names = tuple(name.strip() for name in chain.split("."))
        if found["call"]:
            *fields, called = names
            names, method = tuple(fields), f".{called}{found['call']}"
        if not names or names[0] in bound or names[0] in _RESERVED:
            return whole
        paths.add(names)
        return variables.setdefault(names, f"__{len(self.fields) + len(self.presence)}") + method


def _top_level_has(found: re.Match[str]) -> str:
    """CEL knows ``has(a.b)`` only; here ``has(note)`` asks for a field at the top, and becomes a word as long."""
    return "true".ljust(len(found[0])) if found["has"] and "." not in found["has"] else found[0]


def _program(rule: QualityRule, expression: str) -> cel.Program:
    try:
        return cel.compile(expression)
    except ValueError as error:
        place = _PLACE.search(str(error))
        where = f" (line {place[1]}, column {place[2]})" if place else ""
        raise ConfigError(f"Quality rule '{rule.code}' is not a CEL expression{where}.") from None


def _refuse_unknown(rule: QualityRule, program: cel.Program, variables: Collection[str]) -> None:
    called = [name for name in program.functions() if name.isidentifier() and name not in _FUNCTIONS]
    if called:
        raise ConfigError(
            f"Quality rule '{rule.code}' calls '{called[0]}', which does not exist.",
            f"The functions are {', '.join(sorted(_FUNCTIONS))}; "
            "the macros are has, all, exists, exists_one, filter and map.",
        )
    unread = [name for name in program.variables() if name not in variables]
    if unread:
        raise ConfigError(f"Quality rule '{rule.code}': it is not clear what '{unread[0]}' refers to.")


def _refuse_unless_boolean(
    rule: QualityRule, program: cel.Program, types: Mapping[str, Collection[str]]
) -> None:
    """Try a rule on sample values: one that yields something, but never true or false, is no rule."""
    results = [_evaluate(program, values) for values in _samples(types)]
    if any(result is not _FAILED for result in results) and not any(
        isinstance(result, bool) for result in results
    ):
        raise ConfigError(
            f"Quality rule '{rule.code}' is not true or false.",
            "A rule is a condition, such as 'payment.amount >= 0'.",
        )


def _samples(types: Mapping[str, Collection[str]]) -> Iterator[dict[str, Any]]:
    """Values for variables of these JSON types. Those of unknown type take each type in turn, all of them the same."""
    for kind, samples in _SAMPLES.items():
        for sample in samples:
            yield {
                variable: sample if not declared or kind in declared else _SAMPLES[min(declared)][0]
                for variable, declared in types.items()
            }


def _evaluate(program: cel.Program, values: dict[str, Any]) -> Any:
    try:
        return program.execute(values)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a panic of the evaluator is no Exception, and one bad record is one violation
        return _FAILED


def _finding(rule: QualityRule, result: Any) -> Finding:
    message = rule.message or f"the rule is not met: {rule.rule}"
    if not isinstance(result, bool):
        message = (
            f"the rule cannot be evaluated, a field that it needs is missing or of another type: {rule.rule}"
        )
    return Finding(f"quality.{rule.code}", Quality.stage, message)
