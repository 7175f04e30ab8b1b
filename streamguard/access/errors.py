"""Why something is not revealed. Who asks is told little; the audit trail has the `code`."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from streamguard.errors import KeysUnavailableError, StreamGuardError


class AuthenticationError(StreamGuardError):
    """The credentials are not accepted. `code` says why, on the trail and nowhere else."""

    def __init__(self, code: str) -> None:
        super().__init__("The credentials are not accepted.", "Ask whoever runs this service for new ones.")
        self.code = code


class AuthenticationUnavailableError(KeysUnavailableError):
    """The issuer's keys cannot be had now, so nobody it vouches for can be let in."""

    code = "issuer_unavailable"


class AuditUnavailableError(KeysUnavailableError):
    """The trail cannot be written now, so nothing may be revealed."""


class LimitExceeded(StreamGuardError):
    """More values than one person may have within the window. `retry_after` is in whole seconds."""

    def __init__(self, wait: timedelta) -> None:
        self.retry_after = max(1, ceil(wait.total_seconds()))
        super().__init__(
            "That is more values than you may reveal in this time.",
            f"Ask for fewer, or wait {self.retry_after} seconds.",
        )
