"""`streamguard erase`: a person's key is destroyed, and with it everything that was encrypted for that person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamguard.cli import app
from streamguard.cli.keys import Config, confirmed, the_service
from streamguard.cli.keys_destroy import acting_person
from streamguard.cli.output import counted, print_json
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from streamguard.crypto.erase import Outcome
    from streamguard.policy.service import Service

LETS_GO_WITHIN: Final = 60
"""Seconds for which a running service may still have a destroyed key in memory."""

NOT_REACHED: Final = (
    "the source topics, where the records are as they came",
    "fields under other transforms: pseudonyms, vault tokens, encryption without 'per: subject', and what is kept",
    "originals of violations, until their quarantine ends",
    "backups of the store, from which the key can be restored until they are deleted",
    "whatever readers of the clean topics have revealed or copied",
)
"""What is left of a person after the key is gone. docs/erase.md tells what to do about each."""


@app.command()
def erase(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            help="What stands at the policies' subject. Without any, one per line of stdin: "
            "what is typed as an argument stays in the shell's history."
        ),
    ] = None,
    config: Config = None,
    elements: Annotated[
        list[str] | None,
        typer.Option("--element", help="The subject's element. Default: those of the service's policies."),
    ] = None,
    who: Annotated[
        str | None,
        typer.Option("--as", help="Your name, where the system's user is not a person. Default: that user."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reapply: Annotated[
        bool,
        typer.Option(
            "--reapply",
            help="After a restore: erase everyone on the list again; stdin may bring an exported one.",
        ),
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Print the list, to be kept apart from the store.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Erase persons: destroy the keys under which their values were encrypted with 'encrypt: {per: subject}'.

    Every such token becomes unreadable, in all topics, copies and backups of topics; running services let go of the key
    within a minute. Nothing else is reached, and what that is gets printed. The list of erasures names nobody. Keep an
    export of it apart from the store, and apply it again after a backup of the store was restored.

    [bold]Examples[/bold]

      streamguard erase --yes < persons.txt

      streamguard erase --yes --json -c streamguard.yaml < persons.txt

      streamguard erase --export > erasures.ndjson

      streamguard erase --reapply < erasures.ndjson
    """
    if sum([reapply, export, bool(subjects)]) > 1:
        raise UsageError("--reapply and --export are about the list.", "Leave out the subjects.")
    service = the_service(config)
    if export:
        _export(service)
    elif reapply:
        _reapply(service, as_json=as_json)
    else:
        _erase(service, subjects or _from_stdin(), elements, acting_person(who), yes=yes, as_json=as_json)


def _erase(
    service: Service, subjects: list[str], elements: list[str] | None, by: str, *, yes: bool, as_json: bool
) -> None:
    from streamguard.crypto.erase import erase as erase_persons
    from streamguard.crypto.setup import open_keyring

    named = elements or _elements(service)
    question = (
        f"Make everything unreadable that was encrypted for {counted(len(subjects), 'person')}, for ever?"
    )
    confirmed(question, yes=yes, otherwise="Add --yes.")
    keyring = open_keyring(service.keys, service.store.url.get_secret_value(), create=False)
    outcome = erase_persons(keyring, named, subjects, by)
    if as_json:
        print_json(
            {
                "persons": len(subjects),
                "elements": named,
                "destroyed": len(outcome.destroyed),
                "erased_before": len(outcome.earlier),
                "unknown": [position + 1 for position in outcome.unknown],
                "still_in_memory_for_at_most_seconds": LETS_GO_WITHIN,
                "not_reached": list(NOT_REACHED),
            }
        )
    else:
        _tell(outcome)
    raise typer.Exit(1 if outcome.unknown else 0)


def _tell(outcome: Outcome) -> None:
    typer.echo(f"Destroyed the keys of {counted(len(outcome.destroyed), 'person')}.")
    if outcome.earlier:
        typer.echo(f"The keys of {counted(len(outcome.earlier), 'person')} had been destroyed before.")
    if outcome.unknown:
        # By number and not by name: what is printed here is kept in logs.
        numbers = ", ".join(str(position + 1) for position in outcome.unknown)
        unknown = counted(len(outcome.unknown), "person")
        typer.echo(f"Nothing was ever encrypted for {unknown} (number {numbers} of those given).")
    if outcome.destroyed:
        typer.echo(f"Running services let go of them within {LETS_GO_WITHIN} seconds.")
    typer.echo("This does not reach:")
    for what in NOT_REACHED:
        typer.echo(f"- {what}")


def _export(service: Service) -> None:
    from streamguard.crypto.erase import written
    from streamguard.store.store import open_store

    store = open_store(service.store.url.get_secret_value(), create=False)
    sys.stdout.buffer.write(written(store.erasures.all()))


def _reapply(service: Service, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from streamguard.crypto import erase as erasing
    from streamguard.store.store import open_store

    listed = erasing.read([] if sys.stdin.isatty() else sys.stdin.buffer)
    store = open_store(service.store.url.get_secret_value(), create=False)
    store.erasures.request(listed)
    destroyed = erasing.reapply(store, datetime.now(UTC))
    count = len(store.erasures.all())
    if as_json:
        print_json({"listed": count, "destroyed": destroyed})
    else:
        typer.echo(
            f"Destroyed {destroyed} of {counted(count, 'key')} on the list; "
            "the others were gone, or belong to who came back."
        )


def _elements(service: Service) -> list[str]:
    """The elements of the subjects for whom the service's policies encrypt."""
    from streamguard.policy.loader import load_policy

    policies = [load_policy(file).policy for file in service.policy_files()]
    found = {
        policy.element(policy.subject)
        for policy in policies
        if policy.subject is not None
        and any(rule.verb == "encrypt" and rule.options.get("per") for rule in policy.fields.values())
    }
    if not found:
        raise UsageError(
            "No policy of this service encrypts per subject.", "If one did in the past, name --element."
        )
    return sorted(found)


def _from_stdin() -> list[str]:
    if sys.stdin.isatty():
        raise UsageError("Nobody is named.", "Give one per line of stdin, or as arguments.")
    named = [line.decode("utf-8", "replace").rstrip("\r\n") for line in sys.stdin.buffer]
    found = [name for name in named if name]
    if not found:
        raise UsageError("Nobody is named.", "Give one per line of stdin.")
    return found
