"""`streamguard access`: who may reveal what, looked at before it matters."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli import app
from streamguard.cli.desk import service_of
from streamguard.cli.keys import Config
from streamguard.cli.output import print_json
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from streamguard.policy.service import Access

access_app = typer.Typer(
    name="access",
    help="Who may reveal what: decisions explained, and static tokens made.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(access_app)


@access_app.command()
def check(
    config: Config = None,
    *,
    role: Annotated[list[str], typer.Option("--role", "-r", help="A role of whoever asks. May be repeated.")],
    element: Annotated[str, typer.Option("--element", "-e", help="What the value is.")],
    topic: Annotated[
        str | None, typer.Option("--topic", help="The topic that the service itself reads the value from.")
    ] = None,
    purpose: Annotated[str, typer.Option("--purpose", help="What for.")] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name", help="Who asks, as the audit trail calls him: oidc:ISSUER#SUBJECT, token:NAME."
        ),
    ] = "check",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of lines.")] = False,
) -> None:
    """Explain a decision: what a role may see of an element, and which Cedar policy says so.

    Nothing is revealed, and nothing written. Exit code 1 when neither the value nor its masked form may be seen.

    [bold]Examples[/bold]

      streamguard access check --role support --element email --purpose "ticket 4711"

      streamguard access check --role fraud --element email --topic orders.clean --json
    """
    from streamguard.access.authz import load_rules
    from streamguard.access.principal import Principal
    from streamguard.access.purpose import check_purpose

    check_purpose(purpose)
    rules = load_rules(_access(config).policy_files())
    principal = Principal(name, frozenset(role), "token" if name.startswith("token:") else "oidc")
    decisions = {
        action: rules.decide(principal, action, element, purpose=purpose, topic=topic)
        for action in ("reveal", "reveal_masked")
    }
    grant = rules.grant(principal, element, purpose=purpose, topic=topic)
    if as_json:
        document = {
            "view": grant.view,
            "decisions": {
                action: {"allowed": found.allowed, "by": found.by, "failed": found.failed}
                for action, found in decisions.items()
            },
        }
        print_json(document)
    else:
        for action, found in decisions.items():
            word = "allowed" if found.allowed else "denied"
            why = (
                "a policy cannot be evaluated"
                if found.failed
                else ", ".join(found.by) or "no policy permits it"
            )
            typer.echo(f"{action}: {word} ({why})")
        typer.echo(f"So the value is {_SEEN[grant.view]}.")
    raise typer.Exit(0 if grant.view else 1)


@access_app.command()
def token(
    name: Annotated[str, typer.Option("--name", help="Who gets it; the audit trail says token:NAME.")],
    role: Annotated[list[str], typer.Option("--role", "-r", help="A role that it gives. May be repeated.")],
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it ends, such as 2027-01-31T00:00:00Z.")
    ] = None,
) -> None:
    """Make a static token, for set-ups without an identity provider.

    The entry for the file that 'access.tokens' names goes to stdout: it holds a hash, and is no secret. The token
    itself is shown once, on stderr.

    [bold]Example[/bold]

      streamguard access token --name support-ui --role support --expires 2099-01-31T00:00:00Z >> tokens.yaml
    """
    from pydantic import ValidationError

    from streamguard.access.tokens import StaticToken, generate, hash_of

    made = generate()
    written = {"name": name, "hash": hash_of(made), "roles": role, "expires": _time(expires)}
    try:
        entry = StaticToken.model_validate(written)
    except ValidationError:
        raise UsageError(
            "--name is letters, digits, '.', '_' and '-', at most 64; a role is not empty."
        ) from None
    import orjson

    end = f", expires: {orjson.dumps(expires).decode()}" if expires else ""
    roles = orjson.dumps(list(entry.roles)).decode()
    typer.echo(f"  - {{name: {entry.name}, hash: {entry.hash}, roles: {roles}{end}}}")
    typer.echo(f"The token, shown once: {made}", err=True)
    if sys.stdout.isatty():
        typer.echo("The line belongs below 'tokens:' in the file that 'access.tokens' names.", err=True)


_SEEN = {"full": "revealed", "masked": "shown masked", None: "not shown"}


def _access(config: Config) -> Access:
    service = service_of(config, None, None, None)
    if service is None or service.access is None:
        raise UsageError(
            "The service file has no 'access'; whoever has the master key may reveal.", "See docs/reveal.md."
        )
    return service.access


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        time = datetime.min  # noqa: DTZ901 - told apart by having no offset
    if time is not None and time.tzinfo is None:
        raise UsageError("--expires is a time with its offset.", "Write it like 2027-01-31T00:00:00Z.")
    return time
