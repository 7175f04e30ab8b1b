"""`streamguard keys`: the master key, and the data keys that it wraps."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import app
from streamguard.cli.output import print_json, print_table
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from streamguard.policy.keys import Keys, LocalKeys
    from streamguard.policy.service import Service
    from streamguard.store.keys import KeyRow

DEFAULT_CONFIG = Path("streamguard.yaml")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The service file. Default: streamguard.yaml, if it is here."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", help="The store, where there is no service file: sqlite:///FILE or postgresql://…"
    ),
]

keys_app = typer.Typer(
    name="keys",
    help="The master key, and the data keys that it wraps.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(keys_app)


@keys_app.command()
def init(
    file: Annotated[
        Path | None, typer.Option("--file", help="Write the master key to this new file.")
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", help="Print it as a line for this variable instead.")
    ] = None,
    passphrase_env: Annotated[
        str | None,
        typer.Option("--passphrase-env", help="Protect the file with the passphrase in this variable."),
    ] = None,
    config: Config = None,
) -> None:
    """Make a master key.

    A file gets mode 0600, in a directory with mode 0700 where that is missing, and is never overwritten. Keep a copy
    apart from the store: whoever has both can reveal every value, and without the master key nobody can.

    [bold]Examples[/bold]

      streamguard keys init                          [dim]# where streamguard.yaml says[/dim]

      streamguard keys init --file keys/master.key

      streamguard keys init --env STREAMGUARD_MASTER_KEY >> .env
    """
    from streamguard.crypto.kms.local import format_line, generate, master_id, write_file

    if [file, env, config].count(None) < 2:
        raise UsageError("A master key is made in one place.", "Give one of --file, --env and --config.")
    if env is not None and passphrase_env is not None:
        raise UsageError("A passphrase protects a file.", "Leave out --passphrase-env, or give --file.")
    passphrase = None if passphrase_env is None else _passphrase(passphrase_env)
    if file is None and env is None:
        from streamguard.crypto.setup import passphrase as passphrase_of

        keys = _local_keys(config)
        file, env, passphrase = keys.file, keys.env, passphrase or passphrase_of(keys)
    master = generate()
    if file is not None:
        write_file(file, master, passphrase)
        typer.echo(f"Wrote master key {master_id(master)} to {file}. Keep a copy of it apart from the store.")
        return
    typer.echo(f"{env}={format_line(master)}")
    typer.echo(
        f"This is master key {master_id(master)}; it is printed only once. Put the line where your environment comes\n"
        f"from, and 'keys: {{env: {env}}}' into the service file. For production keep the key in a file or a KMS:\n"
        "an environment is read by more than one expects.",
        err=True,
    )


@keys_app.command("list")
def list_keys(
    config: Config = None,
    store: StoreUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
) -> None:
    """List the data keys in the store: what each is for, and whether it can still be used. Never a secret.

    [bold]Examples[/bold]

      streamguard keys list -c streamguard.yaml

      streamguard keys list --store sqlite:///streamguard.db --json
    """
    from streamguard.store.store import open_store

    rows = open_store(store_url(config, store), create=False).keys.all()
    if as_json:
        print_json([_as_document(row) for row in rows])
    else:
        print_keys(rows)


def store_url(config: Path | None, store: str | None) -> str:
    """The store that the options name: `--store`, or the service file's."""
    if store is not None:
        if config is not None:
            raise UsageError("--config names a store already.", "Leave out --store.")
        return store
    return the_service(config).store.url.get_secret_value()


def master_keys(config: Path | None, file: Path | None, env: str | None) -> Keys:
    """The master key that the options name: `--keys`, `--keys-env`, or the service file's."""
    from streamguard.policy.keys import LocalKeys

    if [file, env, config].count(None) < 2:
        raise UsageError("The master key is in one place.", "Give one of --keys, --keys-env and --config.")
    if file is not None:
        return LocalKeys(file=file)
    if env is not None:
        return LocalKeys(env=env)
    return _service_keys(config)


def the_service(config: Path | None) -> Service:
    """The service file that is named, or the one that is here."""
    from streamguard.policy.service import load_service

    return load_service(_config(config))


def confirmed(question: str, *, yes: bool, otherwise: str) -> None:
    """Go on if a person says so, or said so with an option. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to be asked.", otherwise)
    typer.confirm(question, abort=True, err=True)


def _service_keys(config: Path | None) -> Keys:
    return the_service(config).keys


def _local_keys(config: Path | None) -> LocalKeys:
    from streamguard.policy.keys import LocalKeys

    keys = _service_keys(config)
    if not isinstance(keys, LocalKeys):
        raise UsageError(
            f"The service file's master key is in '{keys.provider}', and is made there.",
            "docs/keys.md says how. A key for this machine: streamguard keys init --file FILE",
        )
    return keys


def _passphrase(variable: str) -> str:
    passphrase = os.environ.get(variable, "").strip()
    if not passphrase:
        raise UsageError(f"The environment variable {variable} holds no passphrase.", "Set it.")
    return passphrase


def _config(config: Path | None) -> Path:
    if config is not None:
        return config
    if not DEFAULT_CONFIG.exists():
        raise UsageError(
            "There is no streamguard.yaml here.", "Name the service file with --config, or see --help."
        )
    return DEFAULT_CONFIG


def _as_document(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "element": row.element,
        "purpose": row.purpose,
        "version": row.version,
        "state": "destroyed" if row.wrapped is None else "active",
        "master": row.master,
        "created_at": row.created_at.isoformat(timespec="seconds"),
        "destroy_after": row.destroy_after and row.destroy_after.isoformat(timespec="seconds"),
        "destroyed_at": row.destroyed_at and row.destroyed_at.isoformat(timespec="seconds"),
        "destruction_asked_by": row.destruction_asked_by,
        "destruction_asked_at": row.destruction_asked_at
        and row.destruction_asked_at.isoformat(timespec="seconds"),
    }


def print_keys(rows: list[KeyRow]) -> None:
    """A table, for people."""
    columns = ("id", "element", "purpose", "version", "state", "created_at", "destroy_after")
    print_table(
        (column.replace("_", " ") for column in columns),
        ([document[name] for name in columns] for document in map(_as_document, rows)),
    )
