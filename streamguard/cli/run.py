"""`streamguard run`: the service."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli import app
from streamguard.errors import StreamGuardError

if TYPE_CHECKING:
    import socket

    from streamguard.policy.service import LoadedService, Service
    from streamguard.streams.client import Slot
    from streamguard.streams.signals import Signals


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The service file.")] = Path(
        "streamguard.yaml"
    ),
    slot: Annotated[
        str | None,
        typer.Option(
            help="This process's permanent name in the fleet. Default: the StatefulSet's, or the host's."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes, each with a core to use.")
    ] = 1,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy files, folders or patterns, instead of the service file's. May be repeated."
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="When a lane fails for good, let the others go on.")
    ] = False,
    lifeline: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Protect topics as the policies say, until stopped.

    SIGTERM and Ctrl-C end it in good order, SIGHUP reads the policies anew. On the service file's 'web' address,
    health is at /health/live and /health/ready, and metrics are at /metrics.

    [bold]Examples[/bold]

      streamguard run                                   [dim]# streamguard.yaml in this folder[/dim]

      streamguard run -c prod.yaml --slot guard-0

      streamguard run --processes 4

      streamguard run --policies policies/orders.yaml   [dim]# of all policies, this one[/dim]
    """
    from streamguard.streams.signals import Signals

    with Signals() as signals:
        start = _Start(signals, config, tuple(policies or ()), keep_going=keep_going)
        if lifeline is not None:
            start.as_child(lifeline)
        elif processes > 1:
            start.as_parent(slot, processes)
        else:
            start.alone(slot)


class _Start:
    """The three ways to begin. Each ends with `typer.Exit`."""

    def __init__(
        self, signals: Signals, config: Path, policies: tuple[str, ...], *, keep_going: bool
    ) -> None:
        self._signals = signals
        self._config = config
        self._policies = policies
        self._keep_going = keep_going

    def alone(self, given: str | None) -> None:
        """One process that does everything."""
        from streamguard.streams.web import listen

        loaded, slot = self._read(given)
        with _told(loaded.service):
            web = loaded.service.web
            self._process(loaded, slot, listen(web.host, web.port), None)

    def as_child(self, descriptor: int) -> None:
        """One of several: the parent has told the slot, and serves health and metrics."""
        from streamguard.streams.child import become_child

        lifeline, birth = become_child(descriptor)
        from streamguard.streams.client import Slot

        loaded, slot = self._read(Slot(birth.slot, permanent=birth.permanent))
        with _told(loaded.service, in_log=True):
            self._process(loaded, slot, None, lifeline)

    def as_parent(self, given: str | None, processes: int) -> None:
        """The one that starts the others."""
        from streamguard.streams.shared_metrics import metrics_folder, share_metrics

        with metrics_folder() as folder:
            share_metrics(folder, "parent")
            from streamguard.streams.processes import Parent
            from streamguard.streams.startup import prepare
            from streamguard.streams.web import listen

            loaded, slot = self._read(given)
            with _told(loaded.service):
                listener = listen(loaded.service.web.host, loaded.service.web.port)
                prepared = prepare(loaded, slot, has_lanes=False)

            async def live() -> int:
                parent = Parent(
                    prepared, self._signals, count=processes, command=self._command(), metrics=folder
                )
                return await parent.run(listener)

            code = asyncio.run(live())
        raise typer.Exit(code)

    def _read(self, given: str | Slot | None) -> tuple[LoadedService, Slot]:
        """The service file, with its log and this process's name in force from here on."""
        from streamguard import logs
        from streamguard.crypto.memory import keep_private
        from streamguard.streams.client import Slot
        from streamguard.streams.startup import read_service, slot_of

        keep_private()
        loaded = read_service(self._config, self._policies)
        logs.setup(loaded.service.log.format, loaded.service.log.level)
        slot = given if isinstance(given, Slot) else slot_of(given, loaded.service)
        logs.bind(slot=slot.name)
        return loaded, slot

    def _process(
        self,
        loaded: LoadedService,
        slot: Slot,
        listener: socket.socket | None,
        lifeline: socket.socket | None,
    ) -> None:
        """Be a process with lanes, to its end."""
        from streamguard.streams.app import Process
        from streamguard.streams.startup import prepare

        prepared = prepare(loaded, slot)

        async def live() -> int:
            return await Process(prepared, self._signals, keep_going=self._keep_going).run(listener, lifeline)

        raise typer.Exit(asyncio.run(live()))

    def _command(self) -> list[str]:
        """This command again, for a child. ``-P`` keeps the working folder from being searched for modules."""
        policies = [part for policy in self._policies for part in ("--policies", policy)]
        flags = ["--keep-going"] if self._keep_going else []
        return [
            sys.executable,
            "-P",
            "-m",
            "streamguard.cli",
            "run",
            "-c",
            str(self._config),
            *policies,
            *flags,
        ]


@contextlib.contextmanager
def _told(service: Service, *, in_log: bool = False) -> Iterator[None]:
    """What refuses to start is told as a paragraph at a terminal, and as a line where logs are read by machines."""
    from streamguard import logs

    try:
        yield
    except StreamGuardError as error:
        if not in_log and service.log.format == "text":
            raise
        logs.get(__name__).error("start.refused", error=error)
        raise typer.Exit(error.exit_code) from None
