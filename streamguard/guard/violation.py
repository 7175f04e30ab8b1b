"""What a rejected record is told, in words of our own and without a single value of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a record was rejected.

    `code` is stable and documented (``schema.type``, ``transform.fpe.domain``); `path` is written with `*` where a
    segment is not declared by the schema; `stage` is the room that found it; `message` is ours, one per kind of error.
    """

    code: str
    stage: str
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rejected record, ready for the violations topic: its `id` is the Kafka key, `body` the JSON value."""

    id: str
    code: str
    body: bytes
    headers: list[tuple[str, bytes]]
