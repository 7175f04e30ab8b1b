"""Keys that cannot be had: the lane waits, stays in its group, and publishes nothing meanwhile."""

import threading
import time

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeysUnavailableError
from streamguard.store.store import open_store
from tests.lanes import assert_exactly_once, document, open_site, read
from tests.waiting import until


class Outage:
    """A KMS that can be taken away."""

    def __init__(self) -> None:
        self._kms: Kms = LocalKms([generate()])
        self.name = self._kms.name
        self.away = threading.Event()

    def wrap(self, secret: bytes) -> bytes:
        self.health()
        return self._kms.wrap(secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        self.health()
        return self._kms.unwrap(wrapped)

    def health(self) -> None:
        if self.away.is_set():
            raise KeysUnavailableError("The KMS does not answer.")


def test_a_lane_waits_for_its_keys_and_goes_on(kafka: str):
    kms = Outage()
    kms.away.set()
    with open_site(kafka, partitions=2, service={"session_timeout_ms": 6_000}) as site:
        guard = site.make_guard(Keyring(open_store("sqlite://"), kms), fields={"who": "encrypt"})
        site.send([document(n) for n in range(200)], partitions=2)
        with site.running(guard=guard) as lane:
            until(lambda: (lane.state, lane.reason) == ("paused", "keys_unavailable"))
            assert not lane.ready
            # Longer than the session timeout: a lane that did not poll would lose its partitions.
            time.sleep(7)
            assert lane.partitions == (0, 1)
            assert read(kafka, site.clean) == read(kafka, site.violations) == []
            assert site.committed(2) == [0, 0]
            kms.away.clear()
            assert_exactly_once(site, 200, partitions=2)
            until(lambda: lane.ready)


def test_keys_that_go_away_amid_a_transaction_undo_it(kafka: str):
    kms = Outage()
    with open_site(kafka, policy={"commit_interval_ms": 3_000}) as site:
        guard = site.make_guard(Keyring(open_store("sqlite://"), kms), fields={"who": "tokenize"})
        with site.running(guard=guard) as lane:
            site.send([document(0)])
            read(kafka, site.clean, at_least=1)
            kms.away.set()
            # The second slice needs a quarantine key, which was never minted; the first is sent already.
            site.send([document(n) for n in range(1, 200)] + [b"{"])
            until(lambda: lane.reason == "keys_unavailable")
            assert len(read(kafka, site.clean)) == 1
            kms.away.clear()
            assert_exactly_once(site, 201, partitions=1, bad=1)


def test_a_lane_that_waits_for_keys_stops_when_asked(kafka: str):
    kms = Outage()
    kms.away.set()
    with open_site(kafka) as site:
        guard = site.make_guard(Keyring(open_store("sqlite://"), kms), fields={"who": "encrypt"})
        site.send([document(0)])
        with site.running(guard=guard) as lane:
            until(lambda: lane.reason == "keys_unavailable")
        assert lane.state == "stopped"
        with site.running():
            assert_exactly_once(site, 1, partitions=1)
