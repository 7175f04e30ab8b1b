"""`streamguard store`: the tables of the store, looked at and brought up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from streamguard.cli import app
from streamguard.cli.keys import Config, StoreUrl, store_url
from streamguard.cli.output import print_json

_UPGRADE_SECONDS = 3600.0

store_app = typer.Typer(
    name="store",
    help="The store's tables: their state, and bringing them up to date.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(store_app)


@store_app.command()
def status(
    config: Config = None,
    store: StoreUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a line.")] = False,
) -> None:
    """Tell whether the store's tables are those that this release works with.

    Exit code 1 when they are missing, older or newer.

    [bold]Examples[/bold]

      streamguard store status -c streamguard.yaml

      streamguard store status --store sqlite:///streamguard.db --json
    """
    from streamguard.store.migrate import revision
    from streamguard.store.store import open_database
    from streamguard.store.tables import REVISION

    database = open_database(store_url(config, store))
    found = revision(database)
    database.close()
    state = "missing" if found is None else _STATES[(found > REVISION) - (found < REVISION)]
    if as_json:
        document = {"state": state, "revision": found, "newest": REVISION, "database": database.name}
        print_json(document)
    else:
        typer.echo(_SENTENCES[state].format(found=found, newest=REVISION, database=database.name))
    if state != "current":
        raise typer.Exit(1)


@store_app.command()
def upgrade(config: Config = None, store: StoreUrl = None) -> None:
    """Make the store's tables, or bring them up to date: all of it or nothing.

    The service makes tables by itself where there are none, and upgrades a SQLite file. A PostgreSQL database, which
    a fleet shares, is upgraded with this command, by the user who owns the tables. Back it up first.

    [bold]Example[/bold]

      streamguard store upgrade -c streamguard.yaml
    """
    from streamguard.errors import ConfigError
    from streamguard.store.migrate import upgrade as bring_up_to_date
    from streamguard.store.store import open_database
    from streamguard.store.tables import REVISION

    database = open_database(store_url(config, store), create=True, patience=_UPGRADE_SECONDS)
    found = bring_up_to_date(database)
    database.close()
    if found is not None and found > REVISION:
        raise ConfigError("The store was written by a newer StreamGuard.", "Upgrade this one.")
    if found == REVISION:
        typer.echo(f"The tables are up to date: revision {REVISION}.")
    elif found is None:
        typer.echo(f"Made the tables: revision {REVISION}.")
    else:
        typer.echo(f"Brought the tables from revision {found} to {REVISION}.")


_STATES = {-1: "older", 0: "current", 1: "newer"}
_SENTENCES = {
    "missing": "There are no StreamGuard tables in this {database} database. Make them: streamguard store upgrade",
    "older": "The tables in this {database} database are of revision {found}, and {newest} is needed. "
    "Back it up, and run: streamguard store upgrade",
    "current": "The tables in this {database} database are up to date: revision {found}.",
    "newer": "The tables in this {database} database were made by a newer StreamGuard: revision {found}, and this "
    "release works with {newest}.",
}
