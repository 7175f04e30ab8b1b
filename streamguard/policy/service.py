"""The service file ``streamguard.yaml``: where Kafka, the keys, the store and the policies are, and how to run.

``kafka:`` holds librdkafka's own properties, which go to the clients as they are. Those that carry a guarantee of ours
are refused; security settings are limited to those that can also be given to Faust's own client, because a service of
which one half connects encrypted and the other half not is worse than one that does not start.

``${NAME}`` is replaced by that environment variable, ``${NAME:-default}`` also when it is unset or empty, and ``$${``
stands for ``${``. A variable that is not set and has no default is an error. Paths (``policies``, those in ``keys`` and
``registry``, a SQLite store) are relative to the service file's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)

from streamguard.errors import ConfigError
from streamguard.policy import registry
from streamguard.policy.document import Document, read_document
from streamguard.policy.expected import Expected, Place, refused
from streamguard.policy.keys import PATHS, Keys, LocalKeys, written_secrets
from streamguard.policy.loader import find_policies
from streamguard.policy.models import ELEMENT_PATTERN, Duration, Model, TopicName
from streamguard.policy.problems import Problem, ProblemsError
from streamguard.policy.properties import SHOWN, Properties, property_problems
from streamguard.policy.registry import RegistrySettings
from streamguard.policy.wording import places_of, problems_of

_DEFAULT_PATHS: Final = {
    "policies": ["policies"],
    "keys": {"file": "streamguard.key"},
    "store": {"url": "sqlite:///streamguard.db"},
}
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\})?")
_SQLITE: Final = re.compile(r"(sqlite(?:\+\w+)?:///)(?!/)(.+)", re.DOTALL)
_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"
_GROUP: Final = r"^[A-Za-z0-9._-]{1,100}$"
URL: Final = r"^(https://[^/\s#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?)(/[^\s#]*)?$"
"""An address that is taken to the letter. Those of `keys.secure` lose their last slash, and may have no query; an
issuer's name counts with its slash, and the address of its keys may have one."""

_HEADER: Final = r"^[a-z0-9-]{1,100}$"
_LEEWAY: Final = timedelta(minutes=5)

_SECTIONS_SHOWN: Final = frozenset(
    {
        "access",
        "group",
        "key_destruction",
        "log",
        "policies",
        "session_timeout_ms",
        "slot",
        "start",
        "stop_timeout_ms",
        "topics",
        "transaction_timeout_ms",
        "web",
    }
)


def _as_text(properties: Any) -> Any:
    """Property values as text, which is what librdkafka takes; YAML has numbers and booleans too."""
    if not isinstance(properties, dict):
        return properties
    words = {True: "true", False: "false"}
    return {
        name: words[value]
        if isinstance(value, bool)
        else str(value)
        if isinstance(value, int | float)
        else value
        for name, value in properties.items()
    }


class KeyDestruction(Model):
    """Who may destroy keys with ``streamguard keys destroy``: one person, or one who asks and another who agrees."""

    persons: Literal[1, 2] = 1
    within: Duration = Field(
        default=timedelta(hours=24),
        description="How long a request waits for the second person.",
        json_schema_extra={"default": "24h"},
    )


class Store(Model):
    """The database of wrapped data keys."""

    url: SecretStr = Field(
        default=SecretStr("sqlite:///streamguard.db"),
        description="sqlite:///streamguard.db, or postgresql://user:${PASSWORD}@host/database",
    )


class Web(Model):
    """Where health and metrics are served."""

    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=0, le=65535)


class Topics(Model):
    """How output topics are made when they are missing; what is left out is the cluster's default."""

    create: bool = True
    replication: int | None = Field(default=None, ge=1, le=32767)
    min_insync_replicas: int | None = Field(default=None, ge=1, le=32767)

    @model_validator(mode="after")
    def _enough_replicas(self) -> Topics:
        if self.replication and self.min_insync_replicas and self.min_insync_replicas > self.replication:
            message = f"must be at most the replication, {self.replication}"
            raise refused(message, at=("min_insync_replicas",))
        return self


