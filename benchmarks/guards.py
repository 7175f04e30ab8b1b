"""The guard that every figure is stated for, with keys that live as long as the process."""

from __future__ import annotations

from typing import Any

from benchmarks.records import POLICY
from streamguard.crypto.keyring import Keyring
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy
from streamguard.policy.models import Inspect, Value


def reference_guard(value: Value | None = None, schema: Any = None, *, inspect: bool = False) -> Guard:
    """The reference policy, compiled; with `inspect` the last look is on, as it is by default for other policies.

    `value` and `schema` are for records of another format than JSON.
    """
    loaded = load_policy(POLICY)
    policy = loaded.policy.model_copy(update={"inspect": Inspect(enabled=inspect)})
    if value is not None:
        return Guard(policy.model_copy(update={"value": value}), schema, Keyring.in_memory())
    return Guard(policy, loaded.schema, Keyring.in_memory())
