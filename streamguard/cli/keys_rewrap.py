"""`streamguard keys rewrap`: from one master key to another, while everything runs."""

from __future__ import annotations

from typing import Annotated

import typer

from streamguard.cli.keys import Config, keys_app, the_service
from streamguard.cli.output import print_json


@keys_app.command()
def rewrap(
    config: Config = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object at the end instead of sentences.")
    ] = False,
) -> None:
    """Wrap every data key under the master key that the service file names now. Protected data is not touched.

    First add the new master key and have all processes reload; the old ones have to unwrap until this is done. It can
    be stopped at any time and goes on where it ended when it is called again. Exit code 1 when a key stays behind.

    [bold]Examples[/bold]

      streamguard keys rewrap

      streamguard keys rewrap -c streamguard.yaml --json
    """
    from rich.console import Console
    from rich.progress import Progress

    from streamguard.crypto.rewrap import rewrap as wrap_anew
    from streamguard.crypto.setup import open_kms
    from streamguard.store.store import open_store

    service = the_service(config)
    kms = open_kms(service.keys)
    store = open_store(service.store.url.get_secret_value(), create=False)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("rewrapping", total=None)
        done = wrap_anew(
            store, kms, lambda completed, total: bar.update(task, completed=completed, total=total)
        )
    masters = store.keys.masters()
    if as_json:
        document = {"master": kms.name, "moved": done.moved, "failed": done.failed, "masters": masters}
        print_json(document)
    else:
        for key_id, reason in done.failed.items():
            typer.echo(f"{key_id}: {reason}", err=True)
        typer.echo(f"Moved {done.moved} keys to master key {kms.name}.")
        for master, count in sorted(masters.items()):
            typer.echo(f"{master} wraps {count} keys.")
        if set(masters) <= {kms.name}:
            typer.echo("No other master key is needed for this store any more, but for its backups.")
    raise typer.Exit(1 if done.failed else 0)
