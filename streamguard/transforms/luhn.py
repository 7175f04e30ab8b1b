"""The Luhn check digit of payment cards (ISO/IEC 7812-1, annex B)."""

from __future__ import annotations

from typing import Final

_DOUBLED: Final = "0246813579"  # twice the digit, the digits of that added up
_TO_DOUBLED: Final = bytes.maketrans(b"0123456789", _DOUBLED.encode())


def is_valid(digits: str) -> bool:
    """Whether this is nothing but digits, the last of which checks the others."""
    return digits.isascii() and digits.isdigit() and _sum(digits) == 0


def completing(before: str, after: str) -> str:
    """The one digit that makes a valid number of the digits around it."""
    missing = -_sum(f"{before}0{after}") % 10
    return str(_DOUBLED.index(str(missing))) if len(after) % 2 else str(missing)


def _sum(digits: str) -> int:
    """From the right, every second digit doubled; modulo ten."""
    codes = digits.encode()
    return (sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_TO_DOUBLED)) - ord("0") * len(codes)) % 10
