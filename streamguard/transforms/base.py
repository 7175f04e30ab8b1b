"""What a transform is.

A transform is one file: a pydantic options model and `apply` over a column of values. Third parties register theirs
through the entry-point group ``streamguard.transforms``; `register` finds one by its verb.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from streamguard.crypto.keyring import Keyring

Reject = Callable[[int, str], None]
"""``reject(index, code)``: the value at `index` cannot be taken; `code` continues ``transform.<verb>.``."""

SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
ANY: Final = SCALARS | {"object", "array"}

DOMAIN: Final = "domain"
"""The code every transform has: not a value that it can take (of another type, too short, not in the alphabet …)."""


def _writable(value: Any) -> Any:
    try:
        orjson.dumps(value)
    except TypeError:
        raise ValueError("cannot be written as JSON: a lone surrogate or an integer beyond 64 bits") from None
    return value


WRITABLE: Final = AfterValidator(_writable)
"""Marks an option that is put into records: what could not leave as JSON is refused when the policy is read."""


class Options(BaseModel):
    """Base of every options model: unknown options are errors, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


@dataclass(frozen=True, slots=True)
class Field:
    """The field a transform is compiled for.

    `path` is as written in the policy; `element` is what keys and authenticated data bind to; `types` are the JSON
    types that the schema allows there (without ``null``; empty when there is no schema); `enum` its permitted values,
    if any; `format` the schema's ``format``, if any.
    """

    policy: str
    topic: str
    path: str
    element: str
    types: frozenset[str] = frozenset()
    enum: tuple[Any, ...] = ()
    format: str | None = None


class _Dropped:
    """The single value `DROP`."""

    def __repr__(self) -> str:
        return "DROP"


DROP: Final = _Dropped()
"""Returned in a column for a value that must disappear together with its name."""


OptionsT = TypeVar("OptionsT", bound=Options)


class Transform(ABC, Generic[OptionsT]):
    """One verb, compiled for one field.

    `takes` are the JSON types that the verb can work on with some choice of options; `reversible` says that whoever
    holds the key gets the value back; `deterministic` that equal values of one element come out equal (an instance may
    differ from its class, by its options); `drops` that `apply` may return `DROP`. `messages` gives each code that
    `apply` may reject with one sentence of ours, which never quotes a value.
    """

    verb: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = Options
    takes: ClassVar[frozenset[str]] = SCALARS
    reversible: ClassVar[bool] = False
    deterministic: bool = True
    drops: ClassVar[bool] = False
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: "the transform cannot take this value"}

    def __init__(self, options: OptionsT, field: Field, keyring: Keyring) -> None:
        self.options = options
        self.field = field
        self.keyring = keyring

    @abstractmethod
    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """Map a column of values (never None) to one of the same length; rejected positions may hold anything.

        A value that cannot be taken is rejected, never raised. Raises KeysUnavailableError when a key is needed and
        cannot be had now: the caller keeps the batch and tries again.
        """

    def check(self) -> str | None:
        """What is wrong with these options for this field, as one sentence; None when nothing is. Run by `check`."""
        return None
