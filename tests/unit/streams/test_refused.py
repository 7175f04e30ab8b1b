"""Finding the record that a broker refused."""

from streamguard.guard.batch import Batch
from streamguard.streams.refused import Search


def slice_of(offsets):
    batch = Batch("people", [b"{}" for _ in offsets], offsets=list(offsets))
    batch.out_values = list(batch.values)
    return batch


def find(guilty, records):
    """How many tries it takes to find one guilty record among many, and which one is found."""
    search, position, tries = Search(), 0, 0
    while not search.found:
        taken = range(position, min(position + search.most, records))
        tries += 1
        if guilty in taken:
            assert search.narrow(len(taken), (0, taken[-1]), "invalid")
        else:
            position = taken[-1] + 1
            search.passed({0: position})
    return tries, list(search.found)


def test_each_place_is_found_within_some_twenty_tries():
    for guilty in (0, 1, 127, 128, 5_000, 9_998, 9_999):
        tries, found = find(guilty, 10_000)
        assert found == [(0, guilty)]
        assert tries <= 30


def test_who_is_found_gets_a_finding_and_nobody_else():
    search = Search()
    assert search.narrow(1, (0, 102), "too_large")
    batch = slice_of(range(100, 105))
    search.reject_found(batch)
    assert {row: found[0].code for row, found in batch.findings.items()} == {2: "produce.too_large"}
    assert batch.live == [0, 1, 3, 4]


def test_a_violation_that_is_refused_goes_without_the_original_and_then_there_is_no_help():
    search, place = Search(), (0, 7)
    assert search.narrow(1, place, "invalid")
    assert not search.refused_violation(place)
    assert search.narrow(1, place, "invalid")
    assert search.refused_violation(place)
    assert not search.narrow(1, place, "invalid")


def test_what_is_committed_is_forgotten_and_the_steps_grow_again():
    search = Search()
    search.narrow(64, (0, 63), "invalid")
    assert search.most == 8
    search.narrow(1, (0, 7), "invalid")
    search.narrow(1, (1, 9), "invalid")
    search.passed({0: 8, 1: 9})
    assert (list(search.found), search.most) == ([(1, 9)], 16)
    for _ in range(40):
        search.passed({})
    assert search.most == Search().most
