"""`streamguard run` as people and their machines see it: one process, on a real broker."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.setup import open_kms
from streamguard.errors import KeyMissingError
from streamguard.policy.service import load_service
from streamguard.store.store import open_store
from tests.servers import Broker
from tests.service import STREAMGUARD, Folder, Running, send
from tests.waiting import until

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["n"],
    "properties": {"n": {"type": "integer"}, "who": {"type": "string"}, "note": {"type": "string"}},
}


class Site:
    """A service's folder with one policy, `people`, and what goes in and out of its topic."""

    def __init__(self, path: Path, kafka: str, source: str, **settings) -> None:
        self.kafka = kafka
        self.source = source
        self.group = f"run-{uuid.uuid4().hex[:8]}"
        self.policy = path / "policies" / "people.yaml"
        policies = {"people.yaml": self.text()}
        self.folder = Folder(path, kafka, policies, {"people.json": SCHEMA}, group=self.group, **settings)

    def text(self, *, who: str = "tokenize", more: str = "") -> str:
        """The policy's text."""
        return (
            f"topic: {self.source}\nkey: keep\nvalue: {{schema: people.json}}\n"
            f"fields: {{who: {who}}}\nkeep: [n, note]\ncommit_interval_ms: 50\n{more}"
        )

    def rewrite(self, **changes) -> None:
        self.policy.write_text(self.text(**changes))

    def send(self, *documents: object) -> None:
        producer = Producer({"bootstrap.servers": self.kafka})
        for number, document in enumerate(documents):
            value = document if isinstance(document, bytes) else json.dumps(document).encode()
            producer.produce(self.source, value, key=f"k{number}")
        assert producer.flush(30) == 0

    def read(self, topic: str, count: int, *, within: float = 60.0) -> list[dict]:
        """The first `count` documents of an output."""
        settings = {
            "bootstrap.servers": self.kafka,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
        consumer = Consumer(settings)
        consumer.subscribe([f"{self.source}.{topic}"])
        found: list[dict] = []
        deadline = time.monotonic() + within
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} in {topic}"
            if (message := consumer.poll(0.1)) and message.error() is None:
                found.append(json.loads(message.value()))
        consumer.close()
        return found

    def tell(self, *arguments: str) -> str:
        return self.folder.streamguard("control", *arguments, "-c", str(self.folder.config)).stdout


@pytest.fixture
def make_site(tmp_path: Path, kafka: str, topic: Callable[..., str]) -> Iterator[Callable[..., Site]]:
    """A function that makes a site on the shared broker; its topics are deleted afterwards."""
    sites: list[Site] = []

    def make(*, partitions: int = 1, **settings) -> Site:
        site = Site(
            tmp_path / f"site-{len(sites)}", kafka, topic("people", partitions=partitions), **settings
        )
        sites.append(site)
        return site

    yield make
    ours = [f"{site.source}.{end}" for site in sites for end in ("clean", "violations")]
    ours += [f"{site.group}.control" for site in sites]
    AdminClient({"bootstrap.servers": kafka}).delete_topics(ours)


@pytest.fixture
def site(make_site) -> Site:
    return make_site()


def lane(running: Running) -> dict:
    """The only lane, as health tells it."""
    (slot,) = json.loads(running.get("/health/ready")[1])["slots"]
    return slot["lanes"][0]


def listening(running: Running) -> bool:
    """Whether the control agent has its partition."""
    return json.loads(running.get("/health/ready")[1])["slots"][0]["control"] == "listening"


# -- From start to end -----------------------------------------------------------------------------------------------


