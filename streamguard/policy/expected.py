"""How the models say what may be written, so that an error can tell people in a phrase of ours."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import PydanticCustomError

Place = tuple[str | int, ...]
"""Where a value stands in a document: ``("fields", "customer.ssn", "mask")``."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What may be written in a field: ``Annotated[…, Expected("keep, drop, or a list of header names")]``."""

    phrase: str


def refused(message: str, *, at: Place = (), code: str = "wrong_value", suggestion: str = "") -> Exception:
    """What a validator of a model raises: an error at its value, or at a place below, with what to write instead.

    `message` continues the sentence that the place begins: "must be …", "stands beside …".
    """
    # The text travels in the context: a message template would read the braces in it.
    context = {"message": message, "at": at, "code": code, "suggestion": suggestion}
    return PydanticCustomError("refused", "{message}", context)
