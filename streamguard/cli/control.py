"""`streamguard control`: telling the running processes of a group something, through their control topic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli import app
from streamguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from streamguard.policy.service import Service

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The service file of the processes that are meant.")
]
PolicyName = Annotated[str, typer.Argument(metavar="POLICY", help="The policy's name.")]

control_app = typer.Typer(
    name="control",
    help="Tell all running processes to reload, pause or resume.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(control_app)


@control_app.command()
def reload(config: Config = Path("streamguard.yaml")) -> None:
    """Have every process read its policy files anew.

    Each process takes the new policies only if all of its files are right, and says in its log why not if they are not.
    A single process can be told with SIGHUP instead.

    [bold]Example[/bold]

      streamguard control reload -c streamguard.yaml
    """
    from streamguard.streams.agents.control import Command, send

    service = _service(config)
    send(service, Command("reload"))
    typer.echo(
        f"Told the processes of group '{service.group}' to reload; their logs say 'reload.done' or why not."
    )


@control_app.command()
def pause(policy: PolicyName, config: Config = Path("streamguard.yaml")) -> None:
    """Have a policy's lanes stand still, in all processes, until they are resumed.

    The pause outlives restarts: a process that starts meanwhile finds it in the control topic.

    [bold]Example[/bold]

      streamguard control pause orders
    """
    from streamguard.streams.agents.control import Command, send

    service = _service(config)
    _check_name(service, policy)
    send(service, Command("pause", policy))
    typer.echo(
        f"Told the processes of group '{service.group}' to pause '{policy}', until: streamguard control resume {policy}"
    )


@control_app.command()
def resume(policy: PolicyName, config: Config = Path("streamguard.yaml")) -> None:
    """Have a policy's lanes go on, after `pause` or after too many violations paused them.

    [bold]Example[/bold]

      streamguard control resume orders
    """
    from streamguard.streams.agents.control import Command, send

    service = _service(config)
    _check_name(service, policy)
    send(service, Command("resume", policy))
    typer.echo(f"Told the processes of group '{service.group}' to go on with '{policy}'.")


@control_app.command()
def paused(
    config: Config = Path("streamguard.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of lines.")] = False,
) -> None:
    """List the policies that `pause` holds, one a line.

    [bold]Example[/bold]

      streamguard control paused --json
    """
    import orjson

    from streamguard.streams.agents.control import recover

    held = sorted(recover(_service(config)).paused)
    if as_json:
        typer.echo(orjson.dumps(held).decode())
    else:
        typer.echo("\n".join(held), nl=bool(held))


def _service(config: Path) -> Service:
    from streamguard import logs
    from streamguard.policy.service import load_service

    service = load_service(config)
    logs.setup("text", "error")
    return service


def _check_name(service: Service, policy: str) -> None:
    """A misspelt name would be heard by nobody, and nobody would say so."""
    from streamguard.policy.loader import default_name, load_policy
    from streamguard.policy.problems import did_you_mean

    names: list[str] = []
    for file in service.policy_files():
        try:
            names.append(load_policy(file).policy.name)
        except ConfigError:  # one broken file is no reason why another policy cannot be paused
            names.append(default_name(file))
    if policy not in names:
        raise UsageError(
            f"The service has no policy '{policy}'.",
            did_you_mean(policy, names) or f"It has: {', '.join(names)}.",
        )
