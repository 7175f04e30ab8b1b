"""A shop that never closes: puts sample orders into the source topic at an even rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from streamguard.demo.sample import Orders, Sample
from streamguard.demo.witness import Place

_TICK: Final = 0.02  # seconds between two handfuls of orders
_FLUSH: Final = 5.0  # seconds at most for the last of them

OnSent = Callable[[Place, Sample], None]


class Feed:
    """Produces orders in a thread of its own. `sent` is told of each once it has its place in the topic."""

    def __init__(self, broker: str, topic: str, orders: Orders, sent: OnSent) -> None:
        self._producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "log_level": 0})
        self._topic = topic
        self._orders = orders
        self._sent = sent
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send_one(self) -> None:
        """One order, and wait until it has arrived."""
        self._send()
        self._producer.flush(_FLUSH)

    def start(self, rate: float) -> None:
        """Begin, with so many orders a second."""
        self._thread = threading.Thread(target=self._run, args=(rate,), name="demo-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, once all orders have arrived."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._producer.flush(_FLUSH)

    def _run(self, rate: float) -> None:
        began, made = time.monotonic(), 0
        while not self._stop.wait(_TICK):
            due = int((time.monotonic() - began) * rate)
            for _ in range(due - made):
                self._send()
            made = due
            self._producer.poll(0)

    def _send(self) -> None:
        sample = next(self._orders)
        on_delivery = partial(self._delivered, sample)
        self._producer.produce(self._topic, sample.value, key=sample.key, on_delivery=on_delivery)

    def _delivered(self, sample: Sample, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            self._sent((partition, offset), sample)
