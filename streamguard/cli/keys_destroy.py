"""`streamguard keys destroy`: the end of a key, and of everything that it protected."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamguard.cli.keys import Config, confirmed, keys_app, print_keys, the_service
from streamguard.cli.output import counted, print_json
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from streamguard.crypto.destruction import Outcome

_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")


@keys_app.command()
def destroy(
    key_id: Annotated[str | None, typer.Argument(metavar="[KEY]", help="The id of one key.")] = None,
    element: Annotated[
        str | None, typer.Option("--element", help="All keys of this element instead.")
    ] = None,
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="The first confirmation.")] = False,
    confirm: Annotated[
        str | None, typer.Option("--confirm", help="The second one: the id, or the element, once more.")
    ] = None,
    who: Annotated[
        str | None,
        typer.Option("--as", help="Your name, where the system's user is not a person. Default: that user."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of sentences.")] = False,
) -> None:
    """Destroy keys: what they protected can never be read again. There is no way back.

    You are asked twice. With 'key_destruction: {persons: 2}' in the service file, the first call only notes the
    request, and another person has to make the same call. Running processes let go of the keys within a minute. Copies
    of the store that were made before still hold them.

    [bold]Example[/bold]

      streamguard keys destroy --element email --yes --confirm email
    """
    from streamguard.crypto import destruction
    from streamguard.store.store import open_store

    if (key_id is None) == (element is None):
        raise UsageError(
            "What is to be destroyed is one key, or one element.", "Give a key's id or --element."
        )
    what = key_id or element or ""
    person = acting_person(who)
    service = the_service(config)
    rules = service.key_destruction
    store = open_store(service.store.url.get_secret_value(), create=False)
    rows = destruction.to_destroy(store, key_id=key_id, element=element)
    if rows:
        if not as_json:
            print_keys(rows)
        _confirm_twice(what, len(rows), yes=yes, confirm=confirm)
    outcome = destruction.destroy(store, rows, person, persons=rules.persons, within=rules.within)
    if as_json:
        print_json({"destroyed": outcome.destroyed, "waiting": outcome.waiting})
    else:
        _tell(outcome, person, f"{rules.within.total_seconds() / 3600:g} hours")


def acting_person(named: str | None) -> str:
    """Who does this: the name given, or the system's user."""
    if named is None:
        import pwd

        try:
            named = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # in a container, whose users may have numbers only
            named = f"uid-{os.getuid()}"
    if not _NAME.fullmatch(named):
        raise UsageError("That is no name of a person.", "Write it without blanks: --as ada")
    return named


def _confirm_twice(what: str, count: int, *, yes: bool, confirm: str | None) -> None:
    otherwise = f"To destroy without being asked: --yes --confirm {what}"
    confirmed(
        f"Destroy {counted(count, 'key')}, and for ever all that they protected?",
        yes=yes,
        otherwise=otherwise,
    )
    if confirm is None:
        if not sys.stdin.isatty():
            raise UsageError("A second confirmation is missing.", otherwise)
        confirm = typer.prompt(f"Type {what} once more", err=True)
    if confirm != what:
        raise UsageError(f"The second confirmation is not '{what}'. Nothing was destroyed.", otherwise)


def _tell(outcome: Outcome, person: str, hours: str) -> None:
    if outcome.destroyed:
        typer.echo(
            f"Destroyed {counted(len(outcome.destroyed), 'key')}. Processes that run let go within a minute; "
            "copies of the store that were made before still have them."
        )
    if outcome.waiting:
        typer.echo(
            f"Noted, and not destroyed yet: {counted(len(outcome.waiting), 'key')}. Within {hours} of the first "
            f"request another person has to make the same call; you are '{person}'."
        )
    if not outcome.destroyed and not outcome.waiting:
        typer.echo("Destroyed already.")
