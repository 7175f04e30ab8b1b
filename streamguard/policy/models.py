"""The policy file as pydantic models: what may be written, with its defaults.

Whether a transform exists and takes its options is not known here (transforms are a higher layer, and third parties add
some): a `Rule` holds the verb and its options as written, and `guard.check` holds them against the register.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
_NAME = r"^[A-Za-z0-9_-]{1,64}$"


class Model(BaseModel):
    """Base of every model: unknown keys are errors, instances are frozen, inputs never appear in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def parse_duration(value: Any) -> Any:
    """Read ``14d``, ``90s``, ``250ms`` as a `timedelta`; anything else is left for pydantic to judge."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration, json_schema_input_type=str)]


class Rule(Model):
    """One verb with its options, written ``encrypt`` or ``{encrypt: {deterministic: true}, element: email}``."""

    verb: str
    options: dict[str, Any] = {}
    element: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"verb": data}
        if isinstance(data, dict) and "verb" not in data:
            verbs = [name for name in data if name != "element"]
            if len(verbs) != 1:
                raise ValueError("name exactly one transform, such as {encrypt: {deterministic: true}}")
            (verb,) = verbs
            options = data[verb]
            if options is not None and not isinstance(options, dict):
                raise ValueError(f"the options of '{verb}' are a mapping, such as {{{verb}: {{...}}}}")
            return {"verb": verb, "options": options or {}, "element": data.get("element")}
        return data


class Outputs(Model):
    """The topics a policy writes to; the defaults are ``<topic>.clean`` and ``<topic>.violations``."""

    clean: str | None = Field(default=None, pattern=_TOPIC)
    violations: str | None = Field(default=None, pattern=_TOPIC)


class Value(Model):
    """How the record's value is encoded. `schema` is a file, relative to the policy's own folder or the working one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    format: Literal["json"] = "json"
    schema_file: str | None = Field(default=None, alias="schema")
    max_depth: int = Field(default=64, ge=1, le=200)
    max_bytes: int = Field(default=16_777_216, ge=1)


class Truncate(Model):
    """``timestamp: {truncate: {to: hour}}``: the record's timestamp rounded down, in UTC."""

    to: Literal["second", "minute", "hour", "day"]


class TruncateTimestamp(Model):
    """The wrapper around `Truncate`, as it is written in the file."""

    truncate: Truncate


class Quarantine(Model):
    """What happens to the original of a violation: encrypted and kept for `retain`, or not kept at all (``none``)."""

    retain: Duration | Literal["none"] = timedelta(days=14)


class Inspect(Model):
    """The last look: on by default; `skip` names kept paths whose look-alikes are wanted."""

    enabled: bool = True
    skip: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        if data in ("on", "off"):
            return {"enabled": data == "on"}
        return data


class QualityRule(Model):
    """A CEL expression over the cleaned document that must be true; `code` ends the violation's code."""

    rule: str
    code: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    message: str | None = None


class ViolationLimit(Model):
    """Pause the lane when more than `ratio` of the last `per` records are violations: a bad deploy, not bad records."""

    ratio: float = Field(default=0.5, gt=0, le=1)
    per: int = Field(default=1000, ge=10)


CleanStep = Literal["trim", "lower", "upper", "nfc", "nfkc", "collapse", "coerce"] | dict[str, Any]


class Policy(Model):
    """What every field of one topic is, and what must happen to it."""

    name: str = Field(
        default="", pattern=r"^$|" + _NAME, description="Default: the file's name without its ending."
    )
    version: str = Field(default="", description="Default: a digest of the policy and its schema.")
    topic: str = Field(pattern=_TOPIC, description="The topic to consume.")
    outputs: Outputs = Outputs()
    value: Value = Value()
    key: Rule = Field(
        description="keep, drop, or any transform. There is no default: a key is often a person's id."
    )
    headers: Literal["keep", "drop"] | tuple[str, ...] = ("traceparent",)
    timestamp: Literal["keep", "drop"] | TruncateTimestamp = "keep"
    quarantine: Quarantine = Quarantine()
    subject: str | None = Field(default=None, description="The path of the person whose data this is.")
    undeclared: Literal["reject", "drop", "keep"] = "reject"
    inspect: Inspect = Inspect()
    clean: dict[str, tuple[CleanStep, ...]] = {}
    fields: dict[str, Rule] = {}
    keep: tuple[str, ...] = ()
    quality: tuple[QualityRule, ...] = ()
    violation_limit: ViolationLimit | Literal["off"] = ViolationLimit()
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    commit_interval_ms: int = Field(
        default=200, ge=1, le=5000, description="At most a third of the transaction timeout."
    )

    @property
    def clean_topic(self) -> str:
        """Where protected records go."""
        return self.outputs.clean or f"{self.topic}.clean"

    @property
    def violations_topic(self) -> str:
        """Where explained rejections go."""
        return self.outputs.violations or f"{self.topic}.violations"

    def element(self, path: str) -> str:
        """What the value at `path` is, for key derivation and authenticated data: default ``<topic>.<path>``."""
        rule = self.fields.get(path)
        return (rule and rule.element) or f"{self.topic}.{path}"