def test_records_flow_and_sigterm_ends_it_well(site):
    with site.folder.running("--slot", "guard-0") as running:
        site.send({"n": 1, "who": "Ana"}, {"n": "two"}, {"n": 3, "who": "Ana"})
        clean, violations = site.read("clean", 2), site.read("violations", 1)
        assert [document["n"] for document in clean] == [1, 3]
        assert clean[0]["who"] == clean[1]["who"] != "Ana"
        assert violations[0]["code"] == "schema.type"

        status, body = running.get("/health/ready")
        assert status == 200
        assert json.loads(body)["slots"] == [
            {
                "slot": "guard-0",
                "state": "running",
                "ready": True,
                "control": "listening" if listening(running) else "starting",
                "keys": "available",
                "lanes": [
                    {
                        "policy": "people",
                        "version": site.folder.policy_stamp("people").partition("@")[2],
                        "topic": site.source,
                        "state": "running",
                        "reason": "",
                        "ready": True,
                        "partitions": [0],
                    }
                ],
            }
        ]
        assert running.get("/health/live") == (200, b'{"live":true}')
        metrics = running.get("/metrics")[1].decode()
        assert 'streamguard_records_clean_total{policy="people"} 2.0' in metrics
        assert 'streamguard_violations_total{code="schema.type",policy="people"} 1.0' in metrics
        assert running.stop(within=10) == 0
        assert "Traceback" not in running.said()
        assert running.said().count("process.stopped slot=guard-0 exit_code=0") == 1


def test_a_quiet_guest_that_ctrl_c_ends_however_often(site):
    before = {path.name for path in site.folder.path.iterdir()}
    strange = {
        "DEBUG": "1",
        "FAUST_DEBUG": "1",
        "WEB_PORT": "1",
        "BROKER_URL": "kafka://nowhere",
        "APP_DATADIR": "x",
    }
    with site.folder.running(environment=strange) as running:
        limits = Path(f"/proc/{running.pid}/limits").read_text().splitlines()
        assert [line.split()[4:6] for line in limits if line.startswith("Max core")] == [["0", "0"]], (
            "core dumps"
        )
        send(running.pid, signal.SIGINT)
        time.sleep(0.05)
        if running.process.poll() is None:
            send(running.pid, signal.SIGINT)
        assert running.ended(within=20) == 0
        assert "Traceback" not in running.said()
        assert "KeyboardInterrupt" not in running.said()
    made = {path.name for path in site.folder.path.iterdir()} - before
    assert {name.partition("-")[0] for name in made} == {"streamguard.db"}, (
        "it leaves keys and store, nothing else"
    )


# -- Told while it runs ----------------------------------------------------------------------------------------------


def test_sighup_applies_a_good_policy_and_refuses_a_bad_one(site):
    with site.folder.running() as running:
        site.send({"n": 1, "who": "Ana"})
        assert site.read("clean", 1)[0]["who"] != "Ana"

        site.rewrite(who="{redact: {text: someone}}")
        send(running.pid, signal.SIGHUP)
        until(lambda: "lane.reloaded" in running.said(), what="the reload")
        site.send({"n": 2, "who": "Ana"})
        assert site.read("clean", 2)[1]["who"] == "someone"
        version = lane(running)["version"]
        assert site.folder.policy_stamp("people") == f"people@{version}"

        site.rewrite(who="redcat")
        send(running.pid, signal.SIGHUP)
        until(lambda: "reload.refused" in running.said(), what="the refusal")
        (refusal,) = [line for line in running.said().splitlines() if "reload.refused" in line]
        assert "did you mean 'redact'?" in refusal
        site.send({"n": 3, "who": "Ana"})
        assert site.read("clean", 3)[2]["who"] == "someone"
        assert lane(running)["version"] == version
        metrics = running.get("/metrics")[1].decode()
        assert 'streamguard_reloads_total{outcome="applied"} 1.0' in metrics
        assert 'streamguard_reloads_total{outcome="refused"} 1.0' in metrics
        assert running.stop() == 0


def test_a_reload_of_what_did_not_change_or_takes_a_restart_touches_nothing(site):
    with site.folder.running() as running:
        send(running.pid, signal.SIGHUP)
        until(lambda: "reload.done" in running.said(), what="the reload")

        for change, reason in (
            (lambda: site.rewrite(more="delivery: at_least_once\n"), "changed its delivery"),
            (lambda: site.rewrite(more="outputs: {clean: elsewhere}\n"), "changed its clean topic"),
            (lambda: site.policy.rename(site.policy.with_name("folks.yaml")), "added or removed"),
            (lambda: site.policy.with_name("folks.yaml").unlink(), "no policy file is there"),
        ):
            change()
            send(running.pid, signal.SIGHUP)
            until(lambda reason=reason: reason in running.said(), what=reason)
        assert running.said().count("reload.refused") == 4
        assert running.is_ready
        assert "lane.reloaded" not in running.said()


