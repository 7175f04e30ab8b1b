"""Members of our consumer groups that cannot see our store.

Deterministic keys have to be the same for all who share a topic. A store that is a file of this host cannot give them
to other hosts, where equal values then get different tokens: people are told, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.errors import StreamGuardError
from streamguard.policy.service import Service
from streamguard.streams.client import Slot, consumer_config, group_id
from streamguard.streams.topics import Cluster

LOOKED_FOR_EVERY: Final = 60.0
"""Seconds. Nobody is there in the first moment, and hosts are added at any time."""

log = logs.get(__name__)


async def warn_of_strangers(keyring: Keyring, service: Service, slot: Slot, policies: Sequence[str]) -> None:
    """Look until there is somebody to warn of; a store that hosts share has no strangers."""
    while not keyring.is_shared:
        await asyncio.sleep(LOOKED_FOR_EVERY)
        elements = keyring.pinned_elements
        if elements and (hosts := await asyncio.to_thread(find_strangers, service, slot, policies)):
            log.warning(
                "store.not_shared",
                count=len(hosts),
                message="Other hosts do not see the keys of this one's store, so equal values of the same element "
                f"get different tokens there: {', '.join(elements)}.",
                remedy="Give all hosts one store, in PostgreSQL (docs/store.md).",
            )
            return


def find_strangers(service: Service, slot: Slot, policies: Iterable[str]) -> set[str]:
    """The other hosts that have members in the policies' groups; none when Kafka does not say."""
    found: set[str] = set()
    try:
        cluster = Cluster(service)
        for policy in policies:
            ours = str(consumer_config(service, policy, slot)["client.id"])
            found |= hosts_beside(ours, cluster.members(group_id(service, policy)))
    except StreamGuardError:
        return set()
    return found


def hosts_beside(ours: str, members: Sequence[tuple[str, str]]) -> set[str]:
    """The hosts of members, given as client id and host, that are not where the client `ours` is."""
    here = {host for client, host in members if client == ours}
    return {host for _, host in members} - here if here else set()
