"""A producer that is let go of."""

import weakref

from streamguard.streams.delivery import AtLeastOnce


def test_nothing_is_kept_of_records_that_never_left():
    """The library keeps a reference to us for each record until it is told of the record's end."""
    delivery = AtLeastOnce({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, 5.0, lambda: False)
    delivery.begin(None)
    delivery.send("people", [b"{}"] * 500, [None] * 500, [0] * 500, [0] * 500, [[]] * 500)
    delivery.abort()
    kept = weakref.ref(delivery)
    del delivery
    assert kept() is None
