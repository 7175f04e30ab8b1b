"""Where the demo is shown: a screen that is redrawn, or, where nobody watches, a few lines."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streamguard.demo.live import Screen, audit
from streamguard.demo.sample import FAULTS
from streamguard.demo.witness import Witness

_LINE_EVERY: Final = 2.0


class Terminal:
    """Takes the whole terminal, and gives it back as it was."""

    def __init__(self, console: Console, screen: Screen) -> None:
        self._console = console
        self._screen = screen
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def step(self, text: str) -> None:
        """Shown beside the policy until the first record is through."""
        self._screen.steps.append(text)
        self._redraw()

    def serving(self, address: str, pid: int) -> None:
        """Shown from now on."""
        self._screen.address, self._screen.pid = address, pid

    def draw(self, rate: float, lasts: float) -> None:
        """All of it again."""
        self._screen.rate = rate
        self._redraw()

    def _redraw(self) -> None:
        self._live.update(self._screen.draw(self._console.size.height), refresh=True)


class Lines:
    """Prints a line now and then."""

    def __init__(self, console: Console, witness: Witness) -> None:
        self._console = console
        self._witness = witness
        self._printed = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def step(self, text: str) -> None:
        """One line each."""
        self._print(f"starting {text}")

    def serving(self, address: str, pid: int) -> None:
        """Where to look."""
        self._print(f"broker {address}, service process {pid}")

    def draw(self, rate: float, lasts: float) -> None:
        """One line every two seconds."""
        witness = self._witness
        if witness.clean + witness.rejected and lasts - self._printed >= _LINE_EVERY:
            self._printed = lasts
            done = f"{witness.clean:,} clean, {witness.rejected:,} violations"
            self._print(f"{witness.sent:>7,} orders in, {rate:,.0f} a second; {done}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def sum_up(console: Console, witness: Witness, lasted: float) -> None:
    """What the demo has shown, for those who read it afterwards."""

    def say(*parts: str | Text | tuple[str, str]) -> None:
        console.print(Text.assemble(*parts), soft_wrap=True)

    say(
        ("StreamGuard", "bold cyan"),
        f" took {witness.sent:,} orders in {lasted:.0f} s: {witness.clean:,} left protected, "
        f"{witness.rejected:,} were rejected and explained.",
    )
    say(audit(witness))
    if witness.missing:
        say((f"✗ {witness.missing:,} orders of {witness.sent:,} came out nowhere", "bold red"))
    say()
    for code, count in witness.codes.most_common():
        causes = ", ".join(name for name, fault in FAULTS.items() if fault.code == code)
        say(f"{count:>7,}  ", (f"{code:24}", "red"), (f" {causes}", "dim"))
    say()
    say(("What you saw:  ", "dim"), "policies/orders.yaml, schemas/order.schema.json")
    say(("Now yours:     ", "dim"), "docs/quick-start.md")
