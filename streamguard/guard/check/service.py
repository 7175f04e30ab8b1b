"""Rules about a service file and the policies it runs: keys that are there, files that exist, times that fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from streamguard.crypto.setup import open_kms
from streamguard.errors import ConfigError
from streamguard.guard.check.facts import as_clause
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.problems import Problem
from streamguard.policy.service import LoadedService

_COMMITS_PER_TRANSACTION: Final = 3
"""A transaction that lasts longer than its timeout is aborted by the broker; a third leaves room for a slow batch."""


def service_problems(loaded: LoadedService, policies: Sequence[LoadedPolicy]) -> Iterator[Problem]:
    """What is wrong with the sections of a service file that read well, and with its policies in it."""
    yield from _certificates(loaded)
    if "keys" not in loaded.gaps:
        yield from _master_key(loaded)
    if "transaction_timeout_ms" not in loaded.gaps:
        yield from _commit_intervals(loaded, policies)
    if "registry" not in loaded.gaps:
        yield from _registry(loaded, policies)


def _master_key(loaded: LoadedService) -> Iterator[Problem]:
    try:
        open_kms(loaded.service.keys)
    except ConfigError as error:
        message = as_clause(error.message)
        yield loaded.document.problem(
            ("keys",), message, code="missing_key", suggestion=as_clause(error.remedy)
        )


def _registry(loaded: LoadedService, policies: Sequence[LoadedPolicy]) -> Iterator[Problem]:
    if loaded.service.registry is not None:
        return
    for policy in policies:
        if policy.policy.asks_registry:
            yield policy.document.problem(
                ("value", "registry") if policy.policy.key_format == "text" else ("key_format",),
                "the service file names no Schema Registry",
                code="no_registry",
                suggestion=f"add 'registry: {{url: …}}' to '{loaded.path}'",
            )


def _certificates(loaded: LoadedService) -> Iterator[Problem]:
    for name, value in loaded.service.kafka.items():
        if name.startswith("ssl.") and name.endswith(".location") and not Path(value).is_file():
            message = f"'{name}' names a file that does not exist"
            advice = "the path is relative to the folder where the service starts"
            yield loaded.document.problem(("kafka", name), message, code="missing_file", suggestion=advice)


def _commit_intervals(loaded: LoadedService, policies: Sequence[LoadedPolicy]) -> Iterator[Problem]:
    most = loaded.service.transaction_timeout_ms // _COMMITS_PER_TRANSACTION
    for policy in policies:
        interval = policy.policy.commit_interval_ms
        if interval > most and policy.policy.delivery == "exactly_once":
            message = (
                f"'commit_interval_ms' is more than a third of the service's transaction_timeout_ms ({most})"
            )
            advice = f"write at most {most}, or raise transaction_timeout_ms"
            yield policy.document.problem(
                ("commit_interval_ms",), message, code="commit_interval", suggestion=advice
            )
