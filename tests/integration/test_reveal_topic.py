"""`streamguard reveal --topic` and the audit topic on a real broker."""

import json
import os
import subprocess
from datetime import UTC, datetime

import orjson
import pytest
from confluent_kafka import Producer
from sqlalchemy import delete

from streamguard.access.tokens import generate, hash_of
from streamguard.access.verify import Verifier
from streamguard.crypto.aead import GcmSealer
from streamguard.crypto.setup import open_keyring
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy
from streamguard.policy.service import load_service
from streamguard.store.tables import audit_entries, audit_heads
from tests.servers import unique
from tests.service import STREAMGUARD, Folder

POLICY = """
topic: {topic}
key: drop
undeclared: drop
fields:
  email: {{encrypt: {{}}, element: email}}
  ssn: {{fpe: {{alphabet: digits}}, element: ssn}}
keep: [n]
"""
RULES = """
@id("fraud reads its topic") permit (principal in Role::"fraud", action, resource in Topic::"{clean}");
@id("masked") permit (principal in Role::"support", action == Action::"reveal_masked", resource == Element::"email");
"""
START = 1_767_225_660_000


class Site:
    """A service's folder with roles, and its clean topic."""

    def __init__(self, path, kafka, topic):
        self.kafka = kafka
        self.topic = unique("orders")
        self.clean = topic("orders.clean", partitions=2)
        self.audit = unique("audit")
        policy = POLICY.format(topic=self.topic) + f"outputs: {{clean: {self.clean}}}\n"
        self.folder = Folder(path, kafka, {"orders.yaml": policy}, {})
        (path / "roles.cedar").write_text(RULES.format(clean=self.clean))
        self.tokens = {role: generate() for role in ("fraud", "support")}
        entries = [
            {"name": role, "hash": hash_of(token), "roles": [role]} for role, token in self.tokens.items()
        ]
        (path / "tokens.yaml").write_text(json.dumps({"tokens": entries}))
        self.folder.configure(
            access={
                "policies": "roles.cedar",
                "tokens": "tokens.yaml",
                "audit": {"topic": self.audit},
                "limit": {"values": 40, "per": "1h"},
            }
        )
        service = load_service(self.folder.config)
        self.keyring = open_keyring(service.keys, service.store.url.get_secret_value())
        self.loaded = load_policy(path / "policies" / "orders.yaml")

    def write(self, numbers, *, commit=True):
        """One transaction of protected records; that of number n is n seconds past START."""
        values = [orjson.dumps({"n": n, "email": f"p{n}@example.com", "ssn": f"{n:09}"}) for n in numbers]
        batch = Batch(self.topic, values)
        Guard(self.loaded.policy, self.loaded.schema, self.keyring).process(batch)
        producer = Producer({"bootstrap.servers": self.kafka, "transactional.id": unique("reveal")})
        producer.init_transactions(60)
        producer.begin_transaction()
        for n, value, headers in zip(numbers, batch.out_values, batch.out_headers, strict=True):
            producer.produce(self.clean, value, headers=headers, partition=n % 2, timestamp=START + n * 1000)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    def run(self, *arguments, role=None):
        return subprocess.run(
            [STREAMGUARD, *arguments, "-c", str(self.folder.config)],
            env={**os.environ, **({"STREAMGUARD_TOKEN": self.tokens[role]} if role else {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def reveal(self, *arguments, role="fraud"):
        return self.run("reveal", "--topic", self.clean, *arguments, role=role)

    def verify(self, *arguments):
        done = self.run("audit", "verify", "--json", *arguments)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        assert found["intact"] == (done.returncode == 0)
        return found


@pytest.fixture
def site(tmp_path, kafka, topic):
    return Site(tmp_path / "site", kafka, topic)


def test_a_topic_is_revealed_and_the_trail_outlives_its_database(site):
    site.write(range(10))
    site.write(range(10, 20), commit=False)
    site.write(range(20, 24))

    begin, end = (datetime.fromtimestamp(START / 1000 + n, UTC).isoformat() for n in (3, 6))
    done = site.reveal("--from", begin, "--to", end, "--purpose", "case 7")
    assert sorted(json.loads(line)["n"] for line in done.stdout.splitlines()) == [3, 4, 5]

    done = site.reveal()
    assert (done.returncode, done.stderr) == (0, "")
    found = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda record: record["n"])
    assert found == [
        {"n": n, "email": f"p{n}@example.com", "ssn": f"{n:09}"} for n in (*range(10), *range(20, 24))
    ]  # what was aborted is no record

    done = site.reveal()  # 6 and 28 values so far, and the limit is 40
    assert (done.returncode, done.stdout) == (1, "")
    assert "more values than you may" in done.stderr

    done = site.reveal(role="support")  # masked, and of the other field nothing
    assert done.returncode == 1
    first = json.loads(done.stdout.splitlines()[0])
    assert first["email"] == "*" * (len(f"p{first['n']}@example.com") - 4) + ".com"
    assert first["ssn"] != f"{first['n']:09}"
    assert f"{site.clean}/" in done.stderr
    assert "ssn: You may not reveal" in done.stderr

    whole = site.verify("--topic")
    assert whole["intact"]
    assert whole["published"] == whole["heads"] == 4
    assert whole["published_to"] == whole["entries"] == 8

    # The owner of the database removes what came last, and the heads with it.
    with site.keyring.store.database.writing() as connection:
        connection.execute(delete(audit_entries).where(audit_entries.c.seq > 4))
        connection.execute(delete(audit_heads).where(audit_heads.c.seq > 4))
    assert Verifier(site.keyring).verify().intact
    cut = site.verify("--topic")
    assert [(flaw["code"], flaw["seq"]) for flaw in cut["flaws"]] == [
        ("published_missing_entry", 6), ("published_missing_entry", 8),
    ]  # fmt: skip


def test_nothing_is_revealed_while_the_audit_topic_is_away(site):
    """Nothing listens where the brokers should be."""
    (token,) = GcmSealer(site.keyring.fresh("orders", "email", 1)).seal(["ana@example.com"])
    site.folder.configure(kafka={"bootstrap.servers": "127.0.0.1:1"})
    done = site.run("reveal", token, role="support")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not take the trail's head" in done.stderr
    verdict = Verifier(site.keyring).verify()
    assert verdict.intact
    assert verdict.entries == 1  # the attempt is on the trail
