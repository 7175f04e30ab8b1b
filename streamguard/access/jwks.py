"""The public keys of an issuer (JWK Set, RFC 7517): fetched, kept, and fetched anew when a token names another one.

How often is bounded, so that tokens with invented key ids cannot be turned into load on the issuer. While it is away,
the keys we have go on counting for a day.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from streamguard.access.errors import AuthenticationError, AuthenticationUnavailableError
from streamguard.policy.service import URL, Issuer

FRESH: Final = 3600.0
"""Seconds after which keys are fetched anew."""

STALE: Final = 24 * 3600.0
"""Seconds for which keys count while the issuer cannot be reached."""

PAUSE: Final = 30.0
"""Seconds between two fetches, whatever tokens say."""

_ANSWER_SECONDS: Final = 5.0
_LARGEST: Final = 1 << 20
_RSA_BITS: Final = 2048
_DISCOVERY: Final = "/.well-known/openid-configuration"

Fetch = Callable[[str], Any]


class IssuerKeys:
    """The keys of one issuer, by their id. Thread-safe. `clock` gives seconds that only grow."""

    def __init__(
        self, issuer: Issuer, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch or fetch_json
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    def find(self, key_id: str) -> jwt.PyJWK:
        """The key with this id.

        Raises AuthenticationError when the issuer has none, AuthenticationUnavailableError when it cannot be asked and
        what we have is too old, or is nothing.
        """
        key = self._keys.get(key_id)
        if key is not None and self._clock() - self._fetched_at < FRESH:
            return key  # whoever has a known key does not wait for what somebody's invented one made us ask
        with self._lock:
            now = self._clock()
            old = now - self._fetched_at >= FRESH
            if (old or key_id not in self._keys) and now - self._tried_at >= PAUSE:
                self._refresh(now)
            if now - self._fetched_at >= STALE:
                raise AuthenticationUnavailableError(
                    "The keys of the token's issuer cannot be fetched.",
                    "See that 'access.issuers' names it rightly, and that it can be reached from here.",
                )
            key = self._keys.get(key_id)
        if key is None:
            raise AuthenticationError("token_key")
        return key

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            address = self._issuer.jwks or self._discovered()
            found = self._fetch(address)["keys"]
            self._keys = {key.key_id: key for key in map(_usable, found) if key is not None and key.key_id}
            self._fetched_at = now
        except (OSError, ValueError, LookupError, TypeError):
            return  # what we have goes on counting for a while

    def _discovered(self) -> str:
        """What the issuer's discovery document names (OpenID Connect Discovery 1.0, section 4)."""
        document = self._fetch(self._issuer.issuer.rstrip("/") + _DISCOVERY)
        address = document["jwks_uri"]
        if document["issuer"] != self._issuer.issuer or not re.fullmatch(URL, address):
            raise ValueError
        return str(address)


def _usable(document: Any) -> jwt.PyJWK | None:
    """A public key for signatures, of a decent size; None for all else that a set may hold."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig" or "d" in document:
        return None
    if not isinstance(document.get("kid"), str) or document.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        key = jwt.PyJWK.from_dict(document)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None  # one that nobody can use does not take the others with it
    return None if isinstance(key.key, RSAPublicKey) and key.key.key_size < _RSA_BITS else key


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Keys come from the address that was written, or not at all."""


_opener: Final = urllib.request.build_opener(_NoRedirect)


def fetch_json(address: str) -> Any:
    """The JSON document at an address. Raises OSError or ValueError."""
    request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 - see URL
    with _opener.open(request, timeout=_ANSWER_SECONDS) as answer:
        body = answer.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise ValueError
    return json.loads(body)