def test_the_control_topic_reloads_pauses_and_resumes(site):
    with site.folder.running() as running:
        until(lambda: listening(running), what="the control agent listens")
        site.rewrite(who="{redact: {text: someone}}")
        site.tell("reload")
        until(lambda: "lane.reloaded" in running.said(), what="the reload")

        site.tell("pause", "people")
        until(lambda: lane(running)["reason"] == "operator", what="the pause")
        assert running.get("/health/ready")[0] == 503
        assert running.get("/health/live")[0] == 200
        site.send({"n": 1, "who": "Ana"})
        site.rewrite(who="{redact: {text: nobody}}")
        send(running.pid, signal.SIGHUP)
        until(lambda: running.said().count("lane.reloaded") == 2, what="the reload of a paused lane")
        time.sleep(0.5)
        assert lane(running)["reason"] == "operator"

        site.tell("resume", "people")
        until(lambda: running.is_ready, what="going on")
        assert site.read("clean", 1)[0]["who"] == "nobody"
        assert running.stop() == 0


def test_a_pause_outlives_the_process(site):
    with site.folder.running("--slot", "a") as running:
        assert site.tell("pause", "people").endswith("until: streamguard control resume people\n")
        until(lambda: lane(running)["reason"] == "operator", what="the pause")
        assert running.stop() == 0
    assert site.tell("paused", "--json") == '["people"]\n'
    site.send({"n": 1, "who": "Ana"})
    for slot in ("a", "b"):
        with site.folder.running("--slot", slot, wait=False) as running:
            until(lambda: "lane.assigned" in running.said(), what="the lane has its partition")
            assert lane(running)["reason"] == "operator"
            until(lambda: listening(running), what="the control agent listens")
            if slot == "b":
                site.tell("resume", "people")
                until(lambda: running.is_ready, what="going on")
                assert len(site.read("clean", 1)) == 1
            assert running.stop() == 0
    assert site.tell("paused") == ""


def test_what_the_control_topic_holds_that_is_no_command_is_passed_over(site):
    canary = "kanarienvogel"
    with site.folder.running() as running:
        until(lambda: listening(running), what="the control agent listens")
        producer = Producer({"bootstrap.servers": site.kafka})
        control = f"{site.group}.control"
        for value in (
            canary,
            f'{{"command":"{canary}"}}',
            f'{{"command":"pause","policy":"{canary}"}}',
            "[" * 5000,
        ):
            producer.produce(control, value, key=canary)
        producer.produce(control, None, key=canary)
        producer.flush(10)
        site.tell("reload")
        until(lambda: "reload.done" in running.said(), what="the command after the nonsense")
        said = running.said()
        assert said.count("control.not_understood") == 4
        # A policy that another service of the group may have is named as it is: it passes for a policy's name.
        assert said.count(canary) == 1
        assert running.is_ready
        assert running.stop() == 0


def test_quarantine_keys_are_destroyed_when_their_time_is_over(site):
    loaded = load_service(site.folder.config)
    store = open_store(loaded.store.url.get_secret_value())
    long_ago = Keyring(store, open_kms(loaded.keys), now=lambda: datetime.now(UTC) - timedelta(days=20))
    old = long_ago.quarantine("people", timedelta(days=14))
    recent = site.folder.keyring().quarantine("people", timedelta(days=14))
    with site.folder.running() as running:
        until(lambda: "keys.destroyed" in running.said(), what="the destruction")
        running.stop()
    with pytest.raises(KeyMissingError, match="destroyed"):
        site.folder.keyring().find(old.id)
    assert site.folder.keyring().find(recent.id) == recent


