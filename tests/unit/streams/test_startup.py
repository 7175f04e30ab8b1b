"""Slots: a process's name in the fleet."""

import pytest

from streamguard.errors import UsageError
from streamguard.policy.service import Service
from streamguard.streams.client import Slot
from streamguard.streams.startup import slot_of

KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def service(**settings) -> Service:
    return Service.model_validate({"kafka": {"bootstrap.servers": "a:1"}, **settings})


@pytest.mark.parametrize(
    ("given", "settings", "environment", "host", "expected"),
    [
        ("blue", {"slot": "red"}, KUBERNETES, "guard-1", Slot("blue", permanent=True)),
        (None, {"slot": "red"}, KUBERNETES, "guard-1", Slot("red", permanent=True)),
        (None, {}, KUBERNETES, "guard-1", Slot("guard-1", permanent=True)),
        (None, {}, KUBERNETES, "guard-6b7f-x2x9z", Slot("guard-6b7f-x2x9z")),
        (None, {}, {}, "laptop-1", Slot("laptop-1")),
        (None, {}, {}, "host.example.org", Slot("host-example-org")),
        (None, {}, {}, "h" * 70, Slot("h" * 64)),
    ],
)
def test_a_slot_is_given_or_the_pods_or_the_hosts(given, settings, environment, host, expected):
    assert slot_of(given, service(**settings), environment, host) == expected


@pytest.mark.parametrize("name", ["a b", "ä", "a.b", "s" * 65, "-" * 65])
def test_a_name_that_kafka_ids_cannot_hold_is_refused(name):
    with pytest.raises(UsageError):
        slot_of(name, service())
