"""What a cluster that cannot be reached says, in our words and no others."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from streamguard.policy.service import Service
from streamguard.streams.client import KafkaTrouble
from streamguard.streams.topics import Cluster


@pytest.mark.parametrize(
    "ask",
    [
        lambda cluster: cluster.partition_counts(),
        lambda cluster: cluster.configs(["orders"]),
        lambda cluster: cluster.settings(["orders"]),
    ],
    ids=["topics", "configs", "settings"],
)
def test_a_cluster_that_is_away_is_a_trouble_that_passes(ask: Callable[[Cluster], Any]):
    service = Service.model_validate({"kafka": {"bootstrap.servers": "127.0.0.1:1"}})
    with pytest.raises(KafkaTrouble) as caught:
        ask(Cluster(service, within=0.5))
    assert caught.value.transient


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Cycles stay: what is freed here is freed by itself."""
    gc.disable()
    yield
    gc.enable()


def test_a_conversation_ends_with_its_threads_and_sockets(uncollected: None):
    """A lane has one every few seconds while brokers are away, and makes too little for a collection of cycles."""
    service = Service.model_validate({"kafka": {"bootstrap.servers": "127.0.0.1:1"}})

    def ask() -> weakref.ref[Cluster]:
        cluster = Cluster(service, within=0.2)
        with suppress(KafkaTrouble):
            cluster.partition_counts()
        return weakref.ref(cluster)

    assert ask()() is None
