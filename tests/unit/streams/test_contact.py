"""Telling a client that lost its cluster from a cluster that is away."""

import pytest

from streamguard.streams.contact import LOST_AFTER, Contact


class World:
    """A clock, a client that is answered or not, and whether a new one would be."""

    def __init__(self):
        self.now = 1_000.0
        self.ours = self.others = True
        self.asked = self.asked_anew = 0
        self.contact = Contact(self.ask, self.ask_anew, lambda: self.now)

    def ask(self):
        self.asked += 1
        return self.ours

    def ask_anew(self):
        self.asked_anew += 1
        return self.others

    def passes(self, seconds):
        """Call every tenth of a second, as a lane does; the second at which the client is lost, if any."""
        for tenth in range(int(seconds * 10)):
            self.now += 0.1
            if self.contact.is_lost():
                return tenth / 10
        return None


@pytest.fixture
def world():
    return World()


def test_while_all_is_well_it_is_seldom_asked(world):
    assert world.passes(300) is None
    assert 9 <= world.asked <= 10
    assert world.asked_anew == 0
    assert not world.contact.broken


def test_a_lost_connection_is_news_once_and_asked_about_at_once(world):
    assert world.contact.broke()
    assert not world.contact.broke()
    assert world.contact.broken
    assert world.passes(0.1) is None
    assert world.asked == 1
    assert not world.contact.broken
    assert world.contact.broke()


def test_a_client_that_never_heard_of_it_notices_itself(world):
    world.ours = world.others = False
    world.passes(31)
    assert world.contact.broken


def test_a_cluster_that_is_away_for_an_hour_loses_nobody(world):
    world.ours = world.others = False
    world.contact.broke()
    assert world.passes(3_600) is None
    assert world.asked == pytest.approx(3_600, rel=0.1)
    assert world.asked_anew == pytest.approx(720, rel=0.1)
    world.others = True
    assert world.passes(LOST_AFTER - 1) is None  # ours is given as long as it may take to connect again
    world.ours = True
    world.passes(2)
    assert not world.contact.broken


def test_a_client_that_alone_is_not_answered_is_lost(world):
    world.ours = False
    world.contact.broke()
    lost = world.passes(60)
    assert LOST_AFTER <= lost < LOST_AFTER + 6
    assert LOST_AFTER <= world.passes(60) < LOST_AFTER + 6  # and so is the one in its place, not sooner


def test_others_must_be_answered_all_the_while(world):
    world.ours = False
    world.contact.broke()
    for _ in range(5):
        world.others = True
        assert world.passes(LOST_AFTER - 6) is None
        world.others = False
        assert world.passes(6) is None


def test_an_answer_in_between_begins_the_time_anew(world):
    world.ours = False
    world.contact.broke()
    assert world.passes(LOST_AFTER - 2) is None
    world.ours = True
    assert world.passes(2) is None
    world.ours = False
    world.contact.broke()
    assert world.passes(LOST_AFTER - 1) is None
