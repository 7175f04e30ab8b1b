"""`streamguard api`: reveal over HTTP."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import app
from streamguard.cli.desk import desk_of
from streamguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from streamguard.crypto.keyring import Keyring
    from streamguard.policy.service import Service
    from streamguard.transforms.base import Transform


@app.command()
def api(
    config: Annotated[Path, typer.Option("--config", "-c", help="The service file.")] = Path(
        "streamguard.yaml"
    ),
    *,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port.")] = 8089,
    cert: Annotated[Path | None, typer.Option("--cert", help="Our TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key (PEM).")] = None,
    client_ca: Annotated[
        Path | None, typer.Option("--client-ca", help="The authority of clients' certificates (PEM).")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without TLS on a network: something in front of it ends TLS.")
    ] = False,
) -> None:
    """Serve POST /v1/reveal, for those whom 'access' of the service file lets in.

    [bold]Examples[/bold]

      streamguard api -c streamguard.yaml

      streamguard api --port 8090
    """
    if (cert is None) != (key is None) or (client_ca and cert is None):
        raise UsageError("TLS needs a certificate and its key.", "Give --cert and --key.")
    if cert is None and not plain and not _is_here(host):
        raise UsageError(
            "Tokens and values would go over the network in the clear.",
            "Give --cert and --key; or --plain where something in front ends TLS.",
        )
    from streamguard import logs
    from streamguard.crypto.setup import open_keyring
    from streamguard.policy.service import load_service

    service = load_service(config)
    logs.setup(service.log.format, service.log.level)
    if service.access is None:
        raise ConfigError(
            "The service file has no 'access', so everybody could reveal everything here.",
            "Say who may: see docs/reveal.md.",
        )
    try:
        from streamguard.console.api import create_app
        from streamguard.console.server import Tls, serve
    except ImportError:
        raise ConfigError(
            "The API's server is not installed.", "Run: pip install 'streamguard[api]'"
        ) from None
    keyring = open_keyring(service.keys, service.store.url.get_secret_value(), create=False)
    application = create_app(
        desk_of(keyring, service), _fields(service, keyring), service.access.certificates
    )
    serve(application, host, port, Tls(cert, key, client_ca) if cert and key else None)


def _fields(service: Service, keyring: Keyring) -> dict[tuple[str, str], Transform[Any]]:
    """Every reversible field of the policies."""
    from streamguard.access.records import reversible_fields
    from streamguard.policy.loader import load_policy

    return {
        (loaded.policy.name, path): transform
        for loaded in map(load_policy, service.policy_files())
        for path, transform in reversible_fields(loaded, keyring).items()
    }


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
