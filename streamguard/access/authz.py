"""Authorisation: Cedar policies over role, element, topic and purpose. What no policy permits is denied.

A policy sees ``principal`` (a ``User``, in its ``Role``), ``action`` (``reveal`` or ``reveal_masked``), ``resource``
(an ``Element``, in a ``Topic`` where the service itself has read the value there) and ``context.purpose``. A policy
that cannot be evaluated denies: Cedar alone would leave it out, and a faulty ``forbid`` would forbid nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from streamguard.access.grant import Grant, View
from streamguard.access.principal import Principal
from streamguard.errors import ConfigError

try:
    import cedarpy
except ImportError:
    raise ConfigError(
        "'access' needs the policy engine, which is not installed.", "Run: pip install 'streamguard[access]'"
    ) from None

Action = Literal["reveal", "reveal_masked"]

SCHEMA: Final = """
entity Role;
entity Topic;
entity User in [Role] { name: String, how: String };
entity Element in [Topic] { name: String };
action reveal, reveal_masked appliesTo {
  principal: [User],
  resource: [Element],
  context: { purpose: String }
};
"""
"""What policies can speak of; they are held against it when they are loaded."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and by which policies (their ``@id``, or file and number): those that decided.

    `failed` are policies that could not be evaluated; one is enough to deny.
    """

    allowed: bool
    by: tuple[str, ...] = ()
    failed: bool = False


class Rules:
    """The Cedar policies of a service."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """`texts` are Cedar policies by the name of their file. Raises ConfigError for what is not understood."""
        self._names: dict[str, str] = {}
        for file, text in texts.items():
            first = len(self._names)
            count = _count(file, text)
            self._names |= {f"policy{first + n}": f"{file}, policy {n + 1}" for n in range(count)}
        self._schema = cedarpy.Schema.from_str(SCHEMA)
        self._policies = cedarpy.PolicySet.from_str("\n".join(texts.values()))

    def decide(
        self,
        principal: Principal,
        action: Action,
        element: str,
        *,
        purpose: str = "",
        topic: str | None = None,
    ) -> Decision:
        """May this principal do this with values of an element? `topic` is for whoever has read it there himself."""
        try:
            answer = cedarpy.is_authorized(
                {
                    "principal": _uid("User", principal.name),
                    "action": _uid("Action", action),
                    "resource": _uid("Element", element),
                    "context": {"purpose": purpose},
                },
                self._policies,
                _entities(principal, element, topic),
                self._schema,
            )
        except ValueError:  # the request does not fit the schema: nothing of ours, and nothing that may pass
            return Decision(allowed=False, failed=True)
        found = answer.diagnostics
        if found.errors:
            return Decision(allowed=False, failed=True)
        ids = found.id_annotations_by_reason
        by = tuple(sorted(ids.get(reason) or self._names.get(reason, reason) for reason in found.reasons))
        return Decision(answer.allowed, by)

    def grant(
        self,
        principal: Principal,
        element: str,
        *,
        purpose: str = "",
        topic: str | None = None,
        wanted: View = "full",
    ) -> Grant:
        """The most that is both wanted and allowed. Whoever may `reveal` may see the masked form too."""
        full = self.decide(principal, "reveal", element, purpose=purpose, topic=topic)
        masked = self.decide(principal, "reveal_masked", element, purpose=purpose, topic=topic)
        if full.failed or masked.failed:
            return Grant(None, "a policy cannot be evaluated")
        if wanted == "full" and full.allowed:
            return Grant("full", ", ".join(full.by))
        if masked.allowed or full.allowed:
            return Grant("masked", ", ".join(masked.by if masked.allowed else full.by))
        return Grant(None, ", ".join(full.by) or "no policy permits it")


def load_rules(files: Iterable[Path]) -> Rules:
    """The policies in these files. Raises ConfigError when one cannot be read or is not understood."""
    texts = {}
    for file in files:
        try:
            texts[str(file)] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"The access policy {file} cannot be read.", "Check its permissions.") from None
    return Rules(texts)


def _count(file: str, text: str) -> int:
    """How many policies are in a file, which must be in Cedar's language and fit our schema."""
    try:
        policies = cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        # The text of a policy is configuration, never anybody's data: the engine's own words may be shown.
        raise ConfigError(f"The access policy {file} is not Cedar: {error}.", _SEE) from None
    if policies.templates():
        raise ConfigError(f"The access policy {file} has a template, which nothing would link.", _SEE)
    wrong = cedarpy.validate_policies(text, SCHEMA).errors
    if wrong:
        raise ConfigError(f"The access policy {file} does not fit: {wrong[0].error}.", _SEE)
    return len(policies)


_SEE: Final = "See docs/reveal.md for what policies can speak of."


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _entities(principal: Principal, element: str, topic: str | None) -> list[dict[str, Any]]:
    topics = [] if topic is None else [_uid("Topic", topic)]
    roles = [_uid("Role", role) for role in sorted(principal.roles)]
    user = {
        "uid": _uid("User", principal.name),
        "attrs": {"name": principal.name, "how": principal.how},
        "parents": roles,
    }
    what = {"uid": _uid("Element", element), "attrs": {"name": element}, "parents": topics}
    return [user, what, *({"uid": uid, "attrs": {}, "parents": []} for uid in [*topics, *roles])]
