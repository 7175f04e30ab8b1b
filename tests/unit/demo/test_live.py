"""The demo's screen, drawn for terminals of several sizes."""

import io
import time

import orjson
import pytest
from rich.console import Console

from streamguard.demo.live import Screen, look_up, treatments
from streamguard.demo.sample import FAULTS, Orders, Sample
from streamguard.demo.service import find_policy
from streamguard.demo.witness import Output, Witness
from streamguard.policy.paths import parse_path


def drawn(screen, width=120, height=34):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(screen.draw(height), height=height)
    return console.file.getvalue()


def playing(bad: Sample | None = None, code="schema.type", path="items[*].qty"):
    witness = Witness()
    screen = Screen(find_policy(), witness)
    screen.address, screen.pid = "127.0.0.1:4242", 7
    samples = [next(Orders(faults=0)), *([bad] if bad else [])]
    for offset, sample in enumerate(samples):
        witness.send((0, offset), sample)
    clean = orjson.loads(samples[0].value)
    clean["customer"]["name"] = "sg1.e.PROTECTED"
    witness.take(Output((0, 0), orjson.dumps(clean), time.time()), clean=True)
    if bad:
        body = {"code": code, "path": path, "message": "OUR OWN WORDS", "observed_at": "2026"}
        witness.take(Output((0, 1), orjson.dumps(body), time.time()), clean=False)
    witness.settle()
    return screen


def test_until_the_first_record_it_shows_the_policy_and_the_steps():
    screen = Screen(find_policy(), Witness())
    screen.steps += ["a broker", "the service"]
    shown = drawn(screen)
    for text in ("customer.name:       encrypt", "a broker", "the service", "personal data"):
        assert text in shown


def test_a_record_is_shown_before_and_after():
    screen = playing()
    order = orjson.loads(next(Orders(faults=0)).value)
    (row,) = [line for line in drawn(screen).splitlines() if "customer.name" in line]
    assert order["customer"]["name"] in row
    assert "encrypt" in row
    assert "sg1.e.PROTECTED" in row


@pytest.mark.parametrize("name", FAULTS)
def test_a_rejected_record_is_shown_with_its_reason(name):
    sample = next(sample for sample in Orders(faults=1) if sample.fault == name)
    shown = drawn(playing(sample, FAULTS[name].code, "note"))
    for text in (name, FAULTS[name].code, "OUR OWN WORDS", "127.0.0.1:4242"):
        assert text in shown


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 34), (200, 60), (40, 12), (80, 10)])
def test_it_fits_the_terminal(width, height):
    bad = next(Orders(faults=1))
    lines = drawn(playing(bad), width, height).splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert any("customer.id" in line for line in lines) or height < 20


def test_a_record_stays_long_enough_to_be_read():
    screen = playing(next(Orders(faults=1)))
    first = drawn(screen)
    screen._witness.send((0, 9), next(Orders(seed=2, faults=0)))
    screen._witness.take(Output((0, 9), b'{"customer": {"name": "another"}}', time.time()), clean=True)
    screen._witness.settle()
    assert "another" not in first + drawn(screen)


def test_all_protected_fields_are_shown_and_some_kept_ones():
    policy = find_policy().policy
    shown = {str(treatment.path) for treatment in treatments(policy)}
    assert shown == policy.fields.keys() | {"payment.amount", "note"}


@pytest.mark.parametrize(
    ("document", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": None}, "a.b", None),
        ({}, "a.b", None),
        ({"a": "text"}, "a.b", None),
        ({"a": [{}, {"b": 1}, {"b": 2}]}, "a[*].b", 1),
        ({"a": {"x": 1}}, "a[*].b", None),
        ([], "a", None),
    ],
)
def test_look_up(document, path, found):
    assert look_up(document, parse_path(path).segments) == found
