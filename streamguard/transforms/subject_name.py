"""Whose data a record is, as a text: what keys and shifts that belong to one person are found by."""

from __future__ import annotations

from typing import Any


def subject_name(subject: Any) -> str | None:
    """A person's id as a text, 12 and ``"12"`` alike; None for what names nobody."""
    if type(subject) is int and subject.bit_length() <= 64:
        return str(subject)
    return subject if type(subject) is str and subject and _is_text(subject) else None


def _is_text(subject: str) -> bool:
    """Lone surrogates are no text."""
    return not any("\ud800" <= character <= "\udfff" for character in subject)
