"""Which transforms there are: StreamGuard's own, and those that installed packages bring."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from types import MappingProxyType
from typing import Any, Final

from streamguard.errors import ConfigError
from streamguard.transforms.base import ANY, Options, Transform
from streamguard.transforms.drop import Drop
from streamguard.transforms.encrypt import Encrypt
from streamguard.transforms.fake import Fake
from streamguard.transforms.fpe import Fpe
from streamguard.transforms.generalize import Generalize
from streamguard.transforms.hash import Hash
from streamguard.transforms.mask import Mask
from streamguard.transforms.nullify import Nullify
from streamguard.transforms.redact import Redact
from streamguard.transforms.replace import Replace
from streamguard.transforms.shift_dates import ShiftDates
from streamguard.transforms.tokenize import Tokenize
from streamguard.transforms.vault import Vault

GROUP: Final = "streamguard.transforms"

OWN: Final[tuple[type[Transform[Any]], ...]] = (
    Drop, Encrypt, Fake, Fpe, Generalize, Hash, Mask, Nullify, Redact, Replace, ShiftDates,
    Tokenize, Vault,
)  # fmt: skip

_VERB: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
# Words that have a meaning of their own where a policy names a transform.
_RESERVED: Final = frozenset({"keep", "element"})


@cache
def register() -> Mapping[str, type[Transform[Any]]]:
    """Every verb with its transform, in alphabetical order; worked out once per process.

    Raises ConfigError, naming the package, when an installed transform cannot be loaded, is none, or claims a verb that
    is taken: which of two transforms protects a field must never depend on the order of installation.
    """
    found: dict[str, type[Transform[Any]]] = {kind.verb: kind for kind in OWN}
    for entry in entry_points(group=GROUP):
        if entry.name in found:
            raise _refused(entry, "claims a verb that is taken")
        found[entry.name] = _load(entry)
    return MappingProxyType(dict(sorted(found.items())))


def _load(entry: EntryPoint) -> type[Transform[Any]]:
    if not _VERB.fullmatch(entry.name) or entry.name in _RESERVED:
        raise _refused(entry, "has a name that is not a verb (a-z, digits, underscores)")
    try:
        kind = entry.load()
    except (Exception, SystemExit):  # noqa: BLE001 - foreign code may fail in any way; its words stay out of ours
        raise _refused(entry, "cannot be imported") from None
    if not (isinstance(kind, type) and issubclass(kind, Transform)):
        raise _refused(entry, "is not a subclass of Transform")
    if isabstract(kind):
        raise _refused(entry, "does not define apply")
    if getattr(kind, "verb", None) != entry.name:
        raise _refused(entry, "has another verb than its entry point")
    if not issubclass(kind.Options, Options):
        raise _refused(entry, "has options that are not a subclass of Options")
    if not kind.takes <= ANY:
        raise _refused(entry, "takes types that JSON does not have")
    return kind


def _refused(entry: EntryPoint, why: str) -> ConfigError:
    package = entry.dist.name if entry.dist else "an unnamed package"
    return ConfigError(
        f"The transform '{entry.name}' of the package '{package}' {why}.",
        "Uninstall that package, or install a version of it that fits this StreamGuard.",
    )
