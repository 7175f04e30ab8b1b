"""`streamguard violations` on a real broker: transactions that ended either way, and what others wrote to the topic."""

import json
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from tests.service import STREAMGUARD, Folder

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


def violation(number, code="schema.type", path="n"):
    error = {"code": code, "path": path, "stage": "validate", "message": "has another type"}
    return {
        "id": f"{number:032}",
        **error,
        "errors": [error, {**error, "code": "quality.low"}] if number % 2 else [error],
        "policy": {"name": "people", "version": "1"},
        "source": {"topic": "people", "partition": number % 3, "offset": number, "timestamp": 0},
    }


class Site:
    """A service's folder, and its violations topic."""

    def __init__(self, path, kafka, topic):
        self.kafka = kafka
        self.topic = topic("violations", partitions=3)
        policy = "topic: people\nkey: keep\nvalue: {schema: people.json}\nkeep: [n]\n"
        policy += f"outputs: {{violations: {self.topic}}}\n"
        self.folder = Folder(path, kafka, {"people.yaml": policy}, {"people.json": SCHEMA})

    def write(self, numbers, *, commit=True, **more):
        """One transaction. The violation of number n is n seconds past the first minute of 2026."""
        producer = Producer(
            {"bootstrap.servers": self.kafka, "transactional.id": f"{self.topic}.{time.time_ns()}"}
        )
        producer.init_transactions(60)
        producer.begin_transaction()
        for number in numbers:
            value = json.dumps(violation(number, **more))
            producer.produce(self.topic, value, partition=number % 3, timestamp=self.time(number))
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    def time(self, number):
        return 1_767_225_660_000 + number * 1000

    def run(self, *arguments, check=True):
        return self.folder.streamguard("violations", *arguments, "-c", str(self.folder.config), check=check)

    def numbers(self, *arguments):
        lines = self.run("tail", "--json", *arguments).stdout.splitlines()
        return [json.loads(line)["source"]["offset"] for line in lines]


@pytest.fixture
def site(tmp_path, kafka, topic):
    return Site(tmp_path, kafka, topic)


@pytest.fixture
def filled(site):
    site.write(range(10))
    site.write(range(100, 105), commit=False)
    site.write(range(10, 19), code="inspect.email", path="note")
    site.write([19])
    return site


def test_tail_shows_the_latest_committed_ones_oldest_first(filled):
    assert filled.numbers() == list(range(10, 20))
    assert filled.numbers("-n", "3") == [17, 18, 19]
    assert filled.numbers("-n", "1000") == list(range(20))
    assert filled.numbers("-n", "0") == []
    assert filled.numbers("-n", "4", "--code", "schema") == [7, 8, 9, 19]


def test_tail_tells_the_later_one_of_those_that_share_a_time(site):
    site.time = lambda _: 1_767_225_660_000
    site.write(range(0, 30, 3))  # one partition: Kafka's order is the sources'
    assert site.numbers("-n", "4") == [18, 21, 24, 27]


def test_tail_finds_the_latest_behind_what_was_aborted(site):
    site.write(range(9))
    site.write(range(100, 190), commit=False)
    assert site.numbers("-n", "4") == [5, 6, 7, 8]


def test_tail_shows_all_since_a_time(filled):
    since = datetime.fromtimestamp(filled.time(15) / 1000, UTC).isoformat()
    assert sorted(filled.numbers("--since", since)) == [15, 16, 17, 18, 19]
    assert sorted(filled.numbers("--since", since, "--code", "inspect.email")) == [15, 16, 17, 18]
    assert filled.numbers("--since", "5s") == []


def test_tail_tells_people_what_was_wrong_and_where(filled):
    lines = [line.split(None, 2) for line in filled.run("tail", "-n", "2").stdout.splitlines()]
    times = [
        f"{datetime.fromtimestamp(filled.time(n) / 1000).astimezone():%Y-%m-%d %H:%M:%S}" for n in (18, 19)
    ]
    assert [" ".join(line[:2]) for line in lines[:2]] == times
    assert [" ".join(line[2].split()) for line in lines[:2]] == [
        "people/0/18 inspect.email note has another type",
        "people/1/19 schema.type n has another type",
    ]
    assert " ".join(lines[2]).split() == ["people/1/19", "quality.low", "n", "has", "another", "type"]


