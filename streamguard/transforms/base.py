"""What a transform is.

A transform is one file: a pydantic options model and `apply` over a column of values. Third parties register theirs
through the entry-point group ``streamguard.transforms``; `register` finds one by its verb.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from streamguard.crypto.keyring import Keyring
from streamguard.errors import TokenError

Reject = Callable[[int, str], None]
"""``reject(index, code)``: the value at `index` cannot be taken; `code` continues ``transform.<verb>.``."""

SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
ANY: Final = SCALARS | {"bytes", "object", "array"}
TEXT: Final = frozenset({"string"})

DOMAIN: Final = "domain"
"""The code every transform has: not a value that it can take (of another type, too short, not in the alphabet …)."""

SUBJECT: Final = "subject"
"""The code of a `SubjectTransform` for a record that does not say whose data it is."""

KEY_PATH: Final = "$key"
"""What stands for a path where the record's key is treated."""


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
    if any; `format` the schema's ``format``, if any; `patterns`, `min_length` and `max_length` what every text there
    must meet. `subject` is the path of the person whose data the record is, if the policy names one; `elements` holds
    the policy's other fields that name their element.
    """

    policy: str
    topic: str
    path: str
    element: str
    types: frozenset[str] = frozenset()
    enum: tuple[Any, ...] = ()
    format: str | None = None
    patterns: tuple[str, ...] = ()
    min_length: int = 0
    max_length: int | None = None
    subject: str | None = None
    elements: Mapping[str, str] = field(default_factory=dict)

    def element_of(self, path: str) -> str:
        """The element of another field of this policy."""
        return self.elements.get(path) or f"{self.topic}.{path}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record tells of one of its protected values, for `Transform.reverse`.

    `key_id` is what its ``sg-keys`` header names for the field; `subject` the original value of the field at the
    transform's `subject_path`. None where that is not known.
    """

    key_id: str | None = None
    subject: Any = None


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
    differ from its class, by its options); `drops` that `apply` may return `DROP`; `keeps_form` that whatever a schema
    says of a value holds for its output too. `messages` gives each code that `apply` may reject with one sentence of
    ours, which never quotes a value.

    `key_id` is set by `apply` to the id of the key that it used, where the outputs do not name it themselves: the guard
    then writes it into the record's ``sg-keys`` header. `subject_path` is the field that says whose data a record is,
    for a `SubjectTransform`.
    """

    verb: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = Options
    takes: ClassVar[frozenset[str]] = SCALARS
    reversible: ClassVar[bool] = False
    deterministic: bool = True
    drops: ClassVar[bool] = False
    keeps_form: bool = False
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: "the transform cannot take this value"}
    key_id: str | None = None
    subject_path: str | None = None

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

    def reverse(self, values: list[Any], origins: Sequence[Origin]) -> list[Any]:
        """The originals of a column of protected values, with their types; `origins` has as many entries.

        In place of a value that cannot be opened stands the `TokenError` or `KeyMissingError` that says why. Raises
        KeysUnavailableError when that cannot be found out now.
        """
        return [TokenError(f"What '{self.verb}' wrote cannot be turned back.") for _ in values]

    def gives(self) -> frozenset[str]:
        """The types that values come out with: ``null`` is one of them, and there is none where they disappear."""
        return TEXT

    def check(self) -> str | None:
        """What is wrong with these options for this field, as one sentence; None when nothing is. Run by `check`."""
        return None

    def caution(self) -> str | None:
        """What is allowed here, and may not be meant, as one sentence; None when nothing is. Run by `check`."""
        return None


class SubjectTransform(Transform[OptionsT]):
    """A transform that treats one person's values alike, and other persons' otherwise.

    When `subject_path` is set, the guard calls `apply_for` instead of `apply`.
    """

    @abstractmethod
    def apply_for(self, values: list[Any], subjects: Sequence[Any], reject: Reject) -> list[Any]:
        """`apply`, with each value's subject in the clear: what stands at `subject_path`, None where nothing does.

        A value without a subject is rejected with the code ``subject``.
        """
