"""JSON Schemas of the files people write, for editors: they complete keys, verbs and options, and underline mistakes.

Made from the same models that read the files, and from the register, so that third-party transforms are completed too.
The schemas accept all that the loaders accept in form; what takes the policy's own schema to judge is for `check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from streamguard.guard.matchers import MATCHERS
from streamguard.guard.policytest import PolicyTests
from streamguard.policy.models import ELEMENT_PATTERN, Policy, TextStep
from streamguard.policy.properties import MECHANISMS, PROTOCOLS, RESERVED, TRANSLATABLE
from streamguard.policy.service import Service
from streamguard.transforms.base import Transform
from streamguard.transforms.register import register

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Node = dict[str, Any]

_SCALARS: Final = ["string", "number", "boolean"]
_VARIABLE: Final[Node] = {"$ref": "#/$defs/Variable"}


def policy_schema() -> Node:
    """The schema of a policy file, with every transform and its options."""
    schema = _schema_of(Policy, "StreamGuard policy")
    definitions = schema["$defs"]
    definitions["Rule"] = _rule(definitions)
    definitions["Step"] = _step()
    properties = schema["properties"]
    properties["key"] = {
        "description": properties["key"]["description"],
        "anyOf": [{"enum": ["keep", "drop"]}, {"$ref": "#/$defs/Rule"}],
    }
    step: Node = {"$ref": "#/$defs/Step"}
    steps: Node = {"anyOf": [step, {"type": "array", "items": step}]}
    properties["clean"] = {**properties["clean"], "additionalProperties": steps}
    return schema


def service_schema() -> Node:
    """The schema of the service file. Whatever is not text may be a ``${VARIABLE}`` as well."""
    schema = _schema_of(Service, "StreamGuard service")
    schema = _with_variables(schema)
    definitions = schema["$defs"]
    definitions["Variable"] = {
        "type": "string",
        "pattern": r"\$\{.+\}",
        "description": "${NAME} or ${NAME:-default}",
    }
    for provider, choice in (
        ("LocalKeys", ("file", "env")), ("VaultKeys", ("token", "token_file")), ("Pkcs11Keys", ("pin", "pin_file")),
    ):  # fmt: skip
        definitions[provider] |= {"oneOf": [{"required": [name]} for name in choice]}
    choices = {
        "security.protocol": {"enum": [*PROTOCOLS, *map(str.lower, PROTOCOLS)]},
        "sasl.mechanism": {"enum": list(MECHANISMS)},
        "sasl.mechanisms": {"enum": list(MECHANISMS)},
    }
    named = {
        name: {"anyOf": [choices[name], _VARIABLE]} if name in choices else {"type": "string"}
        for name in TRANSLATABLE
    }
    schema["properties"]["kafka"] |= {
        "properties": {
            "bootstrap.servers": {"type": "string", "description": "host:9092, several with commas"},
            **named,
        },
        "required": ["bootstrap.servers"],
        "propertyNames": {"not": {"anyOf": [{"enum": list(RESERVED)}, {"pattern": r"^group\."}]}},
        "additionalProperties": {"type": _SCALARS},
    }
    policies = schema["properties"]["policies"]
    schema["properties"]["policies"] = {
        "description": policies.pop("description"), "anyOf": [{"type": "string"}, policies],
    }  # fmt: skip
    return schema


def test_schema() -> Node:
    """The schema of a file of policy tests."""
    schema = _schema_of(PolicyTests, "StreamGuard policy tests")
    matcher = {
        "type": "object",
        "properties": {name: {} for name in MATCHERS},
        "additionalProperties": False,
        "minProperties": 1,
    }
    definitions = schema["$defs"]
    definitions["Record"] |= {"oneOf": [{"required": [name]} for name in ("value", "raw", "tombstone")]}
    definitions["Case"] |= {"oneOf": [{"required": [name]} for name in ("clean", "violations")]}
    definitions["Record"]["properties"]["timestamp"] = {"type": ["string", "integer"]}
    violation = definitions["ExpectedViolation"]
    definitions["ExpectedViolation"] = {"anyOf": [{"type": "string"}, violation]}
    clean = definitions["Clean"]["properties"]
    clean |= {"key": {"anyOf": [{"type": "string"}, matcher]}, "headers": {"type": "object"}}
    clean |= {"timestamp": {"anyOf": [{"type": ["string", "integer"]}, matcher]}, "value": {}}
    return schema


SCHEMAS: Final = {"policy": policy_schema, "service": service_schema, "test": test_schema}
"""Every kind of file with its schema."""


# -- rules and steps -------------------------------------------------------------------------------------------------


def _rule(definitions: Node) -> Node:
    """A transform: its verb alone where it needs no option, or a mapping with its options and the element."""
    kinds = register()
    alone = [
        {"const": verb, "description": _about(kind)} for verb, kind in kinds.items() if _needs_nothing(kind)
    ]
    options = {verb: _options(verb, kind, definitions) for verb, kind in kinds.items()}
    element = {
        "type": "string",
        "pattern": ELEMENT_PATTERN,
        "description": "What the value is; fields of one element join. Default: <topic>.<path>",
    }
    return {
        "anyOf": [
            {"oneOf": alone},
            {
                "type": "object",
                "properties": {**options, "element": element},
                "additionalProperties": False,
                "oneOf": [{"required": [verb]} for verb in kinds],
            },
        ]
    }


def _options(verb: str, kind: type[Transform[Any]], definitions: Node) -> Node:
    schema = kind.Options.model_json_schema(ref_template=f"#/$defs/{verb}.{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{verb}.{name}"] = _tidied(definition)
    tidied: Node = _tidied(schema)
    tidied["description"] = _about(kind)
    tidied["type"] = ["object", "null"] if _needs_nothing(kind) else "object"
    return tidied


def _about(kind: type[Transform[Any]]) -> str:
    return _sentence(kind.__doc__ or "")


def _needs_nothing(kind: type[Transform[Any]]) -> bool:
    try:
        kind.Options.model_validate({})
    except ValidationError:
        return False
    return True


def _step() -> Node:
    values: Node = {"type": [*_SCALARS, "null"]}
    return {
        "anyOf": [
            {"enum": list(get_args(TextStep))},
            {
                "type": "object",
                "properties": {
                    "coerce": {"enum": ["integer", "number", "boolean", "string"]},
                    "default": {**values, "description": "Stands in for a value that is missing or null."},
                    "map": {
                        "type": "object",
                        "additionalProperties": values,
                        "description": "Old values to new ones.",
                    },
                },
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


# -- making pydantic's schemas readable ------------------------------------------------------------------------------


def _schema_of(model: type[BaseModel], title: str) -> Node:
    schema = model.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **_tidied(schema), "title": title}


def _tidied(node: Any) -> Any:
    """Without generated titles, without null for what is simply left out, without defaults that are whole sections."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: Node = {}
    for name, value in node.items():
        if name == "properties":
            kept[name] = {key: _tidied(child) for key, child in value.items()}
        elif name == "default":
            kept |= (
                {}
                if value is None or isinstance(value, dict) or "password" in node.values()
                else {name: value}
            )
        elif name == "description":
            kept[name] = _sentence(str(value))
        elif name not in ("title", "writeOnly") and value not in ("password", "path"):
            kept[name] = _tidied(value)
    if "anyOf" in kept:
        members = [member for member in kept.pop("anyOf") if member != {"type": "null"}]
        kept |= members[0] if len(members) == 1 else {"anyOf": members}
    return kept


def _sentence(text: str) -> str:
    """The first paragraph of a docstring, as plain text."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].replace("``", "'").replace("`", "'").split())


def _with_variables(node: Node) -> Node:
    """Every value that is not any text may be written as a variable, whose content is judged when it is known."""
    changed: Node = dict(node)
    for section in ("properties", "$defs"):
        if section in node:
            changed[section] = {name: _with_variables(child) for name, child in node[section].items()}
    is_leaf = "properties" not in node and "$ref" not in node and node.get("type") not in ("array", "object")
    any_text = node.get("type") == "string" and not {"enum", "const", "pattern"} & node.keys()
    if not is_leaf or any_text:
        return changed
    about: Mapping[str, Any] = {
        name: changed.pop(name) for name in ("description", "default") if name in changed
    }
    members = changed.pop("anyOf", None) or [changed]
    return {**about, "anyOf": [*members, _VARIABLE]}
