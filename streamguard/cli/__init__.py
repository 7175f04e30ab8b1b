"""The `streamguard` command: one file per subcommand, nothing heavy imported before a command needs it."""

from __future__ import annotations

import sys

import typer

from streamguard.errors import StreamGuardError

app = typer.Typer(
    name="streamguard",
    help="A real-time privacy filter for Kafka: per-topic field policies, enforced exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point: runs a command; an error is one paragraph on stderr with its remedy, never a traceback."""
    try:
        app()
    except StreamGuardError as error:
        from streamguard.cli.problems import complain

        complain(error)
        sys.exit(error.exit_code)


# Each module adds its command to `app`.
from streamguard.cli import (  # noqa: E402
    access,  # noqa: F401
    api,  # noqa: F401
    audit,  # noqa: F401
    check,  # noqa: F401
    control,  # noqa: F401
    demo,  # noqa: F401
    erase,  # noqa: F401
    filter,  # noqa: A004, F401
    init,  # noqa: F401
    keys,  # noqa: F401
    keys_destroy,  # noqa: F401
    keys_rewrap,  # noqa: F401
    keys_rotate,  # noqa: F401
    reveal,  # noqa: F401
    run,  # noqa: F401
    schema,  # noqa: F401
    store,  # noqa: F401
    test,  # noqa: F401
    topics,  # noqa: F401
    violations,  # noqa: F401
)
