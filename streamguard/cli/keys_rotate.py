"""`streamguard keys rotate`: another version of a pinned key."""

from __future__ import annotations

from typing import Annotated

import typer

from streamguard.cli.keys import Config, confirmed, keys_app, the_service
from streamguard.cli.output import print_json


@keys_app.command()
def rotate(
    element: Annotated[str, typer.Option("--element", help="The element whose pinned key is replaced.")],
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: joins may break.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a sentence.")] = False,
) -> None:
    """Pin a new key for an element. Equal values get other tokens from then on, so joins across that moment break.

    Running processes use the new key within a minute, one after the other. Tokens of the old key stay readable. Keys
    for randomized encryption need no rotation: they are replaced every 12 hours, and whenever a process starts.

    [bold]Example[/bold]

      streamguard keys rotate --element email --yes
    """
    from streamguard.crypto.setup import open_keyring

    service = the_service(config)
    keyring = open_keyring(service.keys, service.store.url.get_secret_value(), create=False)
    confirmed(
        f"Equal values of '{element}' will get other tokens than before, so what was joined by them joins no more. "
        "Rotate?",
        yes=yes,
        otherwise="Rotation breaks joins. If that is meant: --yes",
    )
    row = keyring.rotate(element)
    if as_json:
        print_json({"element": element, "id": row.id, "version": row.version})
        return
    typer.echo(
        f"Pinned version {row.version} of '{element}', key {row.id}. Processes that run use it within a minute; tokens "
        "of older versions stay readable."
    )
