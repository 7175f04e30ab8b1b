"""``keys:`` of the service file: which service holds the master key, and how it is reached.

Secrets are not written here: they come by ``${VARIABLE}``, or from a file that is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    model_validator,
)

from streamguard.policy.expected import Expected, Place, refused
from streamguard.policy.models import Model
from streamguard.policy.problems import did_you_mean, listed

PATHS: Final = ("ca", "file", "module", "passphrase_file", "pin_file", "token_file")
"""What is a path, relative to the service file's folder."""

SECRETS: Final = ("passphrase", "pin", "token")
"""What must come by ``${VARIABLE}``, unless a provider means something else by it."""

ONE_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
"""How a secret is written."""

_ENV: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,199}$"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def secure(example: str) -> AfterValidator:
    """Of an address over which secrets travel in the clear inside of TLS; `example` is one."""

    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.hostname if parts.port != 0 else None  # a port that is none is a ValueError
        except ValueError:
            parts, host = urlsplit(""), None
        secret = parts.username or parts.password or parts.query
        if (
            host
            and not secret
            and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
        ):
            return url.rstrip("/")
        raise refused(
            f"must be an address such as {example}",
            suggestion="http:// is for this machine alone, and a secret does not belong in an address",
        )

    return AfterValidator(check)


Url = Annotated[str, secure("https://vault.example.com:8200")]
Label = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9 _.:-]{1,64}$"),
    Expected("ASCII letters, digits, ' ', '_', '.', ':' and '-'"),
]


class _Provider(Model):
    """What all providers have."""

    earlier: tuple[Keys, ...] = Field(
        default=(), description="Master keys of before: they unwrap until `streamguard keys rewrap` is done."
    )


class LocalKeys(_Provider):
    """A file that only its owner can read, or, for development, an environment variable."""

    provider: Literal["local"] = "local"
    file: Path | None = Field(default=None, description="Made by: streamguard keys init")
    env: (
        Annotated[str, Field(pattern=_ENV), Expected("the name of an environment variable, not the key")]
        | None
    ) = None
    passphrase: SecretStr | None = Field(
        default=None, description="Opens the file: ${STREAMGUARD_PASSPHRASE}"
    )
    passphrase_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, data: Any) -> Any:
        if isinstance(data, dict) and len({"file", "env"} & data.keys()) != 1:
            message = "must say where the master key is"
            raise refused(message, suggestion="either 'file: streamguard.key' or 'env: NAME'")
        if isinstance(data, dict) and "env" in data and {"passphrase", "passphrase_file"} & data.keys():
            raise refused(
                "has a passphrase, which is for a file", suggestion="name the file: 'file: streamguard.key'"
            )
        return _one_at_most(data, "passphrase", "passphrase_file")


class VaultKeys(_Provider):
    """A key of the Transit engine of HashiCorp Vault or OpenBao."""

    provider: Literal["vault"]
    address: Annotated[Url, Expected("an address such as https://vault.example.com:8200")]
    mount: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"), Expected("a path: transit")
    ] = Field(default="transit", description="Where the Transit engine is mounted.")
    key: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$"), Expected("the name of a key: streamguard")
    ] = Field(description="The key's name in Transit.")
    token: SecretStr | None = Field(default=None, description="${VAULT_TOKEN}")
    token_file: Path | None = Field(
        default=None, description="Read anew for every request: Vault's agent renews it."
    )
    ca: Path | None = Field(default=None, description="The certificates of the authorities to trust, in PEM.")
    namespace: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_token(cls, data: Any) -> Any:
        return _one_of(
            data, "token", "token_file", "either 'token: ${VAULT_TOKEN}' or 'token_file: /run/vault/token'"
        )


class AwsKeys(_Provider):
    """A symmetric key of AWS KMS. Credentials come from where AWS's own tools find them."""

    provider: Literal["aws"]
    key: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9:/_-]{1,2048}$"),
        Expected("a key's ARN, its id, or alias/NAME"),
    ]
    region: (
        Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$"), Expected("a region such as eu-central-1")] | None
    ) = None
    endpoint_url: Url | None = Field(default=None, description="A VPC endpoint, or a server for tests.")


class Pkcs11Keys(_Provider):
    """An AES key in an HSM, through the HSM's PKCS#11 library."""

    provider: Literal["pkcs11"]
    module: Path = Field(description="The HSM's library, such as /usr/lib/softhsm/libsofthsm2.so")
    token: Label = Field(description="The token's label.")
    key: Label = Field(description="The key's label.")
    pin: SecretStr | None = Field(default=None, description="${HSM_PIN}")
    pin_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_pin(cls, data: Any) -> Any:
        return _one_of(data, "pin", "pin_file", "either 'pin: ${HSM_PIN}' or 'pin_file: /run/secrets/pin'")


_PROVIDERS: Final = ("local", "vault", "aws", "pkcs11")


def _known(data: Any) -> Any:
    """Refuse a provider that there is not, before its settings are looked at."""
    provider = data.get("provider", "local") if isinstance(data, dict) else "local"
    if provider not in _PROVIDERS:
        meant = did_you_mean(provider, _PROVIDERS) if isinstance(provider, str) else ""
        raise refused(f"must be {listed(_PROVIDERS)}", at=("provider",), suggestion=meant)
    return data


def _tag(data: Any) -> str:
    provider = data.get("provider", "local") if isinstance(data, dict) else getattr(data, "provider", "local")
    return str(provider)


Keys = Annotated[
    Annotated[LocalKeys, Tag("local")]
    | Annotated[VaultKeys, Tag("vault")]
    | Annotated[AwsKeys, Tag("aws")]
    | Annotated[Pkcs11Keys, Tag("pkcs11")],
    Discriminator(_tag),
    BeforeValidator(_known),
]

for _model in (LocalKeys, VaultKeys, AwsKeys, Pkcs11Keys):
    _model.model_rebuild()


def written_secrets(keys: Any, place: Place) -> Iterator[Place]:
    """Where ``keys:``, as it is written, holds a secret itself instead of naming the variable that does."""
    if not isinstance(keys, dict):
        return
    for name in SECRETS:
        value = keys.get(name)
        if (
            (name, keys.get("provider")) != ("token", "pkcs11")  # there it is a label
            and isinstance(value, str)
            and not ONE_VARIABLE.fullmatch(value)
        ):
            yield (*place, name)
    earlier = keys.get("earlier")
    for position, entry in enumerate(earlier if isinstance(earlier, list) else ()):
        yield from written_secrets(entry, (*place, "earlier", position))


def _one_of(data: Any, first: str, second: str, suggestion: str) -> Any:
    if isinstance(data, dict) and not {first, second} & data.keys():
        raise refused(f"must have {first} or {second}", suggestion=suggestion)
    return _one_at_most(data, first, second)


def _one_at_most(data: Any, first: str, second: str) -> Any:
    if isinstance(data, dict) and {first, second} <= data.keys():
        raise refused(f"has both {first} and {second}", suggestion="leave one out")
    return data
