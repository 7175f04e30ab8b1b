"""Members of the group on other hosts: told from our own, and warned of once."""

import asyncio

import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.policy.service import Service
from streamguard.store.store import open_store
from streamguard.streams import strangers
from streamguard.streams.client import Slot
from streamguard.streams.strangers import hosts_beside, warn_of_strangers

SERVICE = Service.model_validate({"kafka": {"bootstrap.servers": "127.0.0.1:1"}})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([], set()),
        ([("us", "/10.0.0.1")], set()),
        ([("us", "/10.0.0.1"), ("sister", "/10.0.0.1")], set()),
        ([("us", "/10.0.0.1"), ("other", "/10.0.0.2"), ("third", "/10.0.0.2")], {"/10.0.0.2"}),
        ([("other", "/10.0.0.2")], set()),  # we are not there yet, so nothing is known
        ([("us", "/10.0.0.1"), ("us", "/10.0.0.2")], set()),  # one client id for all: nothing can be told
    ],
)
def test_who_is_elsewhere(members, expected):
    assert hosts_beside("us", members) == expected


@pytest.fixture
def looks(monkeypatch, caplog):
    """What is found at each look; then nothing any more."""
    caplog.set_level("WARNING")  # whatever a test before this one has set up
    found = []
    monkeypatch.setattr(strangers, "LOOKED_FOR_EVERY", 0.001)
    monkeypatch.setattr(strangers, "find_strangers", lambda *_: found.pop(0) if found else set())
    return found


def watch(keyring, seconds):
    async def some_time():
        await asyncio.wait_for(warn_of_strangers(keyring, SERVICE, Slot("0"), ["orders"]), seconds)

    asyncio.run(some_time())


def test_it_warns_once_they_are_there(looks, caplog):
    keyring = Keyring.in_memory()
    keyring.pinned("orders.email")
    looks += [set(), set(), {"/10.0.0.2", "/10.0.0.3"}]
    watch(keyring, 20)
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.streamguard_fields["count"] == 2
    assert "orders.email" in line.streamguard_fields["message"]
    assert looks == []


def test_keys_of_one_process_need_not_be_shared(looks, caplog):
    keyring = Keyring.in_memory()
    keyring.fresh("orders", "orders.email", 1)
    looks += [{"/10.0.0.2"}]
    with pytest.raises(TimeoutError):
        watch(keyring, 0.2)
    assert caplog.records == []


@pytest.mark.postgres
def test_a_store_that_hosts_share_has_no_strangers(looks, caplog, postgres_url):
    store = open_store(postgres_url)
    keyring = Keyring(store, LocalKms([generate()]))
    keyring.pinned("orders.email")
    looks += [{"/10.0.0.2"}]
    watch(keyring, 20)
    store.close()
    assert looks == [{"/10.0.0.2"}]


def test_without_a_broker_nothing_is_known():
    assert strangers.find_strangers(SERVICE, Slot("0"), []) == set()
