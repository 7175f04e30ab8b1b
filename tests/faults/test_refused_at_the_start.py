"""What stops the service before it starts: one paragraph with the remedy each, and nothing is lost by it."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.ordeal import Site
from tests.servers import free_ports

COUNT = 1_000


@contextmanager
def rewritten(path: Path, text: str) -> Iterator[None]:
    """A file with another text, for a while."""
    before = path.read_bytes()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def taken_away(path: Path) -> Iterator[None]:
    """A file that is not there, for a while."""
    path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        path.with_suffix(".away").rename(path)


@contextmanager
def listening() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@contextmanager
def no_broker(site: Site) -> Iterator[list[str]]:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with site.folder.configured(kafka={"bootstrap.servers": address}):
        yield [f"No Kafka broker answers at {address}", "Check 'bootstrap.servers'"]


@contextmanager
def another_protocol(site: Site) -> Iterator[list[str]]:
    """A broker that expects something else than TLS."""
    kafka = {**site.folder.settings["kafka"], "security.protocol": "SSL"}
    with site.folder.configured(kafka=kafka):
        yield [f"No Kafka broker answers at {site.bootstrap}", "'security.protocol' is the one of that port"]


@contextmanager
def port_taken(site: Site) -> Iterator[list[str]]:
    with listening() as port, site.folder.configured(web={"port": port}):
        yield [f"Port {port} on 127.0.0.1", "is taken by another process", "port 0 takes any free one"]


@contextmanager
def no_such_topic(site: Site) -> Iterator[list[str]]:
    policy = site.folder.path / "policies" / "orders.yaml"
    with rewritten(policy, policy.read_text().replace(site.topic, "nobody-made-this-topic")):
        yield [
            "The topic 'nobody-made-this-topic' of policy 'orders' does not exist",
            "Create it, or mend 'topic' in the policy",
        ]


@contextmanager
def bad_policy(site: Site) -> Iterator[list[str]]:
    policy = site.folder.path / "policies" / "orders.yaml"
    text = policy.read_text().replace("encrypt\n", "encypt\n", 1).replace(", note]", "]")
    line = text[: text.index("encypt")].count("\n") + 1
    with rewritten(policy, text):
        yield [
            f"{policy}:{line}:",
            "unknown transform 'encypt'",
            "did you mean 'encrypt'?",
            "'note'",
            "2 errors",
        ]


@contextmanager
def bad_service_file(site: Site) -> Iterator[list[str]]:
    config = site.folder.config
    text = json.dumps({**site.folder.settings, "wep": {}, "group": "${NOBODY_SET_THIS}"}, indent=2)
    with rewritten(config, text):
        yield [
            f"{config}:", "'wep'", "did you mean 'web'?",
            "the environment variable NOBODY_SET_THIS is not set", "${NOBODY_SET_THIS:-default}",
        ]  # fmt: skip


@contextmanager
def property_of_ours(site: Site) -> Iterator[list[str]]:
    kafka = {**site.folder.settings["kafka"], "isolation.level": "read_uncommitted"}
    with site.folder.configured(kafka=kafka):
        yield [str(site.folder.config), "isolation.level", "1 error"]


@contextmanager
def no_service_file(site: Site) -> Iterator[list[str]]:
    with taken_away(site.folder.config):
        yield [str(site.folder.config), "does not exist"]


@contextmanager
def no_master_key(site: Site) -> Iterator[list[str]]:
    key = site.folder.path / "streamguard.key"
    with taken_away(key):
        yield [f"There is no master key file {key}", f"streamguard keys init --file {key}"]


@contextmanager
def master_key_for_all_to_read(site: Site) -> Iterator[list[str]]:
    key = site.folder.path / "streamguard.key"
    key.chmod(0o644)
    try:
        yield [f"Others may read the master key file {key}", f"chmod 600 {key}"]
    finally:
        key.chmod(0o600)


@contextmanager
def store_is_something_else(site: Site) -> Iterator[list[str]]:
    store = site.folder.path / "other.db"
    store.write_text("This is a letter to a friend, and no database at all." * 100)
    with site.folder.configured(store={"url": f"sqlite:///{store}"}):
        yield ["not a StreamGuard store", "Name another, or restore a backup"]


@contextmanager
def store_in_no_folder(site: Site) -> Iterator[list[str]]:
    store = site.folder.path / "nowhere" / "keys.db"
    with site.folder.configured(store={"url": f"sqlite:///{store}"}):
        yield [f"The store {store} cannot be created", "Create its directory"]


Fault = Callable[[Site], AbstractContextManager[list[str]]]
FAULTS: tuple[Fault, ...] = (
    no_broker, another_protocol, port_taken, no_such_topic, bad_policy, bad_service_file, property_of_ours,
    no_service_file, no_master_key, master_key_for_all_to_read, store_is_something_else, store_in_no_folder,
)  # fmt: skip


WITH_PROCESSES = (no_broker, port_taken, no_master_key)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_each_fault_is_told_with_its_remedy_and_nothing_is_lost(kafka, tmp_path, subtests):
    site = Site(tmp_path / "service", kafka)
    site.create_topics()
    try:
        site.write(COUNT)
        cases = [(fault, "1") for fault in FAULTS] + [(fault, "2") for fault in WITH_PROCESSES]
        for fault, processes in cases:
            with (
                subtests.test(fault.__name__, processes=processes),
                fault(site) as words,
                site.folder.running("--processes", processes, wait=False) as service,
            ):
                service.assert_refused(*words)
        with (
            subtests.test("told to machines"),
            site.folder.configured(log={"format": "json"}),
            port_taken(site) as words,
            site.folder.running(wait=False) as service,
        ):
            assert service.ended(within=90) == 1
            line = json.loads(service.said().splitlines()[-1])
            assert (line["event"], line["level"]) == ("start.refused", "error")
            assert all(word in line["message"] + line["remedy"] for word in words)

        assert site.committed() == 0
        with site.folder.running() as service:
            site.until_done(service)
            assert service.stop() == 0
        assert site.close_books().problems == []
    finally:
        site.close()
