"""The demo's screen: a record before and after, what was rejected and why, and how fast all that goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from rich.align import Align
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from streamguard.demo.witness import Outcome, Witness
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.models import Policy, Rule
from streamguard.policy.paths import Path, Segment, Wild, parse_path

_SHOWN_FOR: Final = 3.0  # seconds that one record stays: long enough to read what happened to it
_BEFORE: Final = "yellow"
_AFTER: Final = "green"
_BAD: Final = "red"
_OURS: Final = "cyan"
_KEPT: Final = ("payment.amount", "note")  # of the kept fields, those that say most


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the policy says about one field."""

    path: Path
    words: str
    kept: bool = False


def treatments(policy: Policy) -> list[Treatment]:
    """The fields worth showing: all that are protected, and a few that are kept."""
    protected = [Treatment(parse_path(path), _words(rule)) for path, rule in policy.fields.items()]
    kept = [Treatment(parse_path(path), "keep", kept=True) for path in policy.keep if path in _KEPT]
    return protected + kept


def look_up(document: Any, steps: Sequence[Segment]) -> Any:
    """The first value at a path, or None."""
    if not steps or document is None:
        return document
    step, *rest = steps
    if isinstance(document, dict):
        return look_up(document.get(step), rest)
    if isinstance(document, list) and step is Wild.EACH:
        return next((found for element in document if (found := look_up(element, rest)) is not None), None)
    return None


class Screen:
    """Shows what a witness saw. `address` is the broker's, `pid` the service's, `steps` the way to the first record."""

    def __init__(self, loaded: LoadedPolicy, witness: Witness) -> None:
        self.address = ""
        self.pid = 0
        self.rate = 0.0
        self.steps: list[str] = []
        self._policy = loaded.policy
        self._witness = witness
        self._source = loaded.path.read_text()
        self._treatments = treatments(loaded.policy)
        self._spinner = Spinner("dots", style=_OURS)
        self._good = _Held(self._fields_in)
        self._bad = _Held(lambda outcome: outcome.document["observed_at"])

    def draw(self, height: int) -> RenderableType:
        """The whole screen, for a terminal of so many lines."""
        good, bad = self._good.hold(self._witness.passed), self._bad.hold(self._witness.refused)
        if good is None:
            return self._starting(height)
        rows = max(5, min(len(self._treatments), height - 17))
        screen = Layout()
        screen.split_column(
            Layout(self._flow(), size=5),
            Layout(self._before_and_after(good, rows), size=rows + 3),
            Layout(name="rejected", minimum_size=5),
            Layout(self._footer(), size=2),
        )
        lines = max(1, height - 5 - (rows + 3) - 2 - 2)
        screen["rejected"].split_row(
            Layout(self._codes(lines), ratio=5), Layout(self._last_rejected(bad), ratio=6)
        )
        return screen

    # -- Before the first record -------------------------------------------------------------------------------------

    def _starting(self, height: int) -> RenderableType:
        steps = Table.grid(padding=(0, 1))
        for step in self.steps[:-1]:
            steps.add_row(Text("✓", _OURS), step)
        if self.steps:
            steps.add_row(self._spinner, self.steps[-1])
        why = Text.assemble(
            ("StreamGuard", f"bold {_OURS}"),
            " stands between a topic full of personal data and those who read it.\n\n",
            "A policy, here on the right, says what each field is and what must happen to it. ",
            "A record leaves protected, or it does not leave: then a violation says why, without a value of it.\n\n",
        )  # fmt: skip
        policy = Syntax(self._source, "yaml", background_color="default", line_range=(1, max(10, height - 2)))
        screen = Layout()
        screen.split_row(
            Layout(_panel(Group(why, steps), "starting"), ratio=5),
            Layout(_panel(policy, "policies/orders.yaml"), ratio=6),
        )
        return screen

    # -- The parts ---------------------------------------------------------------------------------------------------

    def _fields_in(self, outcome: Outcome) -> int:
        return sum(look_up(outcome.document, one.path.segments) is not None for one in self._treatments)

    def _flow(self) -> RenderableType:
        witness, policy = self._witness, self._policy
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True, ratio=4)
        grid.add_column(no_wrap=True, ratio=3)
        grid.add_column(no_wrap=True, ratio=6, justify="center")
        grid.add_column(no_wrap=True, ratio=3)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, ratio=6)
        grid.add_row(
            Text(policy.topic, "bold"),
            "",
            Text("StreamGuard", f"bold {_OURS}"),
            Text("    ┏━━━▶", _AFTER),
            Text(f"{witness.clean:,}", f"bold {_AFTER}"),
            Text.assemble((policy.clean_topic, "bold"), ("  protected", "dim")),
        )
        grid.add_row(
            Text(f"{witness.sent:,} orders", _BEFORE),
            Text("━━━━━━━▶", _BEFORE),
            Text(f"policy {policy.name}@{policy.version[:8]}", "dim"),
            Text("━━━━┫", _OURS),
            "",
            Text(f"{witness.latency:.1f} s from end to end", "dim"),
        )
        grid.add_row(
            Text(f"{self.rate:,.0f} a second", "dim"),
            "",
            Text(f"streamguard run, pid {self.pid}", "dim"),
            Text("    ┗━━━▶", _BAD),
            Text(f"{witness.rejected:,}", f"bold {_BAD}"),
            Text.assemble((policy.violations_topic, "bold"), ("  explained", "dim")),
        )
        return _panel(grid, "")

    def _before_and_after(self, outcome: Outcome, rows: int) -> RenderableType:
        before = orjson.loads(outcome.sample.value)
        table = Table(box=None, expand=True, padding=(0, 1), header_style="dim", show_edge=False)
        table.add_column("field", no_wrap=True, width=20)
        table.add_column(f"before ({self._policy.topic})", no_wrap=True, ratio=4, overflow="ellipsis")
        table.add_column("policy", no_wrap=True, ratio=4, overflow="ellipsis")
        table.add_column(f"after ({self._policy.clean_topic})", no_wrap=True, ratio=6, overflow="ellipsis")
        for treatment in self._treatments[:rows]:
            old, new = (look_up(document, treatment.path.segments) for document in (before, outcome.document))
            words = "keep, look through" if treatment.kept and isinstance(old, str) else treatment.words
            table.add_row(
                Text(str(treatment.path)),
                Text(_shown(old), "" if treatment.kept else _BEFORE),
                Text(words, "dim" if treatment.kept else _OURS),
                Text(_shown(new), "" if treatment.kept else _AFTER),
            )
        return _panel(table, "one order, before and after")

    def _codes(self, lines: int) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True)
        codes = self._witness.top_codes(lines)
        most = codes[0][1] if codes else 1
        for code, count in codes:
            grid.add_row(
                Text(code), Text(f"{count:,}", "bold"), Text("█" * max(1, round(14 * count / most)), _BAD)
            )
        return _panel(grid, "violations by code")

    def _last_rejected(self, outcome: Outcome | None) -> RenderableType:
        if outcome is None:
            return _panel(Text("none yet", "dim"), "one that was rejected")
        violation = outcome.document
        told = Table.grid(padding=(0, 1))
        told.add_column(style="dim", no_wrap=True)
        told.add_column()
        told.add_row("fault", outcome.sample.fault)
        told.add_row("sent", Text(_excerpt(outcome), _BEFORE, no_wrap=True, overflow="ellipsis"))
        told.add_row("code", Text(violation["code"], f"bold {_BAD}"))
        told.add_row("path", violation["path"] or "–")
        told.add_row("why", violation["message"])
        told.add_row("", Text("The original is enclosed, encrypted.", "dim"))
        return _panel(told, "one that was rejected")

    def _footer(self) -> RenderableType:
        where = Text(f"embedded broker {self.address} · Ctrl-C ends it", "dim")
        return Group(Align.center(audit(self._witness)), Align.center(where))


