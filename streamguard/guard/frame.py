"""What tells the readers of a clean record its schema: bytes in front of its value or key, or a header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from streamguard.errors import ConfigError
from streamguard.formats import framing
from streamguard.formats.registry import Registered


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes in front, or the headers; neither where nothing is framed."""

    prefix: bytes = b""
    headers: tuple[tuple[str, bytes], ...] = ()


UNFRAMED: Final = Frame()


def frame_of(
    published: Registered,
    form: Literal["prefix", "header"],
    name: str,
    index: tuple[int, ...] | None = None,
) -> Frame:
    """The frame of a registered schema; `name` is the header's, `index` says which of its messages, in Protobuf.

    Raises ConfigError when the registry gave the schema no id.
    """
    if form == "header" and (schema := published.guid or published.id) is not None:
        return Frame(headers=((name, framing.header(schema, index)),))
    if form == "prefix" and published.id is not None:
        return Frame(framing.prefix(published.id, index))
    raise ConfigError("The Schema Registry gave a schema of the clean topic no id.")
