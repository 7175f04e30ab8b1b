"""``registry:`` of the service file: where the Schema Registry is, and who we are to it.

Secrets are not written here: they come by ``${VARIABLE}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, model_validator

from streamguard.policy.expected import Expected, Place, refused
from streamguard.policy.keys import ONE_VARIABLE, secure
from streamguard.policy.models import Model

PATHS: Final = ("ca", "certificate", "key")
"""What is a path, relative to the service file's folder."""

_SECRETS: Final = (("password",), ("token",), ("oauth", "client_secret"))
_ADDRESS: Final = "https://registry.example.com:8081"
_TOKENS: Final = "https://login.example.com/token"
_WAYS: Final = ("username", "token", "oauth")

Url = Annotated[
    # Confluent's client takes a comma for the end of one address and the beginning of the next.
    str, Field(pattern=r"^[^,\s#]*$"), secure(_ADDRESS), Expected(f"an address such as {_ADDRESS}"),
]  # fmt: skip
TokenUrl = Annotated[str, secure(_TOKENS), Expected(f"an address such as {_TOKENS}")]


class OAuth(Model):
    """Client credentials (RFC 6749, section 4.4) with which a token for the registry is asked for."""

    url: TokenUrl = Field(description="The token endpoint.")
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr = Field(description="${REGISTRY_CLIENT_SECRET}")
    scope: str = ""


class RegistrySettings(Model):
    """A Schema Registry that speaks Confluent's API."""

    url: Url = Field(description="Where it is; the path before /subjects belongs to it.")
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]+$"), Expected("a name without ':'")] | None = (
        Field(default=None, description="Basic authentication (RFC 7617); on Confluent Cloud, the API key.")
    )
    password: SecretStr | None = Field(default=None, description="${REGISTRY_PASSWORD}")
    token: SecretStr | None = Field(default=None, description="A bearer token: ${REGISTRY_TOKEN}")
    oauth: OAuth | None = None
    cluster: str = Field(
        default="", description="With a token on Confluent Cloud: the logical cluster, lsrc-…"
    )
    identity_pool: str = Field(default="", description="With a token on Confluent Cloud: pool-…")
    ca: Path | None = Field(default=None, description="The certificates of the authorities to trust, in PEM.")
    certificate: Path | None = Field(default=None, description="Our own certificate, in PEM.")
    key: Path | None = Field(
        default=None, description="Its private key, in PEM, where it is in another file."
    )
    timeout_ms: int = Field(
        default=5_000, ge=100, le=60_000, description="How long an answer may take, retries included."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        ways = [name for name in _WAYS if name in data]
        if len(ways) > 1:
            raise refused(f"has both {ways[0]} and {ways[1]}", suggestion="leave one out")
        if ("username" in data) != ("password" in data):
            raise refused("must have username and password together", suggestion="write both, or neither")
        if {"cluster", "identity_pool"} & data.keys() and not {"token", "oauth"} & data.keys():
            raise refused("names a cluster, which goes with a token", suggestion="write 'token' or 'oauth'")
        if "key" in data and "certificate" not in data:
            raise refused("has a key without its certificate", suggestion="write 'certificate: client.pem'")
        return data


def written_secrets(registry: Any, place: Place) -> Iterator[Place]:
    """Where ``registry:``, as it is written, holds a secret itself instead of naming the variable that does."""
    for path in _SECRETS:
        value = registry
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and not ONE_VARIABLE.fullmatch(value):
            yield (*place, *path)