# -- When things go wrong --------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_a_broker_that_goes_and_comes_back_is_waited_for(tmp_path, second_kafka: Broker):
    admin = AdminClient({"bootstrap.servers": second_kafka.bootstrap})
    admin.create_topics([NewTopic("people", 1, 1)])["people"].result(30)
    del admin  # it would complain while the broker is away
    site = Site(tmp_path / "site", second_kafka.bootstrap, "people")
    with site.folder.running() as running:
        until(lambda: listening(running), what="the control agent listens")
        site.send({"n": 1})
        site.read("clean", 1)
        second_kafka.stop()
        until(lambda: running.get("/health/ready")[0] == 503, what="it says that it is not ready")
        time.sleep(5)
        assert running.get("/health/live")[0] == 200
        second_kafka.start()
        site.send({"n": 2})
        assert [document["n"] for document in site.read("clean", 2, within=90)] == [1, 2]
        until(lambda: running.is_ready, what="it says so", within=60)
        site.tell("reload")
        until(lambda: "reload.done" in running.said(), what="Faust is back too", within=60)
        assert len(running.said().splitlines()) < 200, "aiokafka's complaints are not kept down"

        second_kafka.stop()
        assert running.stop() == 0, "an end without a broker"
        assert "Traceback" not in running.said()


def test_two_on_one_slot_one_has_to_go(site):
    with (
        site.folder.running("--slot", "twin") as first,
        site.folder.running("--slot", "twin", wait=False) as second,
    ):
        until(lambda: first.process.poll() is not None or second.process.poll() is not None, within=60)
        loser = first if first.process.poll() is not None else second
        assert loser.ended(60) == 1
        assert "Slot 'twin' is in use elsewhere" in loser.said()
        assert "process.stopped slot=twin exit_code=1" in loser.said()
        assert "Traceback" not in loser.said()


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_lane_that_fails_for_good_ends_the_process_unless_told_otherwise(site, topic, keep_going):
    other = topic("others")
    (site.folder.path / "policies" / "others.yaml").write_text(site.text().replace(site.source, other))
    admin = AdminClient({"bootstrap.servers": site.kafka})
    producer = Producer({"bootstrap.servers": site.kafka})
    with site.folder.running(*(["--keep-going"] if keep_going else [])) as running:
        # What the lane would read next is deleted meanwhile: going on elsewhere would lose records in silence.
        site.tell("pause", "others")
        until(lambda: "reason=operator" in running.said(), what="the pause")
        producer.produce(other, b"{}")
        producer.flush(10)
        admin.delete_records([TopicPartition(other, 0, 1)])
        site.tell("resume", "others")
        until(lambda: "lane.failed" in running.said(), what="the lane fails")
        if keep_going:
            site.send({"n": 1})
            assert site.read("clean", 1) == [{"n": 1}]
            status, body = running.get("/health/ready")
            assert status == 503
            assert sorted(one["state"] for one in json.loads(body)["slots"][0]["lanes"]) == [
                "failed",
                "running",
            ]
            running.process.terminate()
        assert running.ended(60) == 1
        assert running.said().index("lane.failed") < running.said().index("lane.stopped")
        assert "Traceback" not in running.said()
    admin.delete_topics([f"{other}.clean", f"{other}.violations"])


CRASH = """
import asyncio, sys
from pathlib import Path
from streamguard import logs
from streamguard.streams.app import Process
from streamguard.streams.signals import Signals
from streamguard.streams.startup import prepare, read_service, slot_of

logs.setup("text", "info")
loaded = read_service(Path(sys.argv[1]))
prepared = prepare(loaded, slot_of("a", loaded.service))

async def main():
    process = Process(prepared, Signals())
    run = asyncio.create_task(process.run(None, None))
    while not process.ready()["ready"]:
        await asyncio.sleep(0.05)
    await process._app.crash(RuntimeError("kanarienvogel"))
    return await run

sys.exit(asyncio.run(main()))
"""


def test_a_crash_of_faust_ends_the_lanes_well_and_the_process_with_an_error(site):
    python = STREAMGUARD.with_name("python")
    done = subprocess.run(
        [python, "-c", CRASH, site.folder.config],
        cwd=site.folder.path,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 1, done.stderr
    assert "faust.crashed slot=a" in done.stderr.replace(
        "faust.crashed exception", "faust.crashed slot=a exception"
    )
    assert "lane.stopped" in done.stderr
    assert "kanarienvogel" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
