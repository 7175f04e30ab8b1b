"""The partial view: a value of which only a few characters are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.transforms.base import Field
from streamguard.transforms.mask import Mask, MaskOptions

WHOLE: Final = "***"
"""What is shown of a value that has no characters to keep: a boolean, an object, bytes."""

_DEFAULT: Final = MaskOptions(keep_last=4, separators=" -")


class Masks:
    """How each element is masked: as the service file says, and otherwise all but the last four characters.

    A value of which more than half would stay is masked whole. Raises ConfigError for options that `mask` refuses.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]], keyring: Keyring) -> None:
        self._keyring = keyring
        self._masks = {element: self._mask(_options(element, of)) for element, of in options.items()}
        self._default = self._mask(_DEFAULT)

    def show(self, element: str, value: Any) -> str:
        """The masked form of a value."""
        refused: list[int] = []
        shown = self._masks.get(element, self._default).apply([value], lambda index, _: refused.append(index))
        return WHOLE if refused else shown[0]

    def _mask(self, options: MaskOptions) -> Mask:
        return Mask(options, Field("reveal", "reveal", "value", "value"), self._keyring)


def _options(element: str, written: Mapping[str, Any]) -> MaskOptions:
    try:
        return MaskOptions.model_validate(written)
    except ValidationError:
        raise ConfigError(
            f"'access.masked' has options for '{element}' that the transform 'mask' refuses.",
            "They are keep_first, keep_last, character and separators: see docs/transforms.md.",
        ) from None
