"""Output topics on a real broker: made like their source, and what is told when they cannot be."""

import uuid
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamguard.errors import ConfigError
from streamguard.streams.client import KafkaTrouble
from streamguard.streams.topics import Cluster, preflight
from tests.lanes import Site


@pytest.fixture
def make_site(kafka):
    """A function that creates a source topic with these settings; everything is deleted afterwards."""
    sites: list[Site] = []

    def make(*, partitions: int = 1, config: dict[str, str] | None = None, **settings: Any) -> Site:
        site = Site(kafka, f"people-{uuid.uuid4().hex[:8]}", **settings)
        Cluster(site.make_service()).create([NewTopic(site.source, partitions, 1, config=config or {})])
        sites.append(site)
        return site

    yield make
    admin = AdminClient({"bootstrap.servers": kafka})
    for site in sites:
        there = admin.list_topics(timeout=10).topics
        admin.delete_topics([topic for topic in (site.source, site.clean, site.violations) if topic in there])


def prepare(site: Site, **policy: Any) -> None:
    preflight(site.make_service(), [site.make_policy(**policy)])


def settings_of(site: Site, topic: str) -> dict[str, str | None]:
    configs = Cluster(site.make_service()).configs([topic])[topic]
    return {name: entry.value for name, entry in configs.items()}


def test_outputs_are_made_like_their_source(make_site):
    source = {
        "cleanup.policy": "compact",
        "retention.ms": "86400000",
        "max.message.bytes": "2000000",
        "message.timestamp.type": "LogAppendTime",
        "segment.bytes": "20000000",
    }
    site = make_site(partitions=5, config=source)
    prepare(site)
    counts = Cluster(site.make_service()).partition_counts()
    assert counts[site.clean] == counts[site.violations] == 5
    clean, violations = settings_of(site, site.clean), settings_of(site, site.violations)
    for found in (clean, violations):
        assert (found["retention.ms"], found["max.message.bytes"]) == ("86400000", "2000000")
        assert found["message.timestamp.type"] == "CreateTime"
        assert found["segment.bytes"] != "20000000"
    assert (clean["cleanup.policy"], violations["cleanup.policy"]) == ("compact", "delete")


def test_replication_and_in_sync_replicas_come_from_the_service_file(make_site):
    site = make_site(service={"topics": {"replication": 1, "min_insync_replicas": 1}})
    prepare(site)
    assert settings_of(site, site.clean)["min.insync.replicas"] == "1"
    site = make_site(service={"topics": {"replication": 3}})
    with pytest.raises(KafkaTrouble, match="fewer brokers than copies") as caught:
        prepare(site)
    assert "topics.replication" in caught.value.remedy


def test_outputs_that_exist_are_left_as_they_are(make_site):
    site = make_site(partitions=4, config={"retention.ms": "1000000"})
    Cluster(site.make_service()).create([NewTopic(site.clean, 2, 1, config={"retention.ms": "2000000"})])
    prepare(site)
    prepare(site)
    assert Cluster(site.make_service()).partition_counts()[site.clean] == 2
    assert settings_of(site, site.clean)["retention.ms"] == "2000000"


def test_a_topic_that_another_process_creates_first_is_fine(make_site):
    site = make_site()
    cluster = Cluster(site.make_service())
    cluster.create([NewTopic(site.clean, 1, 1)])
    cluster.create([NewTopic(site.clean, 1, 1), NewTopic(site.violations, 1, 1)])
    assert site.violations in cluster.partition_counts()


def test_what_a_topic_accepts_is_read_from_it(make_site):
    config = {
        "cleanup.policy": "compact,delete",
        "max.message.bytes": "12345",
        "message.timestamp.after.max.ms": "60000",
        "message.timestamp.before.max.ms": "120000",
    }
    site = make_site(partitions=3, config=config)
    found = Cluster(site.make_service()).settings([site.source])[site.source]
    assert (found.partitions, found.max_message_bytes, found.compacted) == (3, 12345, True)
    assert (found.after_max_ms, found.before_max_ms, found.keeps_timestamps) == (60_000, 120_000, True)


def test_missing_outputs_are_an_error_where_we_may_not_create_them(make_site):
    site = make_site(partitions=3, service={"topics": {"create": False}})
    with pytest.raises(KafkaTrouble, match=f"'{site.clean}' of policy 'people' does not exist") as caught:
        prepare(site)
    assert "3 partitions" in caught.value.remedy


def test_a_source_that_does_not_exist(kafka):
    site = Site(kafka, "nobody-made-this")
    with pytest.raises(KafkaTrouble, match="'nobody-made-this' of policy 'people' does not exist"):
        prepare(site)
    assert site.clean not in Cluster(site.make_service()).partition_counts()


def test_no_broker():
    properties = {"bootstrap.servers": "127.0.0.1:9", "socket.connection.setup.timeout.ms": "1000"}
    site = Site("127.0.0.1:9", "people", service={"kafka": properties})
    with pytest.raises(KafkaTrouble, match=r"No Kafka broker answers at 127\.0\.0\.1:9") as caught:
        prepare(site)
    assert caught.value.transient


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("keep", True),
        ("tokenize", True),
        ({"encrypt": {"deterministic": True}}, True),
        ("encrypt", False),
        ("drop", False),
    ],
)
def test_what_a_compacted_topic_asks_of_keys(make_site, key: Any, fits: bool):
    site = make_site(config={"cleanup.policy": "compact"})
    if fits:
        prepare(site, key=key)
    else:
        with pytest.raises(ConfigError, match="is compacted"):
            prepare(site, key=key)
        assert not {site.clean, site.violations} & Cluster(site.make_service()).partition_counts().keys()


def test_what_a_compacted_topic_that_exists_asks_of_keys(make_site):
    site = make_site()
    compacted = NewTopic(site.clean, 1, 1, config={"cleanup.policy": "compact"})
    Cluster(site.make_service()).create([compacted])
    with pytest.raises(ConfigError, match="is compacted"):
        prepare(site, key="encrypt")
    site = make_site(config={"cleanup.policy": "compact"})
    Cluster(site.make_service()).create([NewTopic(site.clean, 1, 1)])
    prepare(site, key="encrypt")


def test_a_commit_interval_that_is_too_long_for_its_transactions():
    site = Site("127.0.0.1:9", "people", service={"transaction_timeout_ms": 3_000})
    with pytest.raises(ConfigError, match="more than a third") as caught:
        prepare(site, commit_interval_ms=1_001)
    assert "1000" in caught.value.remedy
