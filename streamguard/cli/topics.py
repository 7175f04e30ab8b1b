"""`streamguard topics`: what the policies read and write in Kafka, and making what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import app
from streamguard.cli.output import print_json, print_table

if TYPE_CHECKING:
    from streamguard.policy.models import Policy
    from streamguard.policy.service import Service

Config = Annotated[Path, typer.Option("--config", "-c", help="The service file.")]

topics_app = typer.Typer(
    name="topics",
    help="The topics that the policies read and write.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(topics_app)


@topics_app.command()
def show(
    config: Config = Path("streamguard.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
) -> None:
    """List every topic of the service: whether it is there, and its settings that matter.

    Exit code 1 when one is missing.

    [bold]Example[/bold]

      streamguard topics show -c streamguard.yaml --json
    """
    service, policies = _read(config)
    rows = _rows(service, policies)
    if as_json:
        print_json(rows)
    else:
        _print(rows)
    if any(not row["exists"] for row in rows):
        raise typer.Exit(1)


@topics_app.command()
def create(config: Config = Path("streamguard.yaml")) -> None:
    """Create the output topics that are missing, like their sources, and the control topic.

    `streamguard run` does the same, unless 'topics.create' is false: for services that may not create topics.

    [bold]Example[/bold]

      streamguard topics create -c streamguard.yaml
    """
    from streamguard.streams.startup import create_control_topic
    from streamguard.streams.topics import Cluster, create_outputs

    service, policies = _read(config)
    service = service.model_copy(update={"topics": service.topics.model_copy(update={"create": True})})
    cluster = Cluster(service)
    made = create_outputs(service, policies, cluster)
    if create_control_topic(service):
        made.append(f"{service.group}.control")
    for topic in made:
        typer.echo(topic)
    typer.echo(f"{len(made)} created, the others were there." if made else "All topics are there.", err=True)


def _read(config: Path) -> tuple[Service, list[Policy]]:
    from streamguard import logs
    from streamguard.streams.startup import read_policies, read_service

    service = read_service(config).service
    logs.setup("text", "error")
    return service, [loaded.policy for loaded in read_policies(service).values()]


def _rows(service: Service, policies: list[Policy]) -> list[dict[str, Any]]:
    from streamguard.streams.agents.control import topic_of
    from streamguard.streams.topics import Cluster

    wanted = [
        {"policy": policy.name, "role": role, "topic": topic}
        for policy in policies
        for role, topic in (
            ("source", policy.topic),
            ("clean", policy.clean_topic),
            ("violations", policy.violations_topic),
        )
    ]
    wanted.append({"policy": "", "role": "control", "topic": topic_of(service.group)})
    cluster = Cluster(service)
    counts = cluster.partition_counts()
    configs = cluster.configs(sorted({row["topic"] for row in wanted} & counts.keys()))
    return [_row(row, counts.get(row["topic"]), configs.get(row["topic"], {})) for row in wanted]


def _row(row: dict[str, str], partitions: int | None, settings: Any) -> dict[str, Any]:
    def setting(name: str) -> str | None:
        return settings[name].value if name in settings else None

    return {
        **row,
        "exists": partitions is not None,
        "partitions": partitions,
        "cleanup.policy": setting("cleanup.policy"),
        "retention.ms": setting("retention.ms"),
        "max.message.bytes": setting("max.message.bytes"),
        "min.insync.replicas": setting("min.insync.replicas"),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("policy", "role", "topic", "partitions", "cleanup.policy", "retention.ms", "max.message.bytes")
    shown = [row if row["exists"] else {**row, "partitions": "missing"} for row in rows]
    print_table(
        columns,
        ([row[name] for name in columns] for row in shown),
        styles=(None if row["exists"] else "red" for row in rows),
    )
