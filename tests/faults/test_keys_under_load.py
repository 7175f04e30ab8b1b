"""Keys change while records flow: the lanes never stop, no record is lost, and every token stays readable."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest

from streamguard.crypto.kms.local import LocalKms, format_line, generate
from streamguard.crypto.wire import parse_token
from streamguard.store.store import open_store
from streamguard.streams.keywatch import CONFIRMED_EVERY
from tests.audit import messages
from tests.ordeal import Feed, Site
from tests.service import Running, until

COUNT = 50_000
_PER_SECOND = 1_500  # records: less than the service could do, so that there is work to the end


@contextmanager
def steadily(feed: Feed) -> Iterator[None]:
    """Let a feed write at an even pace, and the rest at the end."""
    over = threading.Event()

    def pour() -> None:
        allowed = 0
        while not over.wait(0.1):
            allowed += _PER_SECOND // 10
            feed.allow(allowed)

    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    feed.finish()


class Watch:
    """Looks at a service's health, over and over, and keeps what it saw of lanes that did not run."""

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
            status, body = self._service.get("/health/ready")
            lanes = [lane for slot in json.loads(body)["slots"] for lane in slot["lanes"]]
            self.seen += 1
            if status != 200 or len(lanes) != 2 or any(lane["state"] != "running" for lane in lanes):
                self.standing.append((status, lanes))


def logged(service: Running, event: str) -> int:
    """How many processes said so."""
    return service.said().count(f" {event} ")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_rotation_and_another_master_key_while_records_flow(kafka, tmp_path):
    site = Site(tmp_path / "service", kafka)
    site.create_topics()
    folder, config = site.folder, str(site.folder.config)
    master = folder.path / "streamguard.key"
    old, new = master.read_text(), format_line(generate()) + "\n"
    try:
        with folder.running("--processes", "2", "--slot", "keys") as service:
            feed = Feed(site, COUNT)
            with Watch(service) as watch, steadily(feed):
                until(lambda: site.committed() > 3_000, what="records flow")

                folder.streamguard("keys", "rotate", "--element", "email", "--yes", "-c", config)
                rotated_at = feed.written

                # The new master key first beside the old one, everywhere; then all data keys; then the old one goes.
                master.write_text(old + new)
                folder.streamguard("control", "reload", "-c", config)
                until(
                    lambda: logged(service, "reload.done") == 3, what=service.last_words
                )  # parent and children
                told = json.loads(folder.streamguard("keys", "rewrap", "--json", "-c", config).stdout)
                master.write_text(new)
                folder.streamguard("control", "reload", "-c", config)
                until(lambda: logged(service, "reload.done") == 6, what=service.last_words)
                until(
                    lambda: logged(service, "key.followed") == 2,
                    within=CONFIRMED_EVERY + 10,
                    what=lambda: f"both processes follow the rotation; {service.last_words()}",
                )
                followed_at = feed.written
                time.sleep(1)
                assert followed_at < COUNT, "the rest of the records was to be protected after all this"
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
    assert books.counts["source"] == COUNT == books.counts["clean"] + books.counts["violations"]
    # Both versions were used, the second one from some time after the rotation on.
    first, second = versions
    assert min(versions[second]) > rotated_at > 0
    assert max(versions[first]) < followed_at
    # Nothing is left under the old master key, and what was moved and what came later is under the new one.
    name = LocalKms.from_file(master).name
    assert told["failed"] == {}
    assert told["moved"] >= 10
    assert open_store(f"sqlite:///{folder.path}/streamguard.db").keys.masters().keys() == {name}


def email_keys(site: Site, kafka: str) -> dict[str, list[int]]:
    """The keys of the e-mails' tokens, in the order of versions, with the numbers of the records that bear them."""
    found: dict[str, list[int]] = {}
    for message in messages(kafka, f"{site.topic}.clean"):
        if message.value() is not None:
            token = json.loads(message.value())["customer"]["email"]
            number = site.load.number_at(message.timestamp()[1])
            found.setdefault(parse_token(token).key_id, []).append(number)
    return dict(sorted(found.items(), key=lambda item: min(item[1])))
