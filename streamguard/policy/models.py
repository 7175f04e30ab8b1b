"""The policy file as pydantic models: what may be written, with its defaults.

Whether a transform exists and takes its options is not known here (transforms are a higher layer, and third parties add
some): a `Rule` holds the verb and its options as written, and `guard.check` holds them against the register.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError

from streamguard.policy.expected import Expected, refused
from streamguard.policy.problems import did_you_mean

_DURATION = re.compile(r"([1-9][0-9]{0,5})(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_VERSION = r"^[A-Za-z0-9._-]{1,64}$"
_CODE = r"^[a-z0-9_]{1,64}$"
ELEMENT_PATTERN = r"^[^\s|]{1,200}$"
_TOPIC_PHRASE = "a topic's name: letters, digits, '.', '_' and '-', at most 249"
_NAME_PHRASE = "letters, digits, '_' and '-', at most 64"
_VERSION_PHRASE = "letters, digits, '.', '_' and '-', at most 64"
_ELEMENT_PHRASE = "a name without white space and '|', such as email, at most 200 characters"
_RULE_PHRASE = "a transform, such as encrypt or {mask: {keep_last: 4}}"


class Model(BaseModel):
    """Base of every model: unknown keys are errors, instances are frozen, inputs never appear in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def parse_duration(value: Any) -> Any:
    """Read ``14d``, ``90s``, ``250ms`` as a `timedelta`, and nothing else: a bare 14 could be days or seconds."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    if isinstance(value, timedelta):
        return value
    raise PydanticKnownError("time_delta_type")


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^{_DURATION.pattern}$", "description": "Such as 14d, 12h, 90s"}
    ),
]


class Rule(Model):
    """One verb with its options, written ``encrypt`` or ``{encrypt: {deterministic: true}, element: email}``."""

    verb: str
    options: dict[str, Any] = {}
    element: Annotated[str, Field(pattern=ELEMENT_PATTERN), Expected(_ELEMENT_PHRASE)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_written(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"verb": data}
        if not isinstance(data, dict):
            raise refused(f"must be {_RULE_PHRASE}", code="wrong_type")
        if "verb" in data:
            return data
        verbs = [name for name in data if name != "element"]
        if len(verbs) != 1:
            raise _not_one_verb(verbs)
        (verb,) = verbs
        options = data[verb]
        if options is not None and not isinstance(options, dict):
            advice = f"write {{{verb}: {{…}}}}, or '{verb}' alone"
            raise refused("must have a mapping of options", at=(verb,), code="wrong_type", suggestion=advice)
        return {"verb": verb, "options": options or {}, "element": data.get("element")}


def _not_one_verb(verbs: list[str]) -> Exception:
    example = "such as {encrypt: {deterministic: true}}"
    if not verbs:
        return refused("names no transform", suggestion=f"name exactly one, {example}")
    for name in verbs:
        if advice := did_you_mean(name, ["element"]):
            return refused("is not a known key here", at=(name,), code="unknown_key", suggestion=advice)
    message = f"stands beside '{verbs[0]}', but a field has one transform"
    return refused(message, at=(verbs[1],), suggestion=f"name exactly one, {example}")


TopicName = Annotated[str, Field(pattern=_TOPIC), Expected(_TOPIC_PHRASE)]


class Outputs(Model):
    """The topics a policy writes to; the defaults are ``<topic>.clean`` and ``<topic>.violations``."""

    clean: TopicName | None = Field(default=None, description="Protected records. Default: <topic>.clean")
    violations: TopicName | None = Field(
        default=None, description="Explained rejections. Default: <topic>.violations"
    )


class RegistryUse(Model):
    """Values that name their schema in a Schema Registry; ``registry: true`` takes the defaults.

    `framing` is how they name it: in front of the value, or in a header. `subjects` is how subjects are named under
    which the schemas of clean records are registered.
    """

    framing: Literal["prefix", "header"] = "prefix"
    subjects: Literal["topic", "record", "topic_record"] = "topic"

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        return {} if data is True else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"const": True}, handler(core)]}


class Value(Model):
    """How the record's value is encoded, and how large it may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    format: Literal["json", "avro", "protobuf", "text", "bytes"] = "json"
    schema_file: str | None = Field(
        default=None,
        alias="schema",
        description="The schema's file (JSON Schema, .avsc, .proto): beside the policy, in the folder above, in "
        "../schemas or the working folder.",
    )
    message: str | None = Field(
        default=None, description="The message of a .proto file that values are. Default: its first."
    )
    registry: Annotated[
        RegistryUse | None, Expected("true, or {framing: prefix, subjects: topic}, or left out")
    ] = Field(default=None, description="Values name their schema in the service's Schema Registry.")
    max_depth: int = Field(default=64, ge=1, le=200, description="Nesting that a document may have.")
    max_bytes: int = Field(default=16_777_216, ge=1, description="Size that a value may have.")

    @model_validator(mode="after")
    def _of_a_format_with_schemas(self) -> Self:
        if self.registry is not None and self.format in ("text", "bytes"):
            raise refused(
                f"is for values that have a schema, and {self.format} has none",
                at=("registry",),
                suggestion="leave it out, or name their format: json, avro or protobuf",
            )
        return self


class Truncate(Model):
    """``timestamp: {truncate: {to: hour}}``: the record's timestamp rounded down, in UTC."""

    to: Literal["second", "minute", "hour", "day"]


class TruncateTimestamp(Model):
    """The wrapper around `Truncate`, as it is written in the file."""

    truncate: Truncate


