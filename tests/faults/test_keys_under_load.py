"""Keys change while records flow: the lanes never stop, no record is lost, and every token stays readable.

The master key is first in a file and then in AWS's key service (moto's server, a process of its own), which is stopped
for half a minute while a key is needed.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from streamguard.crypto.wire import parse_token
from streamguard.store.store import open_store
from streamguard.streams.keywatch import CONFIRMED_EVERY
from tests.audit import messages
from tests.key_services import REGION, Moto
from tests.load import policy_text
from tests.ordeal import Feed, Site
from tests.service import Running
from tests.waiting import until

_OUTAGE = 30.0  # seconds


def in_aws(moto: Moto) -> dict[str, Any]:
    """``keys:`` with a new master key in the key service."""
    return {"provider": "aws", "key": moto.new_key(), "region": REGION, "endpoint_url": moto.address}


@contextmanager
def steadily(feed: Feed, per_second: int) -> Iterator[None]:
    """Let a feed write at an even pace, slower than the service could go, and the rest at the end."""
    over = threading.Event()

    def pour() -> None:
        allowed = 0
        while not over.wait(0.1):
            allowed += per_second // 10
            feed.allow(allowed)

    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    feed.finish()


def lanes(service: Running) -> list[tuple[str, str]]:
    """State and reason of every lane."""
    slots = json.loads(service.get("/health/ready")[1])["slots"]
    return [(lane["state"], lane["reason"]) for slot in slots for lane in slot["lanes"]]


class Watch:
    """Looks at a service's lanes, over and over, and keeps what it saw of those that did not run."""

    def __init__(self, service: Running) -> None:
        self.seen = 0
        self.standing: list[object] = []
        self._service = service
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            found = lanes(self._service)
            self.seen += 1
            if found != [("running", "")] * 2:
                self.standing.append(found)


def until_logged(service: Running, event: str, times: int, within: float = 60.0) -> None:
    """Wait until so many processes have said so, the parent included."""
    until(
        lambda: service.said().count(f" {event} ") == times,
        within=within,
        what=lambda: f"{event}, {times} times; {service.last_words()}",
    )


@pytest.mark.long
@pytest.mark.timeout(240)
def test_rotation_and_another_master_key_while_records_flow(kafka: str, moto: Moto, tmp_path: Path):
    count = 30_000
    site = Site(tmp_path / "service", kafka)
    site.create_topics()
    folder, config = site.folder, str(site.folder.config)
    try:
        with folder.running("--processes", "2", "--slot", "keys") as service:
            feed = Feed(site, count)
            with Watch(service) as watch, steadily(feed, 1_000):
                until(lambda: site.committed() > 2_000, what="records flow")

                folder.streamguard("keys", "rotate", "--element", "email", "--yes", "-c", config)
                rotated_at = feed.written

                # Both master keys everywhere; then all data keys to the new one; then the old one goes.
                keys = in_aws(moto)
                folder.configure(keys={**keys, "earlier": [{"file": "streamguard.key"}]})
                folder.streamguard("control", "reload", "-c", config)
                until_logged(service, "reload.done", 3)
                told = json.loads(folder.streamguard("keys", "rewrap", "--json", "-c", config).stdout)
                folder.configure(keys=keys)
                (folder.path / "streamguard.key").unlink()
                folder.streamguard("control", "reload", "-c", config)
                until_logged(service, "reload.done", 6)

                until_logged(service, "key.followed", 2, within=CONFIRMED_EVERY + 10)
                followed_at = feed.written
                assert followed_at < count, "the rest of the records was to be protected after all this"
            site.until_done(service)
            metrics = service.get("/metrics")[1].decode()
            assert service.stop() == 0, service.last_words()
        books = site.close_books()
        versions = email_keys(site, kafka)
    finally:
        site.close()

    assert watch.seen > 20
    assert watch.standing == []
    assert "streamguard_aborts_total{" not in metrics
    assert books.problems == []
    assert books.counts["source"] == count == books.counts["clean"] + books.counts["violations"]
    # Both versions were used, the second one from some time after the rotation on.
    first, second = versions
    assert min(versions[second]) > rotated_at > 0
    assert max(versions[first]) < followed_at
    assert told["failed"] == {}
    assert told["moved"] >= 10
    (master,) = open_store(f"sqlite:///{folder.path}/streamguard.db").keys.masters()
    assert master == told["master"]
    assert master.startswith("aws:")


def email_keys(site: Site, kafka: str) -> dict[str, list[int]]:
    """The keys of the e-mails' tokens, in the order of versions, with the numbers of the records that bear them."""
    found: dict[str, list[int]] = {}
    for message in messages(kafka, f"{site.topic}.clean"):
        if message.value() is not None:
            token = json.loads(message.value())["customer"]["email"]
            number = site.load.number_at(message.timestamp()[1])
            found.setdefault(parse_token(token).key_id, []).append(number)
    return dict(sorted(found.items(), key=lambda item: min(item[1])))


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_key_service_is_stopped_while_records_flow(kafka: str, moto: Moto, tmp_path: Path):
    """It is missed within five seconds; lanes go on with the keys they have, and wait when they need another one."""
    count = 20_000
    site = Site(tmp_path / "service", kafka, keys={"file": "streamguard.key"})
    site.create_topics()
    policy = policy_text(site.topic) + "version: v1\n"
    orders = site.folder.path / "policies" / "orders.yaml"
    orders.write_text(policy)
    site.folder.configure(keys=in_aws(moto))
    try:
        with site.folder.running("--processes", "2", "--slot", "keys") as service:
            feed = Feed(site, count)
            with steadily(feed, 400):
                until(lambda: service.said().count(".photo") == 2, what="both processes have every key")
                stopped = time.monotonic()
                moto.suspend()
                until(lambda: service.get("/health/ready")[0] == 503, within=20, what="it is missed")
                assert lanes(service) == [("running", "")] * 2
                committed = site.committed()
                until(lambda: site.committed() > committed + 200, what="records flow under the keys at hand")

                # Another key is needed from the next record on.
                orders.write_text(
                    re.sub("(customer.name: *)encrypt", r"\1{encrypt: {}, element: name}", policy)
                )
                site.folder.streamguard("control", "reload", "-c", str(site.folder.config))
                until(lambda: lanes(service) == [("paused", "keys_unavailable")] * 2, what=service.last_words)
                committed = site.committed()
                time.sleep(max(0.0, _OUTAGE - (time.monotonic() - stopped)))
                assert site.committed() == committed
                assert site.end() > committed + 1_000
                assert lanes(service) == [("paused", "keys_unavailable")] * 2
                moto.resume()
                service.until_ready()
            site.until_done(service)
            assert service.stop() == 0, service.last_words()
        books = site.close_books()
        elements = {
            row.element for row in open_store(f"sqlite:///{site.folder.path}/streamguard.db").keys.all()
        }
    finally:
        moto.resume()
        site.close()

    assert books.problems == []
    assert books.counts["source"] == count == books.counts["clean"] + books.counts["violations"]
    assert "name" in elements
