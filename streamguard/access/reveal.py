"""The one place where values are revealed, for the command line and the HTTP API alike.

In this order, and never another: who is it; may he; is it within his limit; write it down; open; mask if only a part
may be seen. Whatever fails on the way, nothing after it happens: what cannot be written down is not revealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from streamguard.access.audit import Event, Limit, Trail
from streamguard.access.errors import AuthenticationError, AuthenticationUnavailableError
from streamguard.access.grant import Grant, View
from streamguard.access.masked import Masks
from streamguard.access.opening import Ask, elements, open_all
from streamguard.access.principal import NOBODY, Credential, Principal
from streamguard.crypto.keyring import Keyring
from streamguard.errors import KeyMissingError, KeysUnavailableError, StreamGuardError, TokenError

if TYPE_CHECKING:  # what they stand on comes with an extra, and a desk may do without
    from streamguard.access.authn import Authenticator
    from streamguard.access.authz import Rules

Code = Literal["denied", "token", "key_missing", "keys_unavailable"]

_CODES: Final[Mapping[type[StreamGuardError], Code]] = {
    TokenError: "token",
    KeyMissingError: "key_missing",
    KeysUnavailableError: "keys_unavailable",
}
_DECISIONS: Final[Mapping[View | None, str]] = {"full": "revealed", "masked": "masked", None: "denied"}
_NO_RULES: Final = "access is not configured"
_DENIED: Final = "You may not reveal values of this element for this purpose."
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `topic` is for code that has read the values from that topic itself, never for what a caller says. `masked` asks for
    the partial view even where more would be allowed.
    """

    asks: Sequence[Ask]
    purpose: str = ""
    topic: str | None = None
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One revealed value, or why it is not. `element` is None where that is not known."""

    element: str | None = None
    value: Any = field(default=None, repr=False)
    masked: bool = False
    error: Code | None = None
    message: str = ""
    remedy: str = ""


class Desk:
    """Reveals. Without an authenticator it knows only whoever runs this process; without rules he may do all.

    Every method raises `KeysUnavailableError` when store, KMS or audit trail are away: then nothing was revealed.
    """

    def __init__(
        self,
        keyring: Keyring,
        trail: Trail,
        *,
        authenticator: Authenticator | None = None,
        rules: Rules | None = None,
        limit: Limit | None = None,
        masks: Masks | None = None,
    ) -> None:
        self.keyring = keyring
        self.trail = trail
        self._authenticator = authenticator
        self._rules = rules
        self._limit = limit
        self._masks = masks or Masks({}, keyring)

    def enter(self, credential: Credential) -> Principal:
        """Who shows this credential.

        Raises `AuthenticationError`, after the attempt is on the trail, and `AuthenticationUnavailableError`.
        """
        if self._authenticator is None:
            return Principal.local()
        try:
            return self._authenticator.principal(credential)
        except (AuthenticationError, AuthenticationUnavailableError) as error:
            self.trail.record([Event(NOBODY, "authenticate", "denied", reason=error.code)])
            raise

    def turn_away(self, attempts: int) -> None:
        """Write down that so many credentials were not even looked at: too many from one address had failed."""
        self.trail.record([Event(NOBODY, "authenticate", "throttled", reason="failures", attempts=attempts)])

    def reveal(self, principal: Principal, request: Request) -> list[Answer]:
        """An answer for each value that is asked for, in order. Raises `LimitExceeded` when they are too many."""
        found = elements(request.asks, self.keyring)
        grants = {
            element: self._grant(principal, element, request)
            for element in dict.fromkeys(element for element in found if isinstance(element, str))
        }
        self.trail.record(_events(principal, request, found, grants), self._limit)
        given = [i for i, element in enumerate(found) if isinstance(element, str) and grants[element].view]
        opened = dict(zip(given, open_all([request.asks[i] for i in given], self.keyring), strict=True))
        return [
            self._answer(element, grants[element], opened.get(i))
            if isinstance(element, str)
            else _failed(None, element)
            for i, element in enumerate(found)
        ]

    def _grant(self, principal: Principal, element: str, request: Request) -> Grant:
        wanted: View = "masked" if request.masked else "full"
        if self._rules is None:
            return Grant(wanted, _NO_RULES)
        return self._rules.grant(
            principal, element, purpose=request.purpose, topic=request.topic, wanted=wanted
        )

    def _answer(self, element: str, grant: Grant, value: Any) -> Answer:
        if grant.view is None:
            return Answer(element, error="denied", message=_DENIED)
        if isinstance(value, StreamGuardError):
            return _failed(element, value)
        if grant.view == "masked":
            return Answer(element, self._masks.show(element, value), masked=True)
        return Answer(element, value)


def _code(error: StreamGuardError) -> Code:
    return next(code for kind, code in _CODES.items() if isinstance(error, kind))


def _failed(element: str | None, error: StreamGuardError) -> Answer:
    return Answer(element, error=_code(error), message=error.message, remedy=error.remedy)


def _events(
    principal: Principal,
    request: Request,
    found: Sequence[str | StreamGuardError],
    grants: Mapping[str, Grant],
) -> list[Event]:
    """One event per element, and one for the values that are none of ours."""
    tokens: dict[str, list[str]] = {}
    strangers: dict[Code, list[str]] = {}
    for ask, element in zip(request.asks, found, strict=True):
        if isinstance(element, str):
            tokens.setdefault(element, []).append(ask.text)
        else:
            strangers.setdefault(_code(element), []).append(ask.text)
    who, purpose = principal.name, request.purpose or None
    return [
        *(
            Event(
                who,
                "reveal_masked" if grants[element].view == "masked" else "reveal",
                _DECISIONS[grants[element].view],
                element,
                of,
                purpose,
                grants[element].by[:_LONGEST_REASON],
            )
            for element, of in tokens.items()
        ),
        *(Event(who, "reveal", "refused", None, of, purpose, code) for code, of in strangers.items()),
    ]
