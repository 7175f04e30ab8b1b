"""The store of a fleet: a PostgreSQL database, which all hosts share.

Connections are encrypted, and the server's certificate verified, unless the server is this host or the address says
``?sslmode=disable``. A commit returns when it is on the server's disk. After an outage the pool mends itself.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from streamguard.errors import ConfigError
from streamguard.store.database import AWAY, Database, Failure

try:
    import pg8000.dbapi as pg8000
except ImportError:
    raise ConfigError(
        "PostgreSQL needs its driver, which is not installed.", "Run: pip install 'streamguard[postgres]'"
    ) from None

ANSWER_SECONDS: Final = 5.0
"""How long the server may be silent, or a statement wait for another's, before the store counts as away."""

POOL_SIZE: Final = 4
"""Connections that stay open. A lane is one thread and uses at most one at a time, and only now and then."""

POOL_MORE: Final = 8
"""Connections beyond these in a rush of reveals; they are closed when they come back."""

_SSL_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_OPTIONS: Final = frozenset({"host", "sslmode", "sslrootcert", "sslcert", "sslkey"})
_PORT: Final = 5432


class PostgresDatabase(Database):
    """A database on a PostgreSQL server."""

    name = "PostgreSQL"
    shared = True

    @classmethod
    def at(cls, url: URL, *, patience: float = ANSWER_SECONDS) -> PostgresDatabase:
        """The database at this address; nothing is connected yet. Raises ConfigError for an address that is wrong.

        `patience` is for how many seconds one statement may take.
        """
        return cls(_engine(_target(url), patience))

    def before_tables(self) -> None:
        """Names of elements and people can be in any script."""
        with self.reading() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise ConfigError(
                "The store's database does not keep its text in UTF-8.",
                "Make one that does: CREATE DATABASE streamguard ENCODING 'UTF8' TEMPLATE template0",
            )

    def forget(self) -> None:
        """Nothing can be done from here: VACUUM makes the space free, and what is archived is the archive's."""

    def _take_turn(self, connection: Connection, what: str) -> None:
        number = int.from_bytes(sha256(f"streamguard {what}".encode()).digest()[:8], signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def _insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def _failure(self, cause: BaseException) -> Failure:
        state = _state(cause)
        return next((_FAILURES[known] for known in (state, state[:2]) if known in _FAILURES), AWAY)


class _Connection(pg8000.Connection):  # type: ignore[misc]  # the driver has no types
    """The driver's connection: errors of the socket are as its others, and closing leaves nothing and raises none."""

    _sock: Any = None
    _usock: Any = None

    def __init__(self, **arguments: Any) -> None:
        try:
            super().__init__(**arguments)
        except BaseException:
            self.close()
            raise

    def handle_messages(self, context: Any) -> None:
        try:
            super().handle_messages(context)
        except OSError:
            raise pg8000.InterfaceError("network error") from None

    def close(self) -> None:
        stream = self._sock
        with suppress(pg8000.Error, OSError):
            super().close()
        with suppress(OSError, AttributeError):
            stream.close()  # or what could not be sent is tried once more when the object goes


# -- The address -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the server is (host and port, or the path of its socket), and what the driver is to say there."""

    address: str | tuple[str, int]
    arguments: Mapping[str, Any] = field(repr=False)


def _target(url: URL) -> _Target:
    """The words of the address are those of libpq."""
    if url.drivername not in {"postgresql", "postgresql+pg8000"}:
        raise ConfigError(
            "The store's address names another driver than ours, pg8000.", "Begin it with postgresql://"
        )
    if unknown := url.query.keys() - _OPTIONS:
        raise ConfigError(
            f"The store's address has an option that is not known: {min(unknown)}.",
            f"Known are {', '.join(sorted(_OPTIONS))}.",
        )
    options = {name: value for name, value in url.query.items() if isinstance(value, str)}
    if repeated := url.query.keys() - options.keys():
        raise ConfigError(
            f"An option of the store's address is said more than once: {min(repeated)}.", "Keep one."
        )
    host = url.host or options.get("host") or "localhost"
    if not url.username or not url.database:
        raise ConfigError(
            "The store's address names no user or no database.",
            "Write it like postgresql://user:password@host/database.",
        )
    arguments = {
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "application_name": "streamguard",
    }
    port = url.port or _PORT
    if host.startswith("/"):
        return _Target(f"{host}/.s.PGSQL.{port}", {**arguments, "ssl_context": False})
    return _Target((host, port), {**arguments, "host": host, "ssl_context": _tls(host, options)})


def _tls(host: str, options: Mapping[str, str]) -> ssl.SSLContext | bool:
    mode = options.get("sslmode", "disable" if _is_here(host) and not options else "verify-full")
    if mode not in _SSL_MODES:
        raise ConfigError(
            "The store's address has an 'sslmode' that is not known.", f"Known are {', '.join(_SSL_MODES)}."
        )
    if mode == "disable":
        return False
    try:
        context = ssl.create_default_context(cafile=options.get("sslrootcert"))
        if options.get("sslcert"):
            context.load_cert_chain(options["sslcert"], options.get("sslkey"), password="")
    except OSError:  # ssl's own errors are among these
        raise ConfigError(
            "A certificate or key that the store's address names cannot be read.",
            "'sslrootcert', 'sslcert' and 'sslkey' are PEM files; the key has no passphrase.",
        ) from None
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# -- The pool --------------------------------------------------------------------------------------------------------


def _engine(target: _Target, patience: float) -> Engine:
    engine = create_engine(
        "postgresql+pg8000://",
        hide_parameters=True,
        creator=lambda: _connect(target, patience),
        pool_size=POOL_SIZE,
        max_overflow=POOL_MORE,
        pool_timeout=ANSWER_SECONDS,
        pool_pre_ping=True,  # what an outage has broken is replaced before it is used
        pool_recycle=1800,  # before firewalls forget a connection that says nothing
        pool_use_lifo=True,
    )
    event.listen(engine, "connect", _remember_process)
    event.listen(engine, "checkout", _refuse_after_fork)
    event.listen(engine, "handle_error", _recognize_disconnection)
    return engine


def _connect(target: _Target, patience: float) -> _Connection:
    try:
        link = _dial(target.address, patience + 1)  # the server gives up first, and says why
        with _closed_on_error(link):
            connection = _Connection(sock=link, **target.arguments)
    except pg8000.Error:
        raise
    except ssl.SSLCertVerificationError:
        raise pg8000.InterfaceError("untrusted") from None
    except Exception:  # noqa: BLE001 - of the socket, or of a driver that something else than PostgreSQL has answered
        raise pg8000.InterfaceError("network error") from None
    with _closed_on_error(connection):
        _set_up(connection, patience)
    return connection


def _dial(address: str | tuple[str, int], silence: float) -> socket.socket:
    if isinstance(address, tuple):
        link = socket.create_connection(address, silence)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # The driver writes in pieces: without this, each waits for the server's delayed acknowledgement (40 ms).
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(silence)
    with _closed_on_error(link):
        link.connect(address)
    return link


@contextmanager
def _closed_on_error(thing: socket.socket | _Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        thing.close()
        raise


_SETTINGS: Final = """
    SELECT set_config('statement_timeout', %s, false),
           set_config('idle_in_transaction_session_timeout', '60s', false),
           set_config('timezone', 'UTC', false),
           CASE WHEN current_setting('synchronous_commit') = 'off'
                THEN set_config('synchronous_commit', 'on', false) END
"""


def _set_up(connection: _Connection, patience: float) -> None:
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(_SETTINGS, (f"{patience * 1000:.0f}ms",))
    cursor.close()
    connection.autocommit = False


def _remember_process(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.info["process"] = os.getpid()


def _refuse_after_fork(
    _connection: object, entry: ConnectionPoolEntry, proxied: PoolProxiedConnection
) -> None:
    """A connection that came along through a fork is the parent's: let go of it without a word to the server."""
    if entry.info["process"] != os.getpid():
        entry.dbapi_connection = proxied.dbapi_connection = None  # type: ignore[misc]
        raise DisconnectionError


def _recognize_disconnection(context: ExceptionContext) -> None:
    """Beyond what the dialect sees: a server that shuts down, or that has become a standby."""
    if _state(context.original_exception) in {"57P01", "57P02", "57P03", "57P05", "25006", "25P03"}:
        context.is_disconnect = True


# -- Errors ----------------------------------------------------------------------------------------------------------


def _state(cause: BaseException) -> str:
    """The five characters of SQLSTATE, or a word of ours for what happens before there are any."""
    said = cause.args[0] if cause.args else ""
    if isinstance(said, Mapping):
        return str(said.get("C", ""))
    return {"untrusted": "untrusted", "Server refuses SSL": "plain"}.get(str(said), "")


_GRANT: Final = "Let its owner run: streamguard store upgrade. The service itself needs no more than "
_USAGE: Final = Failure(
    "The store's user may not do this in its database.",
    f"{_GRANT}SELECT, INSERT and UPDATE on the tables.",
    lasts=True,
)
_REFUSED: Final = Failure(
    "The store's database does not let this user in.", "Check user, password and pg_hba.conf.", lasts=True
)
_FULL: Final = Failure("The disk under the store is full.", "Make room; the service goes on by itself.")
_BUSY: Final = Failure(
    "The store's database has no connection left.", "Raise its max_connections, or find who holds them."
)
_HELD: Final = Failure(
    "Rows of the store are held by another session.",
    "Find it in pg_stat_activity; the service goes on by itself.",
)

# SQLSTATE, or its class (appendix A of PostgreSQL's manual), and what it means.
_FAILURES: Final = {
    "untrusted": Failure(
        "The certificate of the store's database is not trusted, or is another host's.",
        "Name its authority in the address: ?sslrootcert=ca.pem",
        lasts=True,
    ),
    "plain": Failure(
        "The store's database does not offer TLS.",
        "Turn it on there; or, on a network that nobody else can read, write ?sslmode=disable.",
        lasts=True,
    ),
    "28": _REFUSED,
    "3D000": Failure(
        "The store's database does not exist.", "Make it: CREATE DATABASE streamguard", lasts=True
    ),
    "42501": _USAGE,
    "3F000": _USAGE,
    "25006": Failure("The store's database is read-only.", "Name the primary server, not a standby."),
    "40": _HELD,
    "55P03": _HELD,
    "57014": _HELD,
    "53100": _FULL,
    "53": _BUSY,
    "57P03": Failure("The store's database is starting or stopping.", "Wait; the service goes on by itself."),
}
