"""librdkafka's properties, as Faust takes them: the control agent connects exactly as the lanes do.

Only what decides where and how securely we connect is translated; the rest of ``kafka:`` tunes librdkafka. A security
setting that has no counterpart in aiokafka is refused, here as well as in the service file: the alternative would be
one client that connects with it and one without.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from streamguard.errors import ConfigError
from streamguard.policy.properties import MECHANISMS, PROTOCOLS, TRANSLATABLE

_SECURITY = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")
_DEFAULT_PORT = 9092
_T = TypeVar("_T")


def faust_settings(kafka: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of `faust.App` that say where and how to connect.

    Raises ConfigError for a property that Faust's client cannot take, and for certificates that cannot be read.
    """
    settings: dict[str, Any] = {"broker": brokers(kafka.get("bootstrap.servers", ""))}
    if credentials := _credentials(kafka):
        settings["broker_credentials"] = credentials
    if client := kafka.get("client.id"):
        settings["broker_client_id"] = client
    return settings


def brokers(servers: str) -> list[str]:
    """``kafka://host:port`` of every bootstrap server, written ``host``, ``host:port``, ``[::1]:port`` or ``SSL://…``."""
    found = [_broker(server.strip()) for server in servers.split(",") if server.strip()]
    if not found:
        raise ConfigError(
            "'bootstrap.servers' names no broker.",
            "Write kafka: {bootstrap.servers: host:9092} in the service file.",
        )
    return found


def _broker(server: str) -> str:
    address = server.rpartition("://")[2]
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):  # no port, or the colons of an IPv6 address
        host, port = address, str(_DEFAULT_PORT)
    if not port.isdigit() or not host:
        raise ConfigError(
            "'bootstrap.servers' holds something that is not host:port.", "Separate them with commas."
        )
    return f"kafka://{host}:{port}"


def _credentials(kafka: Mapping[str, str]) -> Credentials | None:
    for name in kafka:
        if name.startswith(_SECURITY) and name not in TRANSLATABLE:
            raise ConfigError(
                f"The Kafka property '{name}' cannot be given to Faust's client too.",
                f"The security settings that can: {', '.join(TRANSLATABLE)}.",
            )
    protocol = kafka.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in PROTOCOLS:
        raise ConfigError(
            "'security.protocol' is none that Kafka knows.", f"It is one of {', '.join(PROTOCOLS)}."
        )
    context = _context(kafka) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return SSLCredentials(context) if context else None
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", ""))
    if mechanism not in MECHANISMS:
        raise ConfigError(
            "'sasl.mechanism' is none that both clients know.", f"It is one of {', '.join(MECHANISMS)}."
        )
    return SASLCredentials(
        username=kafka.get("sasl.username"),
        password=kafka.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _context(kafka: Mapping[str, str]) -> ssl.SSLContext:
    """A client's TLS context: the certificate and the name of the broker are always checked, as librdkafka does."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if authority := kafka.get("ssl.ca.location"):
        place = {"capath": authority} if Path(authority).is_dir() else {"cafile": authority}
        context = _read(
            "ssl.ca.location", lambda: ssl.create_default_context(ssl.Purpose.SERVER_AUTH, **place)
        )
    if certificate := kafka.get("ssl.certificate.location"):
        key, password = kafka.get("ssl.key.location"), kafka.get("ssl.key.password")
        # Without a password for a key that has one, OpenSSL would ask at the terminal.
        _read("ssl.certificate.location", lambda: context.load_cert_chain(certificate, key, password or ""))
    return context


def _read(name: str, load: Callable[[], _T]) -> _T:
    try:
        return load()
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ConfigError(
            f"The file that the Kafka property '{name}' names cannot be used.",
            "Check that it exists, can be read, is PEM, and that the key and its password belong to the certificate.",
        ) from None