def test_tail_follows_until_it_is_told_to_stop(filled):
    command = [STREAMGUARD, "violations", "tail", "-f", "-n", "1", "--json", "-c", filled.folder.config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["source"]["offset"] == 19
        filled.write([20, 21, 22])
        followed = [json.loads(process.stdout.readline())["source"]["offset"] for _ in range(3)]
        assert sorted(followed) == [20, 21, 22]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_stats_counts_by_code_path_and_partition(filled):
    found = json.loads(filled.run("stats", "--json").stdout)
    assert found["total"] == 20
    assert {(row["code"], row["path"]): row["count"] for row in found["by_code"]} == {
        ("schema.type", "n"): 11,
        ("inspect.email", "note"): 9,
        ("quality.low", "n"): 6,
        ("quality.low", "note"): 4,
    }
    assert [row["count"] for row in found["by_partition"]] == [7, 7, 6]
    assert found["by_policy"] == {"people": 20}
    assert (found["first"], found["last"]) == ("2026-01-01T00:01:00+00:00", "2026-01-01T00:01:19+00:00")


def test_stats_shows_people_the_most_frequent_first(filled):
    lines = filled.run("stats").stdout.splitlines()
    assert lines[0] == "20 violations from 2026-01-01T00:01:00+00:00 to 2026-01-01T00:01:19+00:00"
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["schema.type", "n", "11", "55.0%"],
        ["inspect.email", "note", "9", "45.0%"],
    ]


def test_an_empty_topic_has_no_violations(site):
    assert site.numbers() == []
    assert site.run("stats").stdout == "No violations.\n"
    assert json.loads(site.run("stats", "--json").stdout)["total"] == 0


def test_what_others_wrote_is_told_apart_and_drives_no_terminal(site):
    producer = Producer({"bootstrap.servers": site.kafka})
    evil = violation(0, code="\x1b[2Jevil", path="\r\n")
    for value in (b"not JSON", b"[]", b'{"code": 1}', None, json.dumps(evil)):
        producer.produce(site.topic, value)
    producer.flush(30)
    shown = site.run("tail").stdout
    assert shown.count("(unreadable)") == 4
    assert "\x1b" not in shown
    assert "·[2Jevil" in shown
    assert len(shown.splitlines()) == 5
    assert json.loads(site.run("stats", "--json").stdout)["total"] == 5


def test_nothing_is_left_behind_in_kafka(filled):
    from confluent_kafka.admin import AdminClient

    filled.run("stats")
    admin = AdminClient({"bootstrap.servers": filled.kafka})  # the answer would die with it
    listed = admin.list_consumer_groups().result(60)
    assert listed.errors == []
    assert "streamguard.reader" not in {group.group_id for group in listed.valid}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tail", "--policy", "nobody"], 2, "The policies are people."),
        (["stats", "--since", "yesterday"], 2, "Write 90s"),
    ],
)
def test_wrong_use_is_told(site, arguments, code, message):
    done = site.run(*arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_a_missing_topic_and_a_missing_broker_are_told(tmp_path, kafka):
    policy = "topic: people\nkey: keep\nkeep: [n]\noutputs: {violations: nobody-made-this}\n"
    folder = Folder(tmp_path, kafka, {"people.yaml": policy}, {})
    done = folder.streamguard("violations", "stats", "-c", str(folder.config), check=False)
    assert (done.returncode, "'nobody-made-this' does not exist" in done.stderr) == (1, True)
    folder.configure(kafka={"bootstrap.servers": "127.0.0.1:1"})
    done = folder.streamguard("violations", "tail", "-c", str(folder.config), check=False)
    assert (done.returncode, "No Kafka broker answers" in done.stderr) == (1, True)
