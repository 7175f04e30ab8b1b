"""`streamguard run` on a topic whose records name their schema: a real broker, and a real registry."""

import json

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from streamguard.formats.framing import prefix
from tests.integration.test_run import SCHEMA, make_site  # noqa: F401 - a fixture
from tests.integration.test_run_processes import counters
from tests.lanes import read
from tests.service import until


def test_children_who_meet_a_schema_at_the_same_time(make_site, registry_url):  # noqa: F811
    """Each registers the clean schema, and none of their records is refused; requests are counted."""
    site = make_site(partitions=4, registry={"url": registry_url})
    site.policy.write_text(site.text().replace("{schema: people.json}", "{format: json, registry: true}"))
    with SchemaRegistryClient({"url": registry_url}) as client:
        frame = prefix(client.register_schema(f"{site.source}-value", Schema(json.dumps(SCHEMA), "JSON")))
    producer = Producer({"bootstrap.servers": site.kafka})
    for n in range(80):
        producer.produce(site.source, frame + json.dumps({"n": n, "who": "Ana"}).encode(), partition=n % 4)
    assert producer.flush(30) == 0
    with site.folder.running("--slot", "guard", "--processes", "2") as running:
        messages = read(site.kafka, f"{site.source}.clean", at_least=80)
        assert sorted(json.loads((message.value() or b"")[5:])["n"] for message in messages) == list(
            range(80)
        )
        assert len({(message.value() or b"")[:5] for message in messages}) == 1
        asked = "streamguard_registry_seconds_count[('operation', 'register'), ('outcome', 'ok')]"
        until(lambda: counters(running).get(asked, 0) > 0, what="requests are counted")
        assert running.stop() == 0
    assert read(site.kafka, f"{site.source}.violations") == []
