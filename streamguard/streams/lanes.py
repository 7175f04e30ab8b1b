"""All lanes of a process: started and stopped by Faust, reloaded together or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mode

from streamguard.crypto.kms.base import Kms
from streamguard.errors import ConfigError
from streamguard.guard.guard import Guard
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.models import Policy
from streamguard.streams.lane import Lane
from streamguard.streams.rivals import SlotInUseError
from streamguard.streams.startup import Prepared, compile_guards, read_kms, read_policies


class LaneService(mode.Service):
    """A lane as a service of the Faust app: its thread begins and ends with it."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane

    @property
    def label(self) -> str:
        return f"lane-{self.lane.policy.name}"

    async def on_start(self) -> None:
        self.lane.start()

    async def on_stop(self) -> None:
        self.lane.stop()


@dataclass(frozen=True, slots=True)
class Reload:
    """Policies that were read, checked and compiled, and are not in use yet. `guards` holds those that changed.

    `kms` is what the service file's ``keys:`` says now.
    """

    policies: Mapping[str, LoadedPolicy]
    guards: Mapping[str, Guard]
    kms: Kms

    @property
    def versions(self) -> dict[str, str]:
        """The version of each policy."""
        return {name: loaded.version for name, loaded in self.policies.items()}


class Lanes:
    """One lane per policy.

    `on_change` is called from any thread when a lane's state changed. A pause found in the control topic is in force
    before a lane reads its first record.
    """

    def __init__(self, prepared: Prepared, on_change: Callable[[], None]) -> None:
        self._prepared = prepared
        self._policies = prepared.policies
        self._on_change = on_change
        self._lanes = {name: self._lane(prepared, name) for name in prepared.policies}
        self.services = [LaneService(lane) for lane in self._lanes.values()]
        self._paused = set(prepared.standing.paused & self._lanes.keys())
        for name in self._paused:
            self._lanes[name].pause()

    def _lane(self, prepared: Prepared, name: str) -> Lane:
        return Lane(prepared.service, prepared.guards[name], prepared.slot, lambda _: self._on_change())

    # -- How they are --------------------------------------------------------------------------------------------

    @property
    def failed(self) -> list[Lane]:
        """The lanes that need a person."""
        return [lane for lane in self._lanes.values() if lane.state == "failed"]

    @property
    def has_rival(self) -> bool:
        """True when a lane gave way to another process under the same slot."""
        return any(isinstance(lane.error, SlotInUseError) for lane in self._lanes.values())

    @property
    def all_ended(self) -> bool:
        """True when no lane will do anything any more."""
        return all(lane.state in ("stopped", "failed") for lane in self._lanes.values())

    def status(self) -> list[dict[str, Any]]:
        """Each lane as health reports it."""
        return [
            {
                "policy": lane.policy.name,
                "version": lane.policy.version,
                "topic": lane.policy.topic,
                "state": lane.state,
                "reason": lane.reason,
                "ready": lane.ready,
                "partitions": list(lane.partitions),
            }
            for lane in self._lanes.values()
        ]

    # -- What they are told --------------------------------------------------------------------------------------

    def pause(self, policy: str) -> None:
        """Have a policy's lane stand still; of policies that are not ours somebody else takes care."""
        if lane := self._lanes.get(policy):
            self._paused.add(policy)
            lane.pause()

    def resume(self, policy: str) -> None:
        """Have a policy's lane go on."""
        if lane := self._lanes.get(policy):
            self._paused.discard(policy)
            lane.resume()

    def read(self) -> Reload:
        """Read, check and compile all policies anew, and read what wraps the keys now.

        Blocks; raises StreamGuardError, and then nothing has changed.
        """
        policies = read_policies(self._prepared.service)
        if policies.keys() != self._lanes.keys():
            differing = ", ".join(sorted(policies.keys() ^ self._lanes.keys()))
            raise ConfigError(
                f"Policies were added or removed, which a running service cannot follow: {differing}.",
                "Restart the service.",
            )
        changed = {name: loaded for name, loaded in policies.items() if _differ(loaded, self._policies[name])}
        guards = compile_guards(changed, self._prepared.keyring, self._prepared.registry)
        for name, guard in guards.items():
            _refuse_restarts(self._lanes[name].policy, guard.policy)
        return Reload(policies, guards, read_kms(self._prepared))

    def apply(self, reload: Reload) -> None:
        """Put policies that were read into force, each at its lane's next batch; what a person paused stays so."""
        for name, guard in reload.guards.items():
            self._lanes[name].reload(guard)
            if name in self._paused:
                self._lanes[name].pause()
        self._policies = reload.policies
        self._prepared.keyring.use(reload.kms)

    async def stop(self, within: float) -> bool:
        """End all lanes side by side; true when all have ended `within` so many seconds."""
        until = time.monotonic() + within
        for lane in self._lanes.values():
            lane.stop(within)
        while not all(service.lane.join(0) for service in self.services if service.started):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True


def _refuse_restarts(old: Policy, new: Policy) -> None:
    """What a lane would refuse, known before any lane has been told."""
    for what in ("topic", "clean_topic", "violations_topic", "delivery"):
        if getattr(old, what) != getattr(new, what):
            raise ConfigError(
                f"Policy '{old.name}' changed its {what.replace('_', ' ')}, which a running lane cannot follow.",
                "Restart the service.",
            )


def _differ(one: LoadedPolicy, other: LoadedPolicy) -> bool:
    """Not told by the version, which people may write themselves and forget to change."""
    return one.policy != other.policy or one.schema != other.schema
