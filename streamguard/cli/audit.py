"""`streamguard audit`: the trail of everything that was revealed, read and verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import app
from streamguard.cli.desk import KeyFile, KeyVariable, keyring_of, service_of
from streamguard.cli.keys import Config, StoreUrl, store_url
from streamguard.cli.output import print_json, print_table
from streamguard.cli.times import time_of
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamguard.access.verify import Verdict
    from streamguard.policy.service import Service
    from streamguard.store.audit import AuditRow, HeadRow

audit_app = typer.Typer(
    name="audit",
    help="The audit trail: who revealed what, for what; and proof that nobody changed it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(audit_app)


@audit_app.command()
def verify(
    config: Config = None,
    store: StoreUrl = None,
    keys: KeyFile = None,
    keys_env: KeyVariable = None,
    *,
    topic: Annotated[
        bool, typer.Option("--topic", help="Hold it against the heads on the audit topic, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of lines.")] = False,
) -> None:
    """Prove that no entry was changed, removed, inserted or moved. Exit code 1 when one was.

    Without --topic, a database owner who cut off the newest entries together with their signed heads is not found out:
    only heads that are out of his reach show that.

    [bold]Examples[/bold]

      streamguard audit verify -c streamguard.yaml

      streamguard audit verify --store sqlite:///streamguard.db --keys keys/master.key --json
    """
    from streamguard.access.verify import Verifier

    published = _published(service_of(config, store, keys, keys_env)) if topic else None
    verdict = Verifier(keyring_of(config, store, keys, keys_env)).verify(published)
    if as_json:
        _print_json(verdict)
    else:
        _print_verdict(verdict)
    raise typer.Exit(0 if verdict.intact else 1)


@audit_app.command("list")
def list_entries(
    config: Config = None,
    store: StoreUrl = None,
    keys: KeyFile = None,
    keys_env: KeyVariable = None,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="The last so many that fit.")] = 20,
    who: Annotated[str | None, typer.Option("--who", help="Of this person or program only.")] = None,
    element: Annotated[str | None, typer.Option("--element", "-e", help="Of this element only.")] = None,
    decision: Annotated[
        str | None, typer.Option("--decision", help="revealed, masked, denied, throttled or refused.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="From then on: 15m, 7d, or a time such as 2026-01-31T12:00Z."),
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="Only entries about this token. Needs the master key.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List entries, oldest first: when, who, what, how many values, what for, and what was decided.

    [bold]Examples[/bold]

      streamguard audit list -n 50

      streamguard audit list --decision denied --since 7d --json
    """
    from collections import deque

    begin = time_of("--since", since)
    wanted = {"who": who, "element": element, "decision": decision}
    fixed = {name: value for name, value in wanted.items() if value is not None}
    about = _about(token, config, store, keys, keys_env)
    found = deque(
        (
            row
            for row in _entries(config, store)
            if all(getattr(row, name) == value for name, value in fixed.items())
            and (begin is None or row.at >= begin)
            and about(row)
        ),
        maxlen=count,
    )
    if as_json:
        import orjson

        for row in found:
            typer.echo(orjson.dumps(_as_document(row)).decode())
    else:
        _print_entries(found)


def _published(service: Service | None) -> Iterator[HeadRow | None]:
    if service is None or service.access is None or service.access.audit is None:
        raise UsageError(
            "There is no audit topic in the service file.", "Write 'access: {audit: {topic: …}}' into it."
        )
    from streamguard import logs
    from streamguard.streams.audit import published_heads

    logs.setup("text", "error")
    return published_heads(service, service.access.audit.topic)


def _entries(config: Config, store: StoreUrl) -> Iterator[AuditRow]:
    from streamguard.store.store import open_store

    return open_store(store_url(config, store), create=False).audit.entries()


def _about(
    token: str | None, config: Config, store: StoreUrl, keys: KeyFile, keys_env: KeyVariable
) -> Callable[[AuditRow], bool]:
    """Whether an entry is about a token; without one, every entry is."""
    if token is None:
        return lambda _: True
    from streamguard.access.audit import names, references, trail_keys

    marks = [references([token], key) for key in trail_keys(keyring_of(config, store, keys, keys_env))]
    return lambda row: any(names(row.reference_hmac, mark) for mark in marks)


def _as_document(row: AuditRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": row.at.isoformat(timespec="microseconds"),
        "who": row.who,
        "action": row.action,
        "element": row.element,
        "count": row.count,
        "purpose": row.purpose,
        "decision": row.decision,
        "reason": row.reason,
        "hash": row.hash.hex(),
    }


def _print_entries(rows: Any) -> None:
    columns = ("seq", "at", "who", "action", "element", "count", "purpose", "decision", "reason")
    shown = [{**_as_document(row), "at": row.at.isoformat(sep=" ", timespec="seconds")} for row in rows]
    print_table(columns, ([document[name] for name in columns] for document in shown))


def _print_json(verdict: Verdict) -> None:
    document = {
        "intact": verdict.intact,
        "entries": verdict.entries,
        "heads": verdict.heads,
        "published": verdict.published,
        "published_to": verdict.published_to,
        "strange": verdict.strange,
        "flaws": [{"code": flaw.code, "seq": flaw.seq, "message": flaw.message} for flaw in verdict.flaws],
    }
    print_json(document)


def _print_verdict(verdict: Verdict) -> None:
    for flaw in verdict.flaws:
        typer.echo(f"entry {flaw.seq}: {flaw.message} [{flaw.code}]")
    if verdict.strange:
        typer.echo(f"Left out {verdict.strange} records of the audit topic that are no heads of this trail.")
    held = f"{verdict.entries} entries, {verdict.heads} signed heads"
    if verdict.published_to is not None:
        held += f", {verdict.published} published heads up to entry {verdict.published_to}"
    typer.echo(f"{'Intact' if verdict.intact else 'NOT intact'}: {held}.")
