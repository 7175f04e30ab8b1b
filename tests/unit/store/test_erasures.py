"""The list of erasures: what was asked is remembered, the later of two for one person, without a name."""

from datetime import timedelta

from streamguard.store.erasures import Erasure
from tests.unit.store.rows import NOW

ANA, BEN = b"\x01" * 32, b"\x02" * 32


def test_requests_are_remembered_and_completed(store):
    assert store.erasures.all() == []
    ana, ben = Erasure(ANA, NOW, "ada"), Erasure(BEN, NOW + timedelta(seconds=1), "eve")
    store.erasures.request([ben, ana])
    assert store.erasures.all() == [ana, ben]
    assert store.erasures.known([ANA, b"\x03" * 32]) == {ANA}
    done = NOW + timedelta(seconds=2)
    store.erasures.complete([ANA], done)
    assert [one.completed_at for one in store.erasures.all()] == [done, None]
    store.erasures.complete([ANA, BEN], done + timedelta(days=1))
    assert [one.completed_at for one in store.erasures.all()] == [done, done + timedelta(days=1)]


def test_of_two_requests_the_later_one_stays(store):
    later = Erasure(ANA, NOW + timedelta(days=1), "eve")
    store.erasures.request([Erasure(ANA, NOW, "ada", NOW), later])
    assert store.erasures.all() == [later]
    store.erasures.request([Erasure(ANA, NOW, "ada")])
    assert store.erasures.all() == [later]


def test_nothing_asks_for_nothing(store):
    store.erasures.request([])
    store.erasures.complete([], NOW)
    assert store.erasures.known([]) == set()


def test_the_list_may_be_long(store):
    many = [Erasure(number.to_bytes(32), NOW, "ada") for number in range(9000)]
    store.erasures.request(many)
    store.erasures.complete((one.reference for one in many), NOW)
    assert len(store.erasures.known(one.reference for one in many)) == 9000


def test_it_says_nothing_in_print():
    assert "01" not in repr(Erasure(ANA, NOW, "ada"))
