"""The comments of a Protobuf schema's author, which descriptors keep by position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def comments_of(file: Any) -> dict[str, str]:
    """The author's comment on each part of a file, by the part's full name (``.shop.Order.id``)."""
    names = dict(_paths(file))
    found: dict[str, str] = {}
    for location in file.source_code_info.location:
        comment = location.leading_comments or location.trailing_comments
        name = names.get(tuple(location.path))
        if comment.strip() and name is not None:
            found[name] = comment
    return found


def _paths(file: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    """Each part's place in a descriptor, as comments name it (descriptor.proto, ``SourceCodeInfo``), and its name."""
    package = f".{file.package}" if file.package else ""
    for index, message in enumerate(file.message_type):
        yield from _message_paths(message, (4, index), f"{package}.{message.name}")
    for index, enum in enumerate(file.enum_type):
        yield from _enum_paths(enum, (5, index), f"{package}.{enum.name}")


def _message_paths(message: Any, path: tuple[int, ...], name: str) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, 2, index), f"{name}.{field.name}"
    for index, oneof in enumerate(message.oneof_decl):
        yield (*path, 8, index), f"{name}.{oneof.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_paths(nested, (*path, 3, index), f"{name}.{nested.name}")
    for index, enum in enumerate(message.enum_type):
        yield from _enum_paths(enum, (*path, 4, index), f"{name}.{enum.name}")


def _enum_paths(enum: Any, path: tuple[int, ...], name: str) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, 2, index), f"{name}.{value.name}"
