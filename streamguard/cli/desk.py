"""What the commands around `reveal` share: the desk at which values are revealed, as the options name it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli.keys import DEFAULT_CONFIG, master_keys, store_url

if TYPE_CHECKING:
    from streamguard.access.reveal import Desk
    from streamguard.crypto.keyring import Keyring
    from streamguard.policy.service import Service

KeyFile = Annotated[Path | None, typer.Option("--keys", help="The master key file, without a service file.")]
KeyVariable = Annotated[str | None, typer.Option("--keys-env", help="The variable that holds it instead.")]


def service_of(
    config: Path | None, store: str | None, keys: Path | None, keys_env: str | None
) -> Service | None:
    """The service file, unless store and master key are named without one."""
    from streamguard.policy.service import load_service

    if config is None and (store or keys or keys_env or not DEFAULT_CONFIG.exists()):
        return None
    return load_service(config or DEFAULT_CONFIG)


def keyring_of(config: Path | None, store: str | None, keys: Path | None, keys_env: str | None) -> Keyring:
    """The keyring; a store that is missing is not made."""
    from streamguard.crypto.setup import open_keyring

    return open_keyring(master_keys(config, keys, keys_env), store_url(config, store), create=False)


def desk_of(keyring: Keyring, service: Service | None) -> Desk:
    """The desk of a service, with the audit topic if it has one; without a service, that of whoever has the keys."""
    from streamguard.access.setup import open_desk

    access = service.access if service else None
    if service is None or access is None or access.audit is None:
        return open_desk(keyring, access)
    from streamguard.streams.audit import AuditTopic

    return open_desk(keyring, access, AuditTopic(service, access.audit.topic))
