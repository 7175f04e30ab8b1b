"""Calls to a key service end, are tried again, are remembered for a while, and are counted."""

import threading
import time
from collections.abc import Callable
from operator import attrgetter

import pytest

from streamguard import patience
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.crypto.kms.resilient import KEPT_FOR, KEPT_MOST, WITHIN, ResilientKms
from streamguard.errors import KeysUnavailableError
from tests.waiting import until

SECRET = bytes(32)
LASTS = attrgetter("lasts")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Weather(LocalKms):
    """A real provider behind a bad line: each request first meets the next of `troubles`."""

    def __init__(self, *troubles: Callable[[], object]) -> None:
        super().__init__([generate()])
        self.troubles = list(troubles)
        self.requests = 0

    def wrap(self, secret: bytes) -> bytes:
        self._trouble()
        return super().wrap(secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        self._trouble()
        return super().unwrap(wrapped)

    def health(self) -> None:
        self._trouble()

    def _trouble(self) -> None:
        self.requests += 1
        if self.troubles:
            self.troubles.pop(0)()


def away() -> None:
    raise KeysUnavailableError("Away.")


def refuse() -> None:
    raise KeysUnavailableError("No.", lasts=True)


def fine() -> None:
    pass


def resilient_around(
    kms: LocalKms, seen: list[tuple[str, str, str]] | None = None, **options
) -> ResilientKms:
    def observe(provider, operation, outcome, seconds):
        assert seconds >= 0
        if seen is not None:
            seen.append((provider, operation, outcome))

    return ResilientKms(kms, "local", observe, **options)


def test_a_request_is_tried_again():
    clock, seen = Clock(), []
    kms = resilient_around(Weather(away, away), seen, clock=clock, sleep=clock.sleep)
    assert kms.unwrap(kms.wrap(SECRET)) == SECRET
    assert len(clock.pauses) == 2
    assert seen == [("local", "wrap", "unavailable")] * 2 + [
        ("local", "wrap", "ok"),
        ("local", "unwrap", "ok"),
    ]


@pytest.mark.parametrize(
    "ask", [lambda kms: kms.wrap(SECRET), lambda kms: kms.unwrap(b"x"), lambda kms: kms.health()]
)
def test_and_given_up_in_time_with_pauses_that_grow_and_are_random(ask):
    clock = Clock()
    kms = resilient_around(Weather(*[away] * 1000), clock=clock, sleep=clock.sleep)
    with pytest.raises(KeysUnavailableError, match="Away"):
        ask(kms)
    assert clock.now - 1000 < WITHIN
    assert 3 <= len(set(clock.pauses)) == len(clock.pauses) < 100
    assert all(pause <= min(0.05 * 2**number, 1.0) for number, pause in enumerate(clock.pauses))


def test_a_refusal_is_not_tried_again():
    weather, seen = Weather(refuse), []
    with pytest.raises(KeysUnavailableError, check=LASTS):
        resilient_around(weather, seen).wrap(SECRET)
    assert (weather.requests, seen) == (1, [("local", "wrap", "refused")])


def test_what_it_said_before_it_fell_silent_is_what_the_error_says():
    clock, release = Clock(), threading.Event()

    def away_at_the_end():
        clock.now += WITHIN - 0.2
        away()

    kms = resilient_around(Weather(away_at_the_end, release.wait), clock=clock, sleep=clock.sleep)
    with pytest.raises(KeysUnavailableError, match="Away"):
        kms.wrap(SECRET)
    release.set()


def test_a_call_that_hangs_is_left_behind():
    release = threading.Event()
    weather = Weather(release.wait)
    kms = resilient_around(weather, within=2.0)
    started = time.monotonic()
    with pytest.raises(KeysUnavailableError, match="did not answer within 2 seconds"):
        kms.wrap(SECRET)
    assert time.monotonic() - started < 30
    assert kms.unwrap(kms.wrap(SECRET)) == SECRET  # nobody waits behind it
    release.set()


def test_not_every_call_may_leave_a_thread_behind(monkeypatch):
    monkeypatch.setattr(patience, "_MOST_UNANSWERED", 3)
    release = threading.Event()
    weather = Weather(*[release.wait] * 10)
    kms = resilient_around(weather, within=0.05)
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            kms.wrap(SECRET)
    until(lambda: weather.requests >= 3)
    assert weather.requests == 3
    release.set()
    weather.troubles.clear()
    until(lambda: serves(kms))


def serves(kms: ResilientKms) -> bool:
    try:
        kms.wrap(SECRET)
    except KeysUnavailableError:
        return False
    return True


def test_what_a_library_says_stays_inside(caplog):
    def fail() -> None:
        raise ValueError("hunter2")

    clock = Clock()
    with pytest.raises(KeysUnavailableError, match="library failed") as failure:
        resilient_around(Weather(*[fail] * 1000), clock=clock, sleep=clock.sleep).wrap(SECRET)
    assert "hunter2" not in str(failure.value) + caplog.text
    assert failure.value.__cause__ is None


def test_unwrapped_keys_are_kept_for_a_while():
    clock, weather, seen = Clock(), Weather(), []
    kms = resilient_around(weather, seen, clock=clock)
    wrapped = kms.wrap(SECRET)
    assert [kms.unwrap(wrapped) for _ in range(3)] == [SECRET] * 3
    assert weather.requests == 2
    assert seen[1:] == [("local", "unwrap", "ok"), *[("local", "unwrap", "cached")] * 2]
    weather.troubles = [refuse] * 10
    clock.now += KEPT_FOR - 1
    assert kms.unwrap(wrapped) == SECRET
    clock.now += 1
    with pytest.raises(KeysUnavailableError, check=LASTS):
        kms.unwrap(wrapped)


def test_kept_keys_are_dropped_and_not_only_passed_over():
    clock = Clock()
    kms = resilient_around(Weather(), clock=clock)
    first, second = kms.wrap(SECRET), kms.wrap(SECRET)
    kms.unwrap(first)
    clock.now += KEPT_FOR
    kms.unwrap(second)
    assert len(kms._kept) == 1


def test_only_so_many_are_kept():
    kms = resilient_around(Weather(), clock=Clock())
    wrapped = [kms.wrap(number.to_bytes(32)) for number in range(KEPT_MOST + 10)]
    assert [kms.unwrap(each) for each in wrapped] == [number.to_bytes(32) for number in range(len(wrapped))]
    assert len(kms._kept) == KEPT_MOST
