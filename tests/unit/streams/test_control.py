"""Commands of the control topic: what is understood, and what is not."""

import json

import pytest

from streamguard.streams.agents.control import Command, parse, topic_of


@pytest.mark.parametrize(
    "command", [Command("reload"), Command("pause", "orders"), Command("resume", "a_b-2")]
)
def test_what_is_sent_is_understood(command):
    assert parse(command.encode()) == command


def test_what_people_write():
    assert parse(b'{"command": "reload"}') == Command("reload")
    assert parse(b'{"policy": "orders", "command": "pause"}') == Command("pause", "orders")


def test_compaction_keeps_the_last_word_on_each_policy():
    assert Command("pause", "orders").key == Command("resume", "orders").key
    assert Command("reload").key not in {Command("pause", name).key for name in ("reload", "orders")}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "size"),
        (b"x" * 10_001, "size"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"reload", "not_json"),
        (b'"reload"', "unknown_fields"),
        (b"[]", "unknown_fields"),
        (b'{"command": "reload", "ana@example.org": 1}', "unknown_fields"),
        (b"{}", "unknown_command"),
        (b'{"command": "stop"}', "unknown_command"),
        (b'{"command": ["reload"]}', "unknown_command"),
        (b'{"command": "reload", "policy": "orders"}', "unknown_command"),
        (b'{"command": "pause"}', "unknown_command"),
        (b'{"command": "pause", "policy": 1}', "unknown_command"),
        (b'{"command": "pause", "policy": "a b"}', "unknown_command"),
        (json.dumps({"command": "pause", "policy": "o" * 65}).encode(), "unknown_command"),
    ],
)
def test_what_is_not_understood_gives_a_code(value, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse(value)


def test_the_topic_belongs_to_the_group():
    assert topic_of("streamguard") == "streamguard.control"
