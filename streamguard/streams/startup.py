"""What must be right before anything runs. Each fault is one paragraph with its remedy, and nothing has happened yet.

The cheap questions come first: policies, keys and store are looked at before the first word to a broker.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from confluent_kafka.cimpl import NewTopic

from streamguard import logs
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.setup import open_keyring, open_kms
from streamguard.errors import ConfigError, UsageError
from streamguard.formats.registry import Registry, open_registry
from streamguard.guard.check import check_all
from streamguard.guard.check.service import service_problems
from streamguard.guard.guard import Guard
from streamguard.guard.registered import RegisteredCorridors, registered_keys
from streamguard.metrics import observe_kms, observe_registry
from streamguard.policy import service as service_file
from streamguard.policy.loader import LoadedPolicy, look_at_all
from streamguard.policy.problems import ProblemsError, errors
from streamguard.policy.service import LoadedService, Service
from streamguard.streams import topics
from streamguard.streams.agents.control import Standing, recover, topic_of
from streamguard.streams.client import KafkaTrouble, Slot
from streamguard.streams.faustconfig import faust_settings
from streamguard.streams.properties import refused_properties

log = logs.get(__name__)

_SLOT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ORDINAL: Final = re.compile(r".*-\d+")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a process needs to start its lanes. `guards` are the compiled policies, by name."""

    loaded: LoadedService
    slot: Slot
    policies: Mapping[str, LoadedPolicy]
    keyring: Keyring
    registry: Registry | None
    guards: Mapping[str, Guard]
    standing: Standing

    @property
    def service(self) -> Service:
        """The service file."""
        return self.loaded.service


def read_service(config: Path, policies: Iterable[str] = ()) -> LoadedService:
    """The service file, with other policies than it names if any are given (relative to the working folder)."""
    loaded = service_file.read_service(config)
    if named := tuple(policies):
        loaded = replace(loaded, service=loaded.service.model_copy(update={"policies": named}))
    return loaded


def read_policies(service: Service) -> dict[str, LoadedPolicy]:
    """The service's policies by name, checked. Raises ProblemsError with every problem of every file."""
    loaded, problems = look_at_all(service.policy_files())
    problems += check_all(loaded)
    if errors(problems) or any(one.gaps for one in loaded):  # what was read around a mistake guards nothing
        raise ProblemsError(problems)
    return {one.policy.name: one for one in loaded}


def read_kms(prepared: Prepared) -> Kms:
    """What wraps keys according to the service file as it is now. Raises StreamGuardError, and then the old one stays.

    That is how a master key follows another one while the service runs: see `streamguard keys rewrap`.
    """
    keys = service_file.load_service(prepared.loaded.path).keys
    kms = open_kms(keys, observe_kms)
    if keys != prepared.service.keys:
        kms.health()
    prepared.keyring.refuse_loss(kms)
    return kms


def compile_guards(
    policies: Mapping[str, LoadedPolicy], keyring: Keyring, registry: Registry | None = None
) -> dict[str, Guard]:
    """A guard of each policy. Raises ConfigError."""
    return {name: _guard(loaded, keyring, registry) for name, loaded in policies.items()}


def _guard(loaded: LoadedPolicy, keyring: Keyring, registry: Registry | None) -> Guard:
    policy, corridors = loaded.policy, None
    keys = registered_keys(policy, registry)
    if policy.asks_registry:
        if registry is None:
            raise ConfigError(
                f"Policy '{loaded.policy.name}' asks a Schema Registry, and the service file names none.",
                "Add 'registry: {url: …}'.",
            )
        if policy.value.registry is not None:
            corridors = RegisteredCorridors(loaded, registry, keyring, keys)
    return Guard(policy, loaded.schema, keyring, corridors, keys)


def slot_of(
    given: str | None, service: Service, environment: Mapping[str, str] = os.environ, host: str | None = None
) -> Slot:
    """The process's name in the fleet: given, or the pod's where a StatefulSet numbers it, or else the host's.

    The host's name is not permanent: a container that is replaced comes back under another.
    """
    named = given or service.slot
    if named is not None:
        if not _SLOT.fullmatch(named):
            raise UsageError(
                "That is no name for a slot.", "Use letters, digits, '_' and '-', at most 64: --slot guard-0."
            )
        return Slot(named, permanent=True)
    host = re.sub(r"[^A-Za-z0-9_-]", "-", host or socket.gethostname())[:64] or "host"
    numbered = "KUBERNETES_SERVICE_HOST" in environment and _ORDINAL.fullmatch(host) is not None
    return Slot(host, permanent=numbered)


def prepare(loaded: LoadedService, slot: Slot, *, has_lanes: bool = True) -> Prepared:
    """Look at everything, and make the topics that are missing; a parent, which has no lanes, needs no keys.

    Raises ConfigError (policies, keys, store, topics), KafkaTrouble (no broker, credentials, permissions) or
    KeysUnavailableError (a full disk under the store).
    """
    service = loaded.service
    policies = read_policies(service)
    _check_service(loaded, policies)
    keyring = open_keyring(service.keys, service.store.url.get_secret_value(), observe=observe_kms)
    registry = open_registry(service.registry, observe_registry) if service.registry else None
    guards = compile_guards(policies, keyring, registry)
    if has_lanes:
        _try_keys(policies, keyring)
    topics.preflight(service, [loaded.policy for loaded in policies.values()])
    create_control_topic(service)
    standing = recover(service)
    return Prepared(loaded, slot, policies, keyring, registry, guards, standing)


def _check_service(loaded: LoadedService, policies: Mapping[str, LoadedPolicy]) -> None:
    """What `streamguard check -c` says of the service file, and whether Faust's client can connect as it says."""
    problems = list(service_problems(loaded, list(policies.values())))
    for name, reason in refused_properties(loaded.service.kafka):
        message = f"'{name}' {reason}"
        problems.append(loaded.document.problem(("kafka", name), message, code="refused_property", on="key"))
    if errors(problems):
        raise ProblemsError(problems)
    faust_settings(loaded.service.kafka)


def _try_keys(policies: Mapping[str, LoadedPolicy], keyring: Keyring) -> None:
    """Make the quarantine keys now: a KMS that refuses or a disk that is full shows before the first record."""
    for loaded in policies.values():
        retain = loaded.policy.quarantine.retain
        if not isinstance(retain, str):
            keyring.quarantine(loaded.policy.name, retain, 0)


def create_control_topic(service: Service) -> bool:
    """Make the control topic if it is missing; true when it was."""
    cluster, control = topics.Cluster(service), topic_of(service.group)
    if control in cluster.partition_counts():
        return False
    if not service.topics.create:
        raise KafkaTrouble(
            "unknown_topic_or_part",
            f"The control topic '{control}' does not exist.",
            "Create it with one partition and cleanup.policy=compact, or set 'topics.create: true'.",
        )
    settings = {"cleanup.policy": "compact"}
    if service.topics.min_insync_replicas:
        settings["min.insync.replicas"] = str(service.topics.min_insync_replicas)
    cluster.create([NewTopic(control, 1, service.topics.replication or -1, config=settings)])
    log.info("topic.created", topic=control, partitions=1)
    return True
