"""Members of a group on another host, as a real broker tells of them."""

import socket
import struct

from streamguard.streams.client import Slot
from streamguard.streams.strangers import find_strangers
from tests.lanes import Site, open_site
from tests.waiting import until

_JOIN_GROUP, _VERSION = 11, 2  # the oldest that Kafka 4 takes


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def join_from(address: str, site: Site) -> socket.socket:
    """A member of the site's group at another address of this host: as long as the connection lasts, and then some.

    librdkafka cannot be told where to call from, so this speaks the protocol itself.
    """
    host, port = site.kafka.split(":")
    member = socket.create_connection((host, int(port)), timeout=30, source_address=(address, 0))
    subscription = struct.pack(">hi", 0, 1) + text(site.source) + struct.pack(">i", 0)
    request = (
        struct.pack(">hhi", _JOIN_GROUP, _VERSION, 1)
        + text("a member elsewhere")
        + text(f"{site.group}.people")
        + struct.pack(">ii", 6_000, 6_000)  # session and rebalance timeout
        + text("")  # no member id yet
        + text("consumer")
        + struct.pack(">i", 1)
        + text("range")
        + struct.pack(">i", len(subscription))
        + subscription
    )
    member.sendall(struct.pack(">i", len(request)) + request)
    return member


def test_a_host_that_joins_is_found(kafka: str):
    with open_site(kafka, partitions=2, service={"session_timeout_ms": 6_000}) as site:
        service = site.make_service()
        assert find_strangers(service, Slot("0"), ["people"]) == set()
        with site.running("0"), site.running("1"):
            assert find_strangers(service, Slot("0"), ["people"]) == set(), "a sister on this host is none"
            with join_from("127.0.0.2", site):
                until(
                    lambda: find_strangers(service, Slot("0"), ["people"]) == {"/127.0.0.2"},
                    what="the other host is seen",
                )