class Log(Model):
    """How the service writes its log, on stderr."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


Url = Annotated[str, Field(pattern=URL), Expected("an https:// address (http:// on this host only)")]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
"""Signatures by a key that the issuer alone has. The HS family is left out: there, whoever verifies can sign."""


class Issuer(Model):
    """An OpenID Connect provider (or any issuer of JWTs) whose tokens are accepted for `reveal`."""

    issuer: Url = Field(description="The token's 'iss', to the letter.")
    audience: Annotated[str, Field(min_length=1)] = Field(description="What its 'aud' must name.")
    jwks: Url | None = Field(
        default=None,
        description="Where the keys are. Default: as <issuer>/.well-known/openid-configuration says.",
    )
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)
    roles: Annotated[str, Field(min_length=1)] = Field(
        default="roles", description="The claim with the roles; dots lead inwards: realm_access.roles"
    )
    leeway: Duration = Field(
        default=timedelta(seconds=30),
        le=_LEEWAY,
        description="By how much clocks may differ.",
        json_schema_extra={"default": "30s"},
    )


class Certificates(Model):
    """Callers of the API who show a client certificate: subject (RFC 4514, such as ``CN=support-ui``) → roles."""

    subjects: dict[str, tuple[str, ...]]
    header: (
        Annotated[
            str, Field(pattern=_HEADER), Expected("a header's name in lower case, such as x-client-subject")
        ]
        | None
    ) = Field(default=None, description="Where a proxy that ends TLS puts the subject it has verified.")
    proxies: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Addresses from which that header is believed."
    )

    @model_validator(mode="after")
    def _header_and_proxies(self) -> Certificates:
        if (self.header is None) != (not self.proxies):
            raise refused("must have 'header' and 'proxies' together", suggestion="write both, or neither")
        return self


class RevealLimit(Model):
    """At most so many values for one person in a sliding window."""

    values: int = Field(default=10_000, ge=1)
    per: Duration = Field(default=timedelta(hours=1), json_schema_extra={"default": "1h"})


class AuditTopic(Model):
    """Where the signed heads of the audit trail are published."""

    topic: TopicName


class Access(Model):
    """Who may reveal what. Without this section, whoever can use the master key may reveal everything."""

    policies: tuple[str, ...] = Field(
        min_length=1, description="Cedar policy files, or patterns such as access/*.cedar"
    )
    issuers: tuple[Issuer, ...] = ()
    tokens: Path | None = Field(
        default=None, description="YAML file of hashed static tokens, made by: streamguard access token"
    )
    certificates: Certificates | None = None
    limit: RevealLimit = RevealLimit()
    masked: dict[Annotated[str, Field(pattern=ELEMENT_PATTERN)], dict[str, Any]] = Field(
        default={}, description="How 'reveal_masked' shows an element: options of the transform 'mask'."
    )
    audit: AuditTopic | None = None

    @model_validator(mode="after")
    def _someone(self) -> Access:
        if not (self.issuers or self.tokens or self.certificates):
            advice = "write at least one of 'issuers', 'tokens' and 'certificates'"
            raise refused("lets nobody in", suggestion=advice)
        names = [issuer.issuer for issuer in self.issuers]
        if len(set(names)) != len(names):
            raise refused("names an issuer twice", at=("issuers",))
        return self

    def policy_files(self) -> list[Path]:
        """The Cedar files that `policies` names now. Raises ConfigError when an entry names none."""
        found: list[Path] = []
        for pattern in self.policies:
            files = sorted(matching(pattern))
            if not files:
                raise ConfigError(
                    f"'access.policies' names '{pattern}', and no file is there.", "Check the path."
                )
            found += files
        return list(dict.fromkeys(found))


def matching(pattern: str) -> Iterator[Path]:
    """The files and folders that a pattern names."""
    anchor = Path(Path(pattern).anchor)
    return anchor.glob(str(Path(pattern).relative_to(anchor)))


def _as_time(value: Any) -> Any:
    """A time with its offset, as UTC; words are left for pydantic to judge."""
    if not isinstance(value, str) or value in ("earliest", "latest"):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value
    if time.tzinfo is None:
        raise refused("must name its offset from UTC", suggestion=f"write {time.isoformat()}Z if it is UTC")
    return time.astimezone(UTC)


class Service(Model):
    """The service file. Secrets are not shown when it is printed or dumped."""

    kafka: Annotated[dict[str, str], BeforeValidator(_as_text), AfterValidator(Properties)] = Field(
        description="Properties of librdkafka, as they are; 'bootstrap.servers' at least."
    )
    group: Annotated[
        str, Field(pattern=_GROUP), Expected("letters, digits, '.', '_' and '-', at most 100")
    ] = Field(
        default="streamguard",
        description="Beginning of the consumer groups: each policy has <group>.<policy>.",
    )
    start: Annotated[
        Literal["earliest", "latest"] | datetime,
        BeforeValidator(_as_time),
        Expected("earliest, latest, or a time such as 2026-01-31T12:00:00Z"),
    ] = Field(default="earliest", description="Where a group without commits begins.")
    policies: tuple[str, ...] = Field(
        default=("policies",),
        min_length=1,
        description="Policy files, folders, or patterns such as policies/*.yaml",
    )
    keys: Keys = Field(
        default=LocalKeys(file=Path("streamguard.key")), description="Default: {file: streamguard.key}"
    )
    key_destruction: KeyDestruction = KeyDestruction()
    store: Store = Store()
    slot: (
        Annotated[str, Field(pattern=_NAME), Expected("letters, digits, '_' and '-', at most 64")] | None
    ) = Field(default=None, description="This process's permanent name in the fleet; --slot says it too.")
    topics: Topics = Topics()
    transaction_timeout_ms: int = Field(
        default=15_000,
        ge=1_000,
        le=900_000,
        description="How long readers may wait for a slot that never comes back.",
    )
    session_timeout_ms: int = Field(
        default=10_000, ge=1_000, le=3_600_000, description="After this silence a slot's partitions move on."
    )
    stop_timeout_ms: int = Field(
        default=10_000, ge=1_000, le=600_000, description="How long a graceful stop may take."
    )
    web: Web = Web()
    log: Log = Log()
    access: Access | None = None
    registry: RegistrySettings | None = None

    @field_serializer("kafka")
    def _without_secrets(self, kafka: dict[str, str]) -> dict[str, str]:
        return {name: value if name in SHOWN else "**********" for name, value in kafka.items()}

    def policy_files(self) -> list[Path]:
        """The files that `policies` names now. Raises ConfigError when an entry names none."""
        found: list[Path] = []
        for pattern in self.policies:
            files = find_policies(sorted(matching(pattern)))
            if not files:
                raise ConfigError(
                    f"'policies' names '{pattern}', and no policy file is there.", "Check the path."
                )
            found += files
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class LoadedService:
    """A service file as it was read; `document` knows the place of every value.

    `gaps` are the sections in which `look_at_service` found something wrong: with any, it is only there to be checked.
    """

    service: Service
    path: Path
    document: Document
    gaps: frozenset[str] = frozenset()


def load_service(path: Path | str, environment: Mapping[str, str] = os.environ) -> Service:
    """Read a service file. Raises ProblemsError with every problem, ConfigError when it cannot be read."""
    return read_service(path, environment).service


def read_service(path: Path | str, environment: Mapping[str, str] = os.environ) -> LoadedService:
    """The same, with the document, for those who report problems in it."""
    loaded, problems = look_at_service(path, environment)
    if problems:
        raise ProblemsError(problems)
    return loaded


def look_at_service(
    path: Path | str, environment: Mapping[str, str] = os.environ
) -> tuple[LoadedService, list[Problem]]:
    """What can be read of a service file, and what is wrong with the rest, for which defaults stand.

    Raises ProblemsError where the file is no mapping in YAML, ConfigError when it cannot be read.
    """
    path = Path(path)
    document = read_document(path, what="service file", secret=_is_secret)
    if not isinstance(document.data, dict):
        advice = "begin with 'kafka: {bootstrap.servers: …}'"
        raise ProblemsError(
            [document.problem((), "a service file is a mapping", code="missing", suggestion=advice)]
        )
    problems: list[Problem] = []
    data = _expanded(document.data, (), document, environment, problems)
    problems += property_problems(document, data.get("kafka"))
    for place in (
        *written_secrets(document.data.get("keys"), ("keys",)),
        *registry.written_secrets(document.data.get("registry"), ("registry",)),
    ):
        message = f"'{place[-1]}' is a secret, and does not belong in this file"
        advice = f"write {place[-1]}: ${{NAME}}, and set that environment variable"
        problems.append(document.problem(place, message, code="secret_in_file", suggestion=advice))
    gaps = {re.split(r"[.\[]", problem.path)[0] for problem in problems}
    data = _from_folder(data, path.parent)
    try:
        service = Service.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, Service, document)
        wrong = {str(place[0]) for place in places_of(error, document)}
        gaps |= wrong
        rest = {name: section for name, section in data.items() if name not in wrong}
        service = Service.model_validate({"kafka": {}, **rest})
    return LoadedService(service, path, document, frozenset(gaps)), problems


def _is_secret(place: Place) -> bool:
    """Whatever is not known to be harmless: a misspelt ``sasl.pasword`` holds a password as well."""
    if place[:1] == ("kafka",):
        return len(place) > 1 and place[1] not in SHOWN
    return len(place) > 0 and place[0] not in _SECTIONS_SHOWN


# -- ${VARIABLES} ----------------------------------------------------------------------------------------------------


def _expanded(
    value: Any, place: Place, document: Document, environment: Mapping[str, str], problems: list[Problem]
) -> Any:
    if isinstance(value, dict):
        return {k: _expanded(v, (*place, k), document, environment, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, (*place, i), document, environment, problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(found: re.Match[str]) -> str:
        name, has_default, default = found.groups()
        if found[0] == "$${":
            return "${"
        if name is None:
            message, advice = (
                "a '${' is not closed or names no variable",
                "write ${NAME}, ${NAME:-default}, or $${",
            )
            problems.append(document.problem(place, message, code="wrong_value", suggestion=advice))
            return ""
        if environment.get(name) or (name in environment and not has_default):
            return environment[name]
        if not has_default:
            message, advice = (
                f"the environment variable {name} is not set",
                f"set it, or write ${{{name}:-default}}",
            )
            problems.append(document.problem(place, message, code="undefined_variable", suggestion=advice))
        return default or ""

    return _VARIABLE.sub(replace, value)


def _from_folder(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The paths in the file, relative to its folder; what is not a path is left for the models to refuse."""
    data = {**_DEFAULT_PATHS, **data}
    policies, keys, store = data["policies"], data["keys"], data["store"]
    if isinstance(policies, str):
        policies = [policies]
    if isinstance(policies, list):
        data["policies"] = [str(folder / entry) if isinstance(entry, str) else entry for entry in policies]
    data["keys"] = _keys_from_folder(keys, folder)
    if (
        isinstance(store, dict)
        and isinstance(url := store.get("url"), str)
        and (found := _SQLITE.fullmatch(url))
    ):
        data["store"] = {**store, "url": f"{found[1]}{(folder / found[2]).absolute()}"}
    if isinstance(access := data.get("access"), dict):
        data["access"] = _access_from_folder(access, folder)
    if isinstance(section := data.get("registry"), dict):
        data["registry"] = _named_from_folder(section, registry.PATHS, folder)
    return data


def _named_from_folder(section: dict[str, Any], names: tuple[str, ...], folder: Path) -> dict[str, Any]:
    return {
        **section,
        **{name: folder / section[name] for name in names if isinstance(section.get(name), str)},
    }


def _access_from_folder(access: dict[str, Any], folder: Path) -> dict[str, Any]:
    policies, tokens = access.get("policies"), access.get("tokens")
    if isinstance(policies, str):
        policies = [policies]
    if isinstance(policies, list):
        policies = [str(folder / entry) if isinstance(entry, str) else entry for entry in policies]
        access = {**access, "policies": policies}
    return {**access, "tokens": folder / tokens} if isinstance(tokens, str) else access


def _keys_from_folder(keys: Any, folder: Path) -> Any:
    if not isinstance(keys, dict):
        return keys
    keys = _named_from_folder(keys, PATHS, folder)
    earlier = keys.get("earlier")
    if isinstance(earlier, list):
        return {**keys, "earlier": [_keys_from_folder(entry, folder) for entry in earlier]}
    return keys
