"""What can go wrong, in words that name no personal value.

Every error that reaches a person is a `StreamGuardError`: one sentence for what happened, one for the remedy. Library
exceptions never travel through it (raise ours ``from None``): they carry documents, parameters and credentials.
"""

from __future__ import annotations

from typing import ClassVar


class StreamGuardError(Exception):
    """Something a person has to act on. `remedy` says how; `exit_code` is what a command ends with."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(StreamGuardError):
    """The command or its arguments are wrong: exit code 2."""

    exit_code = 2


class ConfigError(StreamGuardError):
    """A policy, schema or service file is missing, unreadable or refused."""


class UnavailableError(StreamGuardError):
    """Something that a record needs cannot be had *now*. A lane pauses and retries; nothing passes meanwhile.

    `reason` names what is away in logs and metrics. `lasts` when a person has to act first, so that asking again at
    once is of no use.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, remedy: str = "", *, lasts: bool = False) -> None:
        super().__init__(message, remedy)
        self.lasts = lasts


class KeysUnavailableError(UnavailableError):
    """The KMS or the store cannot serve a key now."""

    reason = "keys_unavailable"


class RegistryUnavailableError(UnavailableError):
    """The Schema Registry cannot be asked now."""

    reason = "registry_unavailable"


class SchemaMissingError(StreamGuardError):
    """The Schema Registry has no schema of this id: the fault of the record that names it, and not of the moment."""


class SchemaKindError(ConfigError):
    """A registered schema is of another kind (Avro, Protobuf, JSON Schema, …) than what asks for it can read."""


class KeyMissingError(StreamGuardError):
    """A key that a token names does not exist, or was destroyed. Final: waiting does not bring it back."""


class TokenError(StreamGuardError):
    """A protected token that is malformed, edited, truncated or meant for another element."""
