"""`streamguard demo`: the real service on an embedded broker, with sample orders, to look at."""

from __future__ import annotations

import math
from typing import Annotated, Final

import typer

from streamguard.cli import app

_UNWATCHED_SECONDS: Final = 10.0


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="How long. Default: until Ctrl-C; 10 where stdout is not a terminal."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Orders a second.")] = 200,
    faults: Annotated[float, typer.Option(min=0, max=1, help="The share of orders that are bad.")] = 0.08,
    seed: Annotated[int, typer.Option(help="Another number gives other orders.")] = 1,
) -> None:
    """Show what StreamGuard does: orders go in, protected orders and violations come out.

    Needs no set-up. It starts a Kafka broker inside this process (librdkafka's mock cluster), the real service, and a
    shop that sends orders, some of them bad in eighteen ways. It leaves nothing behind and uses nothing but loopback.

    [bold]Examples[/bold]

      streamguard demo

      streamguard demo --seconds 20 --rate 1000
    """
    from rich.console import Console

    from streamguard import logs
    from streamguard.demo.live import Screen
    from streamguard.demo.play import Play
    from streamguard.demo.sample import Orders
    from streamguard.demo.service import find_policy
    from streamguard.demo.stages import Lines, Terminal, sum_up
    from streamguard.demo.witness import Witness

    logs.setup("text", "error")
    console, loaded, witness = Console(), find_policy(), Witness()
    watched = console.is_terminal and not console.is_dumb_terminal
    with Terminal(console, Screen(loaded, witness)) if watched else Lines(console, witness) as stage:
        play = Play(loaded, Orders(seed, faults), witness, stage)
        lasted = play.run(seconds=seconds or (math.inf if watched else _UNWATCHED_SECONDS), rate=rate)
    sum_up(console, witness, lasted)
    raise typer.Exit(1 if witness.missing or witness.twice or witness.leaks else 0)
