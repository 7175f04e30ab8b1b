"""What a cluster that cannot be reached says, in our words and no others."""

from collections.abc import Callable
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
