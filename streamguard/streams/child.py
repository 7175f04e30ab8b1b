"""The first moments of a child of `streamguard run --processes N`, before anything is imported that has metrics."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import orjson

from streamguard.streams.lifeline import die_with_parent
from streamguard.streams.shared_metrics import share_metrics


@dataclass(frozen=True, slots=True)
class Birth:
    """What a parent tells a child: its place among the children, its slot, and where metrics are kept."""

    parent: int
    number: int
    slot: str
    permanent: bool
    metrics: str

    def encode(self) -> bytes:
        """One line for the lifeline."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps(fields) + b"\n"


def become_child(descriptor: int) -> tuple[socket.socket, Birth]:
    """Tie this process to the parent behind the descriptor: its health, its metrics, its end."""
    lifeline = socket.socket(fileno=descriptor)
    line = bytearray()
    while not line.endswith(b"\n"):
        more = lifeline.recv(4096)
        if not more:
            os._exit(1)
        line += more
    birth = Birth(**orjson.loads(line))
    die_with_parent(birth.parent)
    share_metrics(birth.metrics, str(birth.number))
    return lifeline, birth
