"""What a transform is.

A transform is one file: a pydantic options model, `apply` over a column of values, and `reverse` where it has one.
Third parties register theirs through the entry-point group ``streamguard.transforms``; `register` finds one by its verb.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from streamguard.crypto.keyring import Keyring

Reject = Callable[[int, str], None]
"""``reject(index, code)``: the value at `index` of the column cannot be taken; `code` continues ``transform.<verb>.``."""

SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
ANY: Final = SCALARS | {"object", "array"}


class Options(BaseModel):
    """Base of every options model: unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Field:
    """The field a transform is compiled for.

    `path` is as written in the policy; `element` is what keys and authenticated data bind to; `types` are the JSON types
    that the schema allows there (without ``null``; empty when there is no schema); `enum` its permitted values, if any.
    """

    policy: str
    topic: str
    path: str
    element: str
    types: frozenset[str] = frozenset()
    enum: tuple[Any, ...] = ()


class _Dropped:
    """The single value `DROP`."""

    def __repr__(self) -> str:
        return "DROP"


DROP: Final = _Dropped()
"""Returned in a column for a value that must disappear together with its name."""


O = TypeVar("O", bound=Options)


class Transform(ABC, Generic[O]):
    """One verb, compiled for one field."""

    verb: ClassVar[str]
    Options: ClassVar[type[Options]] = Options
    takes: ClassVar[frozenset[str]] = SCALARS
    reversible: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    def __init__(self, options: O, field: Field, keyring: Keyring) -> None:
        self.options = options
        self.field = field
        self.keyring = keyring

    @abstractmethod
    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """Map a column of values (never None) to a column of the same length; rejected positions may hold anything."""

    def check(self) -> str | None:
        """What is wrong with these options for this field, as one sentence; None when nothing is. Run by `check`."""
        return None
