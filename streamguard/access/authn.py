"""Authentication: from what a caller shows to a principal, or to an error with a code for the trail."""

from __future__ import annotations

from collections.abc import Mapping

from streamguard.access.errors import AuthenticationError
from streamguard.access.oidc import Oidc
from streamguard.access.principal import Credential, Principal
from streamguard.access.tokens import PREFIX, StaticTokens, load_tokens
from streamguard.policy.service import Access


class Authenticator:
    """Knows who is who, after the service file's ``access:``."""

    def __init__(
        self,
        oidc: Oidc | None = None,
        tokens: StaticTokens | None = None,
        certificates: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._oidc = oidc
        self._tokens = tokens
        self._certificates = certificates or {}

    @classmethod
    def of(cls, access: Access) -> Authenticator:
        """The authenticator of a service. Raises ConfigError for a tokens file that cannot be used."""
        return cls(
            Oidc(access.issuers) if access.issuers else None,
            load_tokens(access.tokens) if access.tokens else None,
            access.certificates.subjects if access.certificates else None,
        )

    def principal(self, credential: Credential) -> Principal:
        """Who shows this credential. A bearer token counts before a certificate.

        Raises AuthenticationError, and AuthenticationUnavailableError when an issuer's keys cannot be had now.
        """
        if credential.bearer is not None:
            return self._bearer(credential.bearer)
        if credential.certificate is not None:
            roles = self._certificates.get(credential.certificate)
            if roles is None:
                raise AuthenticationError("certificate_unknown")
            return Principal(f"certificate:{credential.certificate}", frozenset(roles), "certificate")
        raise AuthenticationError("none")

    def _bearer(self, token: str) -> Principal:
        way = self._tokens if token.startswith(PREFIX) else self._oidc
        if way is None:
            raise AuthenticationError("token_unknown")
        return way.principal(token)