class Quarantine(Model):
    """What happens to the original of a violation: encrypted and kept for `retain`, or not kept at all (``none``)."""

    retain: Annotated[Duration | Literal["none"], Expected("a duration such as 14d, or none")] = Field(
        default=timedelta(days=14), json_schema_extra={"default": "14d"}
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        return {"retain": "none"} if data == "none" else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"const": "none"}, handler(core)]}


class Inspect(Model):
    """The last look: on by default; `skip` names kept paths whose look-alikes are wanted."""

    enabled: bool = True
    skip: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        return {"enabled": data == "on"} if data in ("on", "off") else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["on", "off"]}, handler(core)]}


class QualityRule(Model):
    """A CEL expression over the cleaned document that must be true; `code` ends the violation's code."""

    rule: str = Field(description="Such as: payment.amount >= 0")
    code: Annotated[str, Field(pattern=_CODE), Expected("lower-case letters, digits and '_', at most 64")]
    message: str | None = Field(default=None, description="The violation's message, without any value.")


class ViolationLimit(Model):
    """Pause the lane when more than `ratio` of the last `per` records are violations: a bad deploy, not bad records."""

    ratio: float = Field(default=0.5, gt=0, le=1)
    per: int = Field(default=1000, ge=10)


TextStep = Literal["trim", "lower", "upper", "nfc", "nfkc", "collapse", "coerce"]
STEPS_WITH_VALUE: Final = ("coerce", "default", "map")
"""Clean steps that are written with a value: ``{coerce: integer}``, ``{default: EUR}``, ``{map: {y: true}}``."""


def _clean_step(step: Any) -> Any:
    words = [*get_args(TextStep), *STEPS_WITH_VALUE]
    if isinstance(step, dict) and len(step) == 1 and (name := next(iter(step))) not in STEPS_WITH_VALUE:
        advice = f"write {name} alone" if name in words else did_you_mean(name, words)
        raise refused("is not a step with a value", at=(name,), code="unknown_step", suggestion=advice)
    if isinstance(step, str) and step in ("default", "map"):
        raise refused("must be a step", suggestion=f"write {{{step}: …}}")
    return step


CleanStep = Annotated[
    TextStep | dict[str, Any],
    BeforeValidator(_clean_step),
    Expected(
        "trim, lower, upper, nfc, nfkc, collapse, coerce, {coerce: type}, {default: value} or {map: {from: to}}"
    ),
]


Steps = Annotated[
    tuple[CleanStep, ...],
    BeforeValidator(
        lambda steps: [steps] if isinstance(steps, str | dict) else steps,
        json_schema_input_type=CleanStep | tuple[CleanStep, ...],
    ),
]
"""One step, or several in their order."""


class Policy(Model):
    """What every field of one topic is, and what must happen to it."""

    name: Annotated[str, Field(pattern=r"^$|" + _NAME), Expected(_NAME_PHRASE)] = Field(
        default="", description="Default: the file's name without its ending."
    )
    version: Annotated[str, Field(pattern=r"^$|" + _VERSION), Expected(_VERSION_PHRASE)] = Field(
        default="", description="Default: a digest of the policy and its schema."
    )
    topic: TopicName = Field(description="The topic to consume.")
    outputs: Outputs = Outputs()
    value: Value = Value()
    key: Annotated[Rule, Expected("keep, drop, or a transform such as tokenize")] = Field(
        description="keep, drop, or any transform. There is no default: a key is often a person's id."
    )
    key_format: Literal["text", "json", "avro"] = Field(
        default="text",
        description="How a key is encoded that a transform reads: text, or with its schema in the registry.",
    )
    headers: Annotated[
        Literal["keep", "drop"] | tuple[str, ...], Expected("keep, drop, or a list of header names")
    ] = Field(default=("traceparent",), description="Headers that pass: all, none, or those named.")
    timestamp: Annotated[
        Literal["keep", "drop"] | TruncateTimestamp, Expected("keep, drop, or {truncate: {to: hour}}")
    ] = Field(
        default="keep", description="The record's timestamp; drop puts the time of publishing in its place."
    )
    quarantine: Annotated[Quarantine, Expected("none, or {retain: 14d}")] = Quarantine()
    subject: str | None = Field(default=None, description="The path of the person whose data this is.")
    undeclared: Literal["reject", "drop", "keep"] = Field(
        default="reject", description="What happens to a field that neither the schema nor the policy names."
    )
    inspect: Annotated[Inspect, Expected("on, off, or {skip: [paths]}")] = Inspect()
    clean: dict[str, Steps] = Field(
        default={}, description="Steps that mend a field before it is validated, in their order."
    )
    fields: dict[str, Rule] = Field(default={}, description="The transform of each sensitive field.")
    tags: dict[str, Rule] = Field(
        default={},
        description="The transform of each field that the schema tags so, unless 'fields' or 'keep' name it. Of "
        "several tags, the one that stands first here counts.",
    )
    keep: tuple[str, ...] = Field(default=(), description="The fields that pass as they are.")
    quality: tuple[QualityRule, ...] = Field(default=(), description="CEL rules that a record must meet.")
    violation_limit: Annotated[
        ViolationLimit | Literal["off"], Expected("off, or {ratio: 0.5, per: 1000}")
    ] = ViolationLimit()
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

    @property
    def asks_registry(self) -> bool:
        """Whether it needs a Schema Registry: for values that name their schema there, or for keys that do."""
        return self.value.registry is not None or self.key_format != "text"

    def element(self, path: str) -> str:
        """What the value at `path` is, for key derivation and authenticated data: default ``<topic>.<path>``."""
        rule = self.fields.get(path)
        return (rule and rule.element) or f"{self.topic}.{path}"
