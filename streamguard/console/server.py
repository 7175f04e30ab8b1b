"""Serving the API: uvicorn, with TLS, and with the client's certificate handed on to the application."""

from __future__ import annotations

import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.x509 import load_der_x509_certificate
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamguard import logs
from streamguard.console.api import CERTIFICATE
from streamguard.errors import ConfigError

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: our certificate with its key, and, where clients show theirs, the authority that signs those."""

    certificate: Path
    key: Path
    clients: Path | None = None


class CertificateProtocol(H11Protocol):
    """HTTP/1.1, where each request carries the subject of the certificate that TLS has verified, if there is one."""

    def connection_made(self, transport: Any) -> None:
        """Take the subject from the connection, and put it into the scope of its requests."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        if shown:
            subject = load_der_x509_certificate(shown).subject.rfc4514_string()
            self.app = _with_certificate(self.app, subject)


def _with_certificate(app: Any, subject: str) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), CERTIFICATE: subject}
        await app(scope, receive, send)

    return wrapped


class _Server(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _log.info("api.started", address=host, port=port)


def serve(app: Any, host: str, port: int, tls: Tls | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigError for certificates or a port that cannot be used."""
    server = _Server(config(app, host, port, tls))
    # uvicorn ends in good order, and then sends itself the signal once more: that one has done its work.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    except SystemExit:  # uvicorn's way to say that it could not listen
        raise ConfigError(
            f"The API cannot listen on {host}:{port}.", "Choose another --port, or end what is there."
        ) from None


def config(app: Any, host: str, port: int, tls: Tls | None = None) -> uvicorn.Config:
    """The server's settings. Raises ConfigError for certificates that cannot be used."""
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=CertificateProtocol,
        ws="none",
        lifespan="off",
        log_config=None,  # ours is set up already
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the peer's address decides whose word about certificates counts
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=str(tls.clients) if tls and tls.clients else None,
        # A bearer token may stand in for a certificate, so one is verified if it is shown, and not demanded.
        ssl_cert_reqs=ssl.CERT_OPTIONAL if tls and tls.clients else ssl.CERT_NONE,
    )
    try:
        settings.load()
    except OSError:  # ssl's own errors are among these
        raise ConfigError(
            "A certificate or key for the API cannot be used.",
            "--cert, --key and --client-ca are PEM files; the key has no passphrase and belongs to the certificate.",
        ) from None
    if settings.ssl is not None:
        settings.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return settings
