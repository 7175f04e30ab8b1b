"""What the HTTP API takes and gives, strictly: another type, a longer text or an unknown name is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamguard.access.purpose import PATTERN
from streamguard.access.shown import KINDS, Kind

MOST_VALUES = 1_000
"""Values in one request."""

Text = Annotated[str, Field(min_length=1, max_length=65_536)]
Name = Annotated[str, Field(min_length=1, max_length=500)]


class Model(BaseModel):
    """Base of all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class TokenValue(Model):
    """A token on its own: it says itself what it is."""

    token: Text = Field(description="sg1.…", examples=["sg1.e.K7dq2mXw0a.b64"])


class FieldValue(Model):
    """What stands in a field of a policy."""

    value: Text = Field(description="The protected value.")
    policy: Name = Field(description="The policy's name.")
    field: Name = Field(description="The path of the field, as the policy writes it.")
    key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None, description="From the record's header sg-keys: fpe and shift_dates need it."
    )
    subject: Name | None = Field(default=None, description="Whose record it is: shift_dates needs it.")


class RevealRequest(Model):
    """A batch of protected values."""

    values: Annotated[list[TokenValue | FieldValue], Field(min_length=1, max_length=MOST_VALUES)]
    purpose: Annotated[str, Field(pattern=rf"^$|{PATTERN}")] = Field(
        default="", description="What for. Policies may ask, and the audit trail keeps it."
    )
    masked: bool = Field(default=False, description="The masked form is enough.")


class Revealed(Model):
    """A value, or its masked form."""

    element: str
    type: Kind = Field(description=KINDS)
    value: Any
    masked: bool


class Fault(Model):
    """What went wrong, in our words."""

    code: str
    message: str


class Refused(Model):
    """Why one value is not revealed: denied, token (malformed, edited, moved) or key_missing (unknown, destroyed)."""

    element: str | None
    error: Fault


class RevealAnswer(Model):
    """One entry for each value, in the order of the request."""

    values: list[Revealed | Refused]


class Problem(Model):
    """Every answer that is no success."""

    error: Fault


class Health(Model):
    """Keys and store answer."""

    status: Literal["ok"]
