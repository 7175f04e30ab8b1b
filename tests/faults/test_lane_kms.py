"""The service of the master key stops while records stream: the lane waits for it, and nothing is lost or shown."""

import time
import uuid
from pathlib import Path

import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.setup import open_kms
from streamguard.policy.keys import VaultKeys
from streamguard.store.store import open_store
from tests.lanes import assert_exactly_once, document, open_site, read
from tests.servers import OpenBao
from tests.waiting import until

OUTAGE = 30.0  # seconds


@pytest.fixture
def keys(openbao: OpenBao) -> VaultKeys:
    mount = f"transit-{uuid.uuid4().hex[:8]}"
    openbao.ask("post", f"sys/mounts/{mount}", type="transit")
    openbao.ask("post", f"{mount}/keys/streamguard")
    return VaultKeys(
        provider="vault", address=openbao.address, mount=mount, key="streamguard", token=openbao.token
    )


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_lane_outlives_its_key_service(kafka: str, openbao: OpenBao, keys: VaultKeys, tmp_path: Path):
    keyring = Keyring(open_store(f"sqlite:///{tmp_path}/keys.db"), open_kms(keys))
    with open_site(kafka, partitions=2, service={"session_timeout_ms": 6_000}) as site:
        guard = site.make_guard(keyring, fields={"who": "encrypt"})
        with site.running(guard=guard) as lane:
            site.send([document(n) for n in range(200)], partitions=2)
            before = len(read(kafka, site.clean, at_least=200))
            assert before == 200
            openbao.stop()
            try:
                stopped = time.monotonic()
                # The bad record needs a quarantine key, which was never minted; the keys in use would do for the rest.
                site.send([document(n) for n in range(200, 399)] + [b"{"], partitions=2)
                until(lambda: not lane.ready, within=20)
                until(lambda: (lane.state, lane.reason) == ("paused", "keys_unavailable"))
                time.sleep(max(0.0, OUTAGE - (time.monotonic() - stopped)))
                assert not lane.ready
                assert lane.partitions == (0, 1)
                assert not read(kafka, site.violations)
                # What was before the bad record may be out, protected; nothing that comes after it is.
                assert all(b'"person-' not in message.value() for message in read(kafka, site.clean))
            finally:
                openbao.start()
            assert_exactly_once(site, 400, partitions=2, bad=1)
            until(lambda: lane.ready)
    assert all(row.master == f"vault:{keys.mount}/streamguard:v1" for row in keyring._store.keys.all())
