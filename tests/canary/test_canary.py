"""Nothing that a policy classifies ever comes out in the clear, whatever happens to its record.

Marks are planted wherever data can stand (`planted`), the real service works on them with everything that talks turned
up, and then every byte that it or its commands gave away is searched for them, in every spelling (`tests.markers`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.audit import messages
from tests.canary.planted import (
    CLEAN_MAX_MESSAGE_BYTES,
    EXPLODE,
    POLICIES,
    RECORDS,
    SCHEMAS,
    VIOLATIONS_MAX_MESSAGE_BYTES,
    WORDS,
)
from tests.markers import STEM, Search, sites
from tests.servers import unique
from tests.service import Folder, Running
from tests.waiting import until

SEARCH = Search(WORDS)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where metrics of several processes are kept

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


class Aviary:
    """Topics with planted records, and a service that has to keep them."""

    def __init__(self, path: Path, bootstrap: str, **settings: Any) -> None:
        self.bootstrap = bootstrap
        self.group = unique("canary")
        self.sources = {policy: f"{self.group}-{policy}" for policy in POLICIES}
        texts = {f"{name}.yaml": text % {"topic": self.sources[name]} for name, text in POLICIES.items()}
        self.folder = Folder(path, bootstrap, texts, SCHEMAS, group=self.group, **settings)
        self.folder.install("foreign", EXPLODE, explode="Explode")
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        people = self.sources["people"]
        self._create(
            NewTopic(f"{people}.clean", 1, 1, config={"max.message.bytes": str(CLEAN_MAX_MESSAGE_BYTES)}),
            NewTopic(
                f"{people}.violations", 1, 1, config={"max.message.bytes": str(VIOLATIONS_MAX_MESSAGE_BYTES)}
            ),
            *(NewTopic(topic, 1, 1) for topic in self.sources.values()),
        )

    def _create(self, *topics: NewTopic) -> None:
        for created in self._admin.create_topics(list(topics)).values():
            created.result(timeout=60)

    @property
    def outputs(self) -> list[str]:
        """All topics that the service writes to."""
        return [f"{topic}.{end}" for topic in self.sources.values() for end in ("clean", "violations")]

    def plant(self) -> None:
        """Write all records."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": 5_000_000})
        for policy, records in RECORDS.items():
            for record in records():
                producer.produce(self.sources[policy], record.value, record.key, headers=record.headers)
        assert producer.flush(30) == 0

    def done(self, policy: str) -> bool:
        """Whether a policy's topic is committed to its end."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": f"{self.group}.{policy}"}
        consumer = Consumer(settings)
        try:
            where = TopicPartition(self.sources[policy], 0)
            (committed,) = consumer.committed([where], timeout=30)
            return bool(committed.offset == consumer.get_watermark_offsets(where, timeout=30)[1])
        finally:
            consumer.close()

    def content(self, topic: str) -> Iterator[bytes]:
        """Keys, values, header names and header values of a topic, records of aborted transactions too."""
        for message in messages(self.bootstrap, topic, isolation="read_uncommitted"):
            yield message.key() or b""
            yield message.value() or b""
            for name, value in message.headers() or []:
                yield name.encode() + b"\n" + (value or b"")

    def delete(self) -> None:
        topics = [*self.sources.values(), *self.outputs, f"{self.group}.control"]
        for deleted in self._admin.delete_topics(topics).values():
            deleted.exception(timeout=30)


@pytest.fixture(params=["text", "json"])
def aviary(request, kafka, tmp_path):
    """Once as people run it, once as machines do; librdkafka tells everything it can in the second."""
    talkative = {"debug": "all"} if request.param == "json" else {}
    log = {"format": request.param, "level": "debug"}
    aviary = Aviary(tmp_path / "service", kafka, kafka=talkative, log=log)
    yield aviary
    aviary.delete()


def test_no_mark_comes_out(aviary, tmp_path):
    aviary.plant()
    given: dict[str, bytes] = {}
    with aviary.folder.running("--processes", "2", "--slot", "canary") as service:
        until(lambda: all(map(aviary.done, POLICIES)), within=90, what=service.last_words)
        given |= _answers(service)
        given |= _files(aviary.folder.path, "while it runs")
        given |= _shared_memory(service)
        given |= _commands(aviary)
        assert service.stop() == 0
    given |= _files(aviary.folder.path, "when it has ended")
    given |= _filtered(aviary, tmp_path)
    given |= {f"topic {topic}": b"\0".join(aviary.content(topic)) for topic in aviary.outputs}
    given["control topic"] = b"\0".join(aviary.content(f"{aviary.group}.control"))

    # The control: a policy that keeps a marked field is found out, and by nothing but its own clean topic.
    leaky = given.pop(f"topic {aviary.sources['leaky']}.clean")
    assert [leak.spelling for leak in SEARCH.leaks(leaky)] == ["plain"]
    assert sites(leaky) == {"leak"}

    assert [name for name, data in given.items() if not data] == [
        f"topic {aviary.sources['leaky']}.violations"
    ]
    leaks = {name: found for name, data in given.items() if (found := SEARCH.leaks(data))}
    assert leaks == {}
    _assert_everything_was_met(aviary)


def _assert_everything_was_met(aviary: Aviary) -> None:
    """What was planted really was in the way, and really was processed: a search in vain would prove nothing."""
    for policy, records in RECORDS.items():
        planted = list(records())
        source = b"\0".join(aviary.content(aviary.sources[policy]))
        assert sites(source) >= {
            site for record in planted for site in sites(b" ".join([record.key or b"", record.value or b""]))
        }
        clean = list(messages(aviary.bootstrap, f"{aviary.sources[policy]}.clean"))
        violations = list(messages(aviary.bootstrap, f"{aviary.sources[policy]}.violations"))
        by_offset = {int(dict(m.headers())["sg-source"].rpartition(b"/")[2]): "clean" for m in clean}
        by_offset |= {
            int(dict(m.headers())["sg-source"].rpartition(b"/")[2]): "violation" for m in violations
        }
        assert by_offset == {
            offset: "violation" if record.fails else "clean" for offset, record in enumerate(planted)
        }
    everything = b"".join(aviary.content(aviary.sources["people"]))
    assert all(word.encode() in everything for word in (*WORDS, STEM))


def _answers(service: Running) -> dict[str, bytes]:
    return {path: service.get(path)[1] for path in ("/metrics", "/health/live", "/health/ready")}


def _files(folder: Path, when: str) -> dict[str, bytes]:
    """Every file below the service's folder: store with its write-ahead log, logs, and whatever else there may be."""
    found = {
        f"{path.relative_to(folder)} {when}": path.read_bytes() + os.fsencode(path.name)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    assert any("streamguard.db" in name for name in found)
    assert any(name.startswith("logs/") for name in found)
    return found


def _shared_memory(service: Running) -> dict[str, bytes]:
    if not SHARED_MEMORY.is_dir():
        return {}
    folders = SHARED_MEMORY.glob(f"streamguard-metrics-{service.pid}-*")
    found = {f"{path} in memory": path.read_bytes() for folder in folders for path in folder.iterdir()}
    assert found
    return {name: data for name, data in found.items() if data}


def _commands(aviary: Aviary) -> dict[str, bytes]:
    """What the commands that machines read print about it, and what they print for people."""
    config = ("-c", str(aviary.folder.config))
    commands = (
        ("check", "--explain", *config),
        ("violations", "tail", "--count", "1000", *config),
        ("violations", "stats", *config),
        ("topics", "show", *config),
        ("keys", "list", *config),
    )
    given = {}
    for command in commands:
        for how in ((), ("--json",)):
            done = aviary.folder.streamguard(*command, *how)
            given[" ".join((*command[:2], *how))] = (done.stdout + done.stderr).encode()
    done = aviary.folder.streamguard("control", "reload", *config)
    return given | {"control reload": (done.stdout + done.stderr).encode()}


def _filtered(aviary: Aviary, tmp_path: Path) -> dict[str, bytes]:
    """The same records through `streamguard filter`, as lines of a file."""
    lines = tmp_path / "people.ndjson"
    values = [record.value for record in RECORDS["people"]() if record.value]
    lines.write_bytes(b"\n".join(value.replace(b"\n", b" ") for value in values))
    policy = aviary.folder.path / "policies" / "people.yaml"
    done = aviary.folder.streamguard(
        "filter", str(policy), str(lines), "-c", str(aviary.folder.config), check=False
    )
    assert done.returncode == 1  # some lines are violations
    assert done.stdout.count("\n") >= 3
    assert done.stderr.count("\n") > 30
    return {"filter's stdout": done.stdout.encode(), "filter's stderr": done.stderr.encode()}
