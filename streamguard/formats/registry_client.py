"""Confluent's client for Schema Registries, with answers and errors of ours.

It has its own retries switched off and its own time limit for each piece of an answer; `Patience`, around it, ends the
whole call. Its errors hold the server's answer, and the server may be anything that lives at a mistyped address: of
their text only what a registry says about a schema is passed on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args
from urllib.parse import quote
from uuid import UUID
from weakref import finalize

from streamguard.errors import ConfigError, RegistryUnavailableError, SchemaKindError, StreamGuardError
from streamguard.formats.registry import Kind, Reference, Registered
from streamguard.policy.registry import RegistrySettings

try:
    from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
    from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError
except ModuleNotFoundError:
    raise ConfigError(
        "A Schema Registry needs packages that are not installed.", "Run: pip install 'streamguard[registry]'"
    ) from None

# Confluent's client takes the newer of two libraries that share their names.
_TRANSPORT: Final = tuple(
    import_module(library).TransportError for library in ("httpx", "httpx2") if find_spec(library)
)
_NO_SCHEMA: Final = frozenset({40403})
_NO_SUBJECT: Final = frozenset(
    {40401, 40402}
)  # Apicurio calls a subject that is not there a missing version, too
_ABOUT_SCHEMAS: Final = (409, 422)
_READ_ONLY: Final = 42205
_BUSY: Final = (408, 429)
_LONGEST: Final = 500

T = TypeVar("T")


class Client:
    """One registry. Every method raises `RegistryUnavailableError` when it cannot be asked now."""

    def __init__(self, settings: RegistrySettings) -> None:
        for name in ("ca", "certificate", "key"):
            path: Path | None = getattr(settings, name)
            if path is not None and not path.is_file():
                raise ConfigError(f"There is no file {path}.", f"Correct '{name}' below 'registry'.")
        try:
            self._client = SchemaRegistryClient(_properties(settings))
        except (ssl.SSLError, OSError):
            raise ConfigError(
                "A certificate or a key of the Schema Registry's section cannot be used.",
                "'ca', 'certificate' and 'key' below 'registry' are files in PEM.",
            ) from None
        finalize(self, self._client.__exit__)  # its connections end with us

    def schema(self, schema_id: int | UUID) -> Registered | None:
        """The schema of this id; None when there is none."""
        if isinstance(schema_id, int):
            found = _ask(lambda: self._client.get_schema(schema_id), _NO_SCHEMA)
            return found and _registered(found, schema_id=schema_id)
        # Registries that know no GUIDs know no such address either, and say so with a code of any kind.
        found = _ask(lambda: self._client.get_schema_by_guid(str(schema_id)), None)
        return found and _registered(found, guid=schema_id)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def version(self, subject: str, version: int | Literal["latest"]) -> Registered | None:
        """One version of a subject; None when there is no such one."""
        found = _ask(lambda: self._client.get_version(subject, version), _NO_SUBJECT)
        return found and _registered(found.schema, schema_id=found.schema_id, guid=found.guid)

    def register(self, subject: str, kind: Kind, text: str, references: tuple[Reference, ...]) -> Registered:
        """The schema as it is registered now."""
        schema = _schema(kind, text, references)

        def register() -> Any:
            return _ask(lambda: self._client.register_schema_full_response(subject, schema))

        try:
            made = register()
        except _RefusedError:
            # Apicurio refuses all but one of several processes that register the same at once. By now it is there.
            made = register()
        return _registered(schema, schema_id=made.schema_id, guid=made.guid)

    def incompatible(
        self, subject: str, kind: Kind, text: str, references: tuple[Reference, ...]
    ) -> tuple[str, ...]:
        """What the registry holds against it."""
        # The client's own method keeps the reasons to itself.
        path = f"compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        body = _schema(kind, text, references).to_dict()
        try:
            answer = _ask(lambda: self._client._rest_client.post(path, body), _NO_SUBJECT)  # noqa: SLF001
        except _RefusedError as refusal:
            return (refusal.words,)
        if answer is None or answer["is_compatible"] is True:
            return ()
        reasons = answer.get("messages") or [answer.get("reason")]
        return tuple(_words(reason) for reason in reasons)

    def health(self) -> None:
        """Ask what any registry answers to whom it lets in."""
        _ask(self._client.get_schema_types)


class _RefusedError(ConfigError):
    def __init__(self, words: str) -> None:
        super().__init__(f"The Schema Registry refuses the schema: {words}")
        self.words = words


def _properties(settings: RegistrySettings) -> dict[str, Any]:
    """As Confluent's client takes them. A token goes with the names of a cluster, which other registries ignore."""
    properties: dict[str, Any] = {
        "url": settings.url,
        "timeout": settings.timeout_ms / 1000,
        "max.retries": 0,
        "ssl.ca.location": settings.ca and str(settings.ca),
        "ssl.certificate.location": settings.certificate and str(settings.certificate),
        "ssl.key.location": settings.key and str(settings.key),
    }
    if settings.username is not None and settings.password is not None:
        properties["basic.auth.user.info"] = f"{settings.username}:{settings.password.get_secret_value()}"
    bearer: dict[str, str | None] = {}
    if settings.token is not None:
        bearer = {"credentials.source": "STATIC_TOKEN", "token": settings.token.get_secret_value()}
    if settings.oauth is not None:
        bearer = {
            "credentials.source": "OAUTHBEARER",
            "issuer.endpoint.url": settings.oauth.url,
            "client.id": settings.oauth.client_id,
            "client.secret": settings.oauth.client_secret.get_secret_value(),
            "scope": settings.oauth.scope,
        }
    if bearer:
        bearer |= {"logical.cluster": settings.cluster, "identity.pool.id": settings.identity_pool or None}
    return properties | {f"bearer.auth.{name}": value for name, value in bearer.items()}


