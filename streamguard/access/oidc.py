"""JSON Web Tokens (RFC 7519) of the issuers that the service file names, verified after RFC 8725.

The algorithm is one that is written down for the issuer, never what the token asks for; keys come from the issuer's
own address alone. A token must say until when, for whom, from whom and about whom it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import jwt

from streamguard.access.errors import AuthenticationError
from streamguard.access.jwks import IssuerKeys
from streamguard.access.principal import Principal, is_name, roles_from
from streamguard.policy.service import Issuer

_LONGEST: Final = 16_384
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

# The first that fits counts: most are subclasses of the last.
_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.ExpiredSignatureError, "token_expired"),
    (jwt.ImmatureSignatureError, "token_not_yet"),
    (jwt.InvalidAudienceError, "token_audience"),
    (jwt.InvalidIssuerError, "token_issuer"),
    (jwt.InvalidAlgorithmError, "token_algorithm"),
    (jwt.InvalidSignatureError, "token_signature"),
    (jwt.InvalidKeyError, "token_algorithm"),
    (jwt.MissingRequiredClaimError, "token_claims"),
)


class Oidc:
    """Turns tokens of these issuers into principals."""

    def __init__(self, issuers: Sequence[Issuer], keys: Sequence[IssuerKeys] | None = None) -> None:
        found = keys or [IssuerKeys(issuer) for issuer in issuers]
        self._issuers = {issuer.issuer: (issuer, of) for issuer, of in zip(issuers, found, strict=True)}

    def principal(self, token: str) -> Principal:
        """Whom a token is about.

        Raises AuthenticationError, and AuthenticationUnavailableError when the issuer's keys cannot be had.
        """
        try:
            return self._verified(token)
        except jwt.PyJWTError as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), "token_malformed")
        # What no token of an issuer's makes the library raise.
        except (ValueError, TypeError, RecursionError):
            code = "token_malformed"
        raise AuthenticationError(code) from None

    def _verified(self, token: str) -> Principal:
        if len(token) > _LONGEST:
            raise AuthenticationError("token_malformed")
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        if not isinstance(claimed, str) or claimed not in self._issuers:
            raise AuthenticationError("token_issuer")
        issuer, keys = self._issuers[claimed]
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise AuthenticationError("token_algorithm")
        if not isinstance(key_id, str) or "crit" in header:
            raise AuthenticationError("token_malformed")
        key = keys.find(key_id)
        if key.key_type != _KEY_TYPES[algorithm[:2]]:
            raise AuthenticationError("token_algorithm")
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway,
            options={"require": list(_REQUIRED)},
        )
        subject = claims["sub"]
        if not is_name(name := f"{issuer.issuer}#{subject}") or not is_name(subject):
            raise AuthenticationError("token_claims")
        return Principal(f"oidc:{name}", roles_from(_claim(claims, issuer.roles)), "oidc")


def _claim(claims: Any, name: str) -> Any:
    """A claim of this very name, or else the one that its dots lead to."""
    if name in claims:
        return claims[name]
    for part in name.split("."):
        if not isinstance(claims, dict) or part not in claims:
            return None
        claims = claims[part]
    return claims
