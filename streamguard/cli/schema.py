"""`streamguard schema`: what editors need to complete and check the files of StreamGuard."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from streamguard.cli import app
from streamguard.cli.output import print_json


class Kind(StrEnum):
    """A kind of file."""

    policy = "policy"
    service = "service"
    test = "test"


@app.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="Which kind of file.")] = Kind.policy,
) -> None:
    """Print the JSON Schema of the policy file, of the service file, or of policy tests.

    Editors with a YAML language server complete keys, transforms and options with it: write the schema to a file, and
    begin each policy with the line  # yaml-language-server: $schema=../policy.schema.json

    [bold]Examples[/bold]

      streamguard schema > policy.schema.json

      streamguard schema service > streamguard.schema.json

      streamguard schema test > test.schema.json
    """
    from streamguard.guard.file_schemas import SCHEMAS

    print_json(SCHEMAS[kind.value]())
