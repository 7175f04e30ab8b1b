"""What the tests of transforms share: compiling one for a field, and applying it while noting what it rejects."""

import math
from typing import Any

from hypothesis import strategies as st

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import Field, SubjectTransform, Transform
from streamguard.transforms.register import register

KEYS = Keyring.in_memory()


def compiled(
    verb: str,
    options: dict[str, Any] | None = None,
    *,
    element: str = "orders.x",
    keyring: Keyring = KEYS,
    types: tuple[str, ...] = (),
    enum: tuple[Any, ...] = (),
    text_format: str | None = None,
    **more: Any,
) -> Transform[Any]:
    kind = register()[verb]
    more = {"subject": "customer.id"} | more
    field = Field("orders", "orders", "x", element, frozenset(types), enum, text_format, **more)
    return kind(kind.Options.model_validate(options or {}), field, keyring)


def applied(
    transform: Transform[Any], values: list[Any], subjects: list[Any] | None = None
) -> tuple[list[Any], list[tuple[int, str]]]:
    """The output column, and what was rejected as (index, code). Without `subjects`, all values are one person's."""
    rejected: list[tuple[int, str]] = []

    def reject(index: int, code: str) -> None:
        rejected.append((index, code))

    if isinstance(transform, SubjectTransform) and transform.subject_path is not None:
        return transform.apply_for(values, subjects or ["C1"] * len(values), reject), rejected
    return transform.apply(values, reject), rejected


def outputs(transform: Transform[Any], values: list[Any]) -> list[Any]:
    """The output column, where nothing may be rejected."""
    column, rejected = applied(transform, values)
    assert rejected == []
    return column


def one(verb: str, options: dict[str, Any] | None, value: Any) -> Any:
    """The output for one value, which must be taken."""
    return outputs(compiled(verb, options), [value])[0]


def code_of(verb: str, options: dict[str, Any] | None, value: Any) -> str:
    """The code with which one value is rejected."""
    column, [(index, code)] = applied(compiled(verb, options), [value])
    assert (len(column), index) == (1, 0)
    assert column[0] != value
    return code


integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.text() | integers | floats | st.booleans()
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner | st.none(), max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
# What no JSON holds but a decoder of another format, or a mistake, might hand over.
strange_values = st.one_of(
    st.sampled_from([[math.nan], {"b": math.inf}, 2**64, -(2**63) - 1, 10**400, "\ud800", {"a": math.nan}]),
    st.binary(max_size=20),
    st.builds(object),
    st.sets(st.integers(), max_size=2),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
)
anything = json_values | strange_values
# Letters that occur in no output of ours, so that finding one there means that the input shows.
greek = st.text("αβγδεζηθικλμ", min_size=1, max_size=40)
