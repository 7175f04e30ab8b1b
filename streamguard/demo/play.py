"""The demo from beginning to end: broker, service, orders in, records out, and what became of them."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

from confluent_kafka import Message

from streamguard.demo.broker import EmbeddedBroker
from streamguard.demo.feed import Feed
from streamguard.demo.sample import Orders
from streamguard.demo.service import DemoService
from streamguard.demo.witness import Output, Witness
from streamguard.errors import StreamGuardError
from streamguard.policy.loader import LoadedPolicy
from streamguard.streams.agents.control import topic_of
from streamguard.streams.reader import Reader

_STARTS_WITHIN: Final = 90.0  # seconds, on a machine that has much else to do
_DRAINS_WITHIN: Final = 15.0
_DRAWN_EVERY: Final = 0.25
_RATE_OVER: Final = 3.0  # seconds that a rate is the mean of


class Stage(Protocol):
    """Where the demo is shown."""

    def step(self, text: str) -> None:
        """Something begins on the way to the first record."""

    def serving(self, address: str, pid: int) -> None:
        """The service has been started, on the broker at `address`."""

    def draw(self, rate: float, lasts: float) -> None:
        """Show what the witness saw: orders per second now, and seconds since the first."""


class Play:
    """One demonstration. What `witness` saw is what `stage` shows, and afterwards the result."""

    def __init__(self, loaded: LoadedPolicy, orders: Orders, witness: Witness, stage: Stage) -> None:
        self._loaded = loaded
        self._orders = orders
        self._witness = witness
        self._stage = stage
        self._stop = threading.Event()

    def run(self, *, seconds: float, rate: float) -> float:
        """Play for so many seconds, or until a signal; returns for how long orders were sent.

        Raises StreamGuardError when the broker or the service fails.
        """
        policy = self._loaded.policy
        outputs = (policy.clean_topic, policy.violations_topic)
        with ExitStack() as stack:
            stack.enter_context(_on_signal(self._stop.set))
            self._stage.step("a Kafka broker, inside this process")
            broker = EmbeddedBroker()
            stack.callback(broker.close)
            service = DemoService(self._loaded.path, broker.address)
            stack.callback(service.stop)
            broker.create([policy.topic, *outputs, topic_of(service.settings.group)])
            self._stage.step("the service, a process of its own: streamguard run")
            self._stage.serving(broker.address, service.start())
            reader = stack.enter_context(Reader(service.settings, outputs))
            feed = Feed(broker.address, policy.topic, self._orders, self._witness.send)
            self._stage.step("the first order, on its way through")
            return self._play(feed, self._watch(service, reader), seconds, rate)

    def _play(self, feed: Feed, watch: Iterator[None], seconds: float, rate: float) -> float:
        """Feed and watch. Each item of `watch` is a moment that passed."""
        witness, began = self._witness, time.monotonic()
        feed.send_one()
        while witness.missing and not self._stop.is_set():
            next(watch)
            if time.monotonic() - began > _STARTS_WITHIN:
                raise StreamGuardError(
                    "The service did not begin in time.", "Is this machine busy with other things?"
                )
        began = time.monotonic()
        feed.start(rate)
        while time.monotonic() - began < seconds and not self._stop.is_set():
            next(watch)
        lasted = time.monotonic() - began
        feed.stop()
        ends = time.monotonic() + _DRAINS_WITHIN
        while witness.missing and time.monotonic() < ends:
            next(watch)
        return lasted

    def _watch(self, service: DemoService, reader: Reader) -> Iterator[None]:
        """Read the outputs, for the witness to see; yields about four times a second."""
        clean, began = self._loaded.policy.clean_topic, time.monotonic()
        past: deque[tuple[float, int]] = deque([(began, 0)])
        drawn = began
        for message in reader.for_ever():
            if message is not None:
                self._witness.take(_output(message), clean=message.topic() == clean)
            now = time.monotonic()
            if now - drawn < _DRAWN_EVERY:
                continue
            drawn = now
            service.check()
            self._witness.settle()
            past.append((now, self._witness.sent))
            while now - past[0][0] > _RATE_OVER:
                past.popleft()
            (then, fewer), (_, more) = past[0], past[-1]
            self._stage.draw((more - fewer) / max(now - then, _DRAWN_EVERY), now - began)
            yield


def _output(message: Message) -> Output:
    """A record of an output. Its ``sg-source`` header is ``<topic>/<partition>/<offset>``."""
    headers = dict(message.headers() or [])
    source = headers["sg-source"]
    _, partition, offset = (source.decode() if isinstance(source, bytes) else source or "").rsplit("/", 2)
    return Output((int(partition), int(offset)), message.value() or b"", time.time())


@contextmanager
def _on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and a terminal that is closed end the demo in good order."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
