"""The guard that every figure is stated for, with keys that live as long as the process."""

from __future__ import annotations

from benchmarks.records import POLICY
from streamguard.crypto.keyring import Keyring
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy
from streamguard.policy.models import Inspect


def reference_guard(*, inspect: bool = False) -> Guard:
    """The reference policy, compiled; with `inspect` the last look is on, as it is by default for other policies."""
    loaded = load_policy(POLICY)
    policy = loaded.policy.model_copy(update={"inspect": Inspect(enabled=inspect)})
    return Guard(policy, loaded.schema, Keyring.in_memory())
