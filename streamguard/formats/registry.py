"""The Schema Registry: schemas by id, what they refer to, and the registration of those that we derive.

A schema that was registered never changes, so what was asked once is kept for good. An id that the registry does not
know is remembered for half a minute: a topic full of wrong ids asks once for each of them, and one that was registered
a moment too late is found soon.

The API is Confluent's (https://docs.confluent.io/platform/current/schema-registry/develop/api.html), which other
registries speak too. Its library is an extra: `open_registry` says so where it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from streamguard import logs
from streamguard.crypto.cache import Cache
from streamguard.errors import ConfigError, RegistryUnavailableError, SchemaMissingError
from streamguard.patience import Outcome, Patience
from streamguard.policy.registry import RegistrySettings

if TYPE_CHECKING:
    from streamguard.formats.registry_client import Client

Kind = Literal["AVRO", "PROTOBUF", "JSON"]
"""Of a schema, by the registry's own names."""

UNKNOWN_FOR: Final = 30.0
"""Seconds for which an id that the registry does not know is not asked for again."""

UNKNOWN_MOST: Final = 10_000
"""Such ids that are remembered at most."""

ALLOWED: Final = 20.0
"""Seconds that one slice of records may spend on schemas that are not known yet (`Allowance`)."""

_MOST_REFERENCES: Final = 1_000
_DEEPEST_REFERENCE: Final = 100
_REMEDY: Final = "See its references in the registry."
_LARGEST_ID: Final = 2**31 - 1  # Java's int, which is what registries give

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a schema calls another one, and where that is."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema in the registry. It has an `id` or a `guid`, or both: as much as the registry said.

    `text` is what was registered. Of Protobuf that is a ``.proto`` file's text, or its FileDescriptorProto in base64.
    """

    id: int | None
    guid: UUID | None
    kind: Kind
    text: str
    references: tuple[Reference, ...] = ()


def nobody(operation: str, outcome: Outcome, seconds: float) -> None:
    """The observer of a process whose metrics are read by no one."""


class Registry:
    """What is asked of a Schema Registry. Thread-safe. No method takes longer than `within` seconds.

    Every method raises `RegistryUnavailableError` when the registry cannot be asked now. `observe` is told of every
    request. `clock` is for tests.
    """

    def __init__(
        self,
        client: Client,
        within: float,
        observe: Callable[[str, Outcome, float], None] = nobody,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._call = Patience(
            "The Schema Registry", within, RegistryUnavailableError, _failed, observe=observe, clock=clock
        ).call
        self._schemas: dict[int | UUID, Registered] = {}
        self._versions: dict[tuple[str, int], Registered] = {}
        self._unknown: Cache[int | UUID, int | UUID] = Cache(UNKNOWN_FOR, UNKNOWN_MOST, clock)

    def schema(self, schema_id: int | UUID) -> Registered:
        """The schema of an id or a GUID. Raises `SchemaMissingError` when the registry has none."""
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        if self._may_exist(schema_id):
            found = self._call("schema", partial(self._client.schema, schema_id))
            if found is not None:
                self._schemas[schema_id] = found
                return found
            self._unknown.put(schema_id, schema_id)
        # Without the id, which may be a piece of a record that has no frame at all.
        raise SchemaMissingError(
            "The Schema Registry has no schema of the id that the record names.",
            "See which registry the topic's producers use.",
        )

    def references(self, registered: Registered) -> dict[str, str]:
        """The texts of all schemas that this one refers to, by the names it has for them; each after its own.

        Raises `SchemaMissingError` when one is not there, and `ConfigError` when they refer to one another in a circle
        or call two schemas by one name.
        """
        if not registered.references:
            return {}
        return self._call("references", partial(self._resolved, registered))

    def latest(self, subject: str) -> Registered | None:
        """The latest version of a subject; None when there is no such subject."""
        return self._call("latest", partial(self._client.version, subject, "latest"))

    def register(
        self, subject: str, kind: Kind, text: str, references: tuple[Reference, ...] = ()
    ) -> Registered:
        """Make it the subject's latest version; what is there already keeps its id.

        Raises `ConfigError` with the registry's words when it refuses the schema.
        """
        found = self._call("register", partial(self._client.register, subject, kind, text, references))
        if found.id is not None:
            self._schemas.setdefault(found.id, found)
        return found

    def incompatible(
        self, subject: str, kind: Kind, text: str, references: tuple[Reference, ...] = ()
    ) -> tuple[str, ...]:
        """Why the schema cannot follow the subject's latest version, in the registry's words; empty when it can."""
        return self._call("compatible", partial(self._client.incompatible, subject, kind, text, references))

    def health(self) -> None:
        """Raises `RegistryUnavailableError` unless a registry answers now, and lets us in."""
        self._call("health", self._client.health)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _may_exist(self, schema_id: int | UUID) -> bool:
        if isinstance(schema_id, int) and schema_id > _LARGEST_ID:
            return False
        return self._unknown.get(schema_id) is None

    def _resolved(self, registered: Registered) -> dict[str, str]:
        texts: dict[str, str] = {}
        done: set[tuple[str, int]] = set()

        def visit(schema: Registered, above: tuple[tuple[str, int], ...]) -> None:
            for reference in schema.references:
                place = (reference.subject, reference.version)
                if place in above:
                    raise ConfigError("The schema's references lead back to where they began.", _REMEDY)
                if len(above) >= _DEEPEST_REFERENCE or len(done) >= _MOST_REFERENCES:
                    raise ConfigError("The schema refers to more schemas than can be read.", _REMEDY)
                found = self._version(place)
                if place not in done:
                    visit(found, (*above, place))
                    done.add(place)
                if texts.setdefault(reference.name, found.text) != found.text:
                    raise ConfigError("The schema's references give one name to two schemas.", _REMEDY)

        visit(registered, ())
        return texts

    def _version(self, place: tuple[str, int]) -> Registered:
        found = self._versions.get(place) or self._client.version(*place)
        if found is None:
            raise SchemaMissingError(
                "A schema that another one refers to is not in the Schema Registry.", _REMEDY
            )
        self._versions[place] = found
        return found


class Allowance:
    """The time that one slice of records may spend on schemas that are not known yet.

    Each request ends in time, and a slice may name hundreds of schemas: without an end to their sum the lane would be
    put out of its consumer group. What was found is kept, so the next attempt gets further.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + ALLOWED

    def spend(self) -> None:
        """Before each schema that is not known. Raises RegistryUnavailableError when the time is over."""
        if self._clock() >= self._end:
            raise RegistryUnavailableError(
                "The Schema Registry is too slow for the number of schemas that the records name.",
                "See how long it takes to answer, and who writes such records.",
            )


def _failed(error: Exception) -> RegistryUnavailableError:
    log.error("registry.failed", error=error)
    return RegistryUnavailableError(
        "The Schema Registry's library failed.", "See the log for registry.failed."
    )


def open_registry(
    settings: RegistrySettings, observe: Callable[[str, Outcome, float], None] = nobody
) -> Registry:
    """The registry of a service file's ``registry:``; nothing is asked yet. Raises ConfigError."""
    from streamguard.formats.registry_client import Client  # noqa: PLC0415 - says what is missing

    return Registry(Client(settings), settings.timeout_ms / 1000, observe)