class _Held:
    """Keeps one outcome on the screen for a while before the next. `liking` prefers the one it is highest for."""

    def __init__(self, liking: Callable[[Outcome], Any]) -> None:
        self._liking = liking
        self._shown: Outcome | None = None
        self._since = 0.0

    def hold(self, recent: Collection[Outcome]) -> Outcome | None:
        """What to show now."""
        now = time.monotonic()
        if recent and (self._shown is None or now - self._since >= _SHOWN_FOR):
            others = [
                outcome for outcome in recent if self._shown is None or _kind(outcome) != _kind(self._shown)
            ]
            self._shown, self._since = max(others or recent, key=self._liking), now
        return self._shown


def _kind(outcome: Outcome) -> str:
    return outcome.sample.fault or outcome.sample.key.decode()


def audit(witness: Witness) -> Text:
    """What the comparison of inputs and outputs says, in one line."""
    if witness.leaks or witness.twice:
        told = f"✗ {witness.leaks:,} records show what should be hidden, {witness.twice:,} came out twice"
        return Text(told, f"bold {_BAD}")
    out = witness.clean + witness.rejected
    told = f"{out:,} orders out, each once; no name, e-mail, phone, SSN or card number leaked"
    return Text.assemble(("✓ ", f"bold {_AFTER}"), told)


def _excerpt(outcome: Outcome) -> str:
    """The part of a rejected order that its violation is about."""
    text = outcome.sample.value.decode(errors="replace")
    path = outcome.document["path"]
    try:
        found = look_up(orjson.loads(text), parse_path(path).segments) if path else None
    except ValueError:
        found = None
    if found is None:
        return f"… {text[-60:]}" if len(text) > 60 else text or "(nothing)"
    return orjson.dumps(found).decode()


def _words(rule: Rule) -> str:
    options = ", ".join(name if value is True else f"{name}: {value}" for name, value in rule.options.items())
    return f"{rule.verb} {options}".strip()


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(
        content,
        title=Text(title, "bold not dim") if title else None,
        title_align="left",
        box=ROUNDED,
        border_style="dim",
    )