def _schema(kind: Kind, text: str, references: tuple[Reference, ...]) -> Schema:
    return Schema(text, kind, [SchemaReference(each.name, each.subject, each.version) for each in references])


def _registered(
    schema: Schema, *, schema_id: int | None = None, guid: UUID | str | None = None
) -> Registered:
    try:
        return Registered(
            schema_id,
            guid if isinstance(guid, UUID) or guid is None else UUID(guid),
            _kind(schema.schema_type),
            _required(schema.schema_str, str),
            tuple(
                Reference(
                    _required(each.name, str), _required(each.subject, str), _required(each.version, int)
                )
                for each in schema.references or ()
            ),
        )
    except (TypeError, ValueError, AttributeError):
        raise _no_registry() from None


def _kind(name: str | None) -> Kind:
    kind: Kind
    for kind in get_args(Kind):
        if kind == name:
            return kind
    raise SchemaKindError(
        "The Schema Registry has a schema of a kind that StreamGuard does not read.",
        "It reads Avro, Protobuf and JSON Schema.",
    )


def _required(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _ask(request: Callable[[], Any], absent: frozenset[int] | None = frozenset()) -> Any:
    """What a request gives; None where the registry says that there is none (404, of one of these codes, or of any)."""
    trouble: StreamGuardError
    try:
        return request()
    except SchemaRegistryError as error:
        if error.http_status_code == 404 and (absent is None or error.error_code in absent):
            return None
        trouble = _refusal(error)
    except OAuthTokenError as error:
        trouble = _away(error) if isinstance(error.__context__, _TRANSPORT) else _no_token()
    except _TRANSPORT as error:
        trouble = _away(error)
    except ValueError:  # JSON it is not
        trouble = _no_registry()
    raise trouble from None


def _refusal(error: SchemaRegistryError) -> StreamGuardError:
    status = error.http_status_code
    if status in (401, 403) or error.error_code == _READ_ONLY:
        return RegistryUnavailableError(
            "The Schema Registry does not let us in, or does not allow us to do this.",
            "Check the credentials below 'registry', what they may read and write, and the registry's mode.",
            lasts=True,
        )
    if status in _BUSY or status >= 500:
        return RegistryUnavailableError(
            f"The Schema Registry answers that it cannot serve now (HTTP {status}).", "See its log."
        )
    if status in _ABOUT_SCHEMAS:
        return _RefusedError(_words(error.error_message))
    return _no_registry()


def _away(error: BaseException) -> RegistryUnavailableError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryUnavailableError(
                "The Schema Registry's certificate is not trusted.",
                "Name its authority's certificate in 'ca' below 'registry' (for 'oauth', in SSL_CERT_FILE).",
                lasts=True,
            )
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return RegistryUnavailableError(
                "The Schema Registry does not take our certificate, or asks for one.",
                "Check 'certificate' and 'key' below 'registry'.",
                lasts=True,
            )
    return RegistryUnavailableError(
        "The Schema Registry does not answer.", "See that it runs and can be reached."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _no_token() -> RegistryUnavailableError:
    return RegistryUnavailableError(
        "No token for the Schema Registry is to be had.", "Check 'oauth' below 'registry'.", lasts=True
    )


def _no_registry() -> RegistryUnavailableError:
    return RegistryUnavailableError(
        "What answers at the Schema Registry's address is no Schema Registry.",
        "Check 'url' below 'registry'; the path before /subjects belongs to it.",
        lasts=True,
    )


def _words(text: object) -> str:
    """What a registry says about a schema, in one line."""
    line = " ".join(str(text or "without a reason").split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
