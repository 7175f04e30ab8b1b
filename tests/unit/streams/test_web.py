"""Health and metrics over HTTP."""

import asyncio
import socket

import aiohttp
import pytest

from streamguard.errors import ConfigError
from streamguard.streams.web import listen, serve


class Told:
    """A source that says what it is told to."""

    def __init__(self, *, ready=True):
        self.is_ready = ready

    def live(self):
        return {"live": True}

    def ready(self):
        return {"ready": self.is_ready, "slots": []}

    def metrics(self):
        return b"streamguard_up 1\n", "text/plain; version=1.0.0; charset=utf-8"


def ask(source, *paths):
    """Status, headers and text of each path."""

    async def asking():
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with serve(listener, source), aiohttp.ClientSession() as client:
            answers = []
            for path in paths:
                async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                    answers.append((answer.status, answer.headers, await answer.text()))
            return answers

    return asyncio.run(asking())


def test_health_and_metrics():
    live, ready, metrics, other = ask(Told(), "/health/live", "/health/ready", "/metrics", "/")
    assert (live[0], live[2]) == (200, '{"live":true}')
    assert (ready[0], ready[2]) == (200, '{"ready":true,"slots":[]}')
    assert ready[1]["Content-Type"].startswith("application/json")
    assert ready[1]["Cache-Control"] == "no-store"
    assert (metrics[0], metrics[2]) == (200, "streamguard_up 1\n")
    assert metrics[1]["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert other[0] == 404


def test_what_is_not_ready_answers_503():
    ((status, _, body),) = ask(Told(ready=False), "/health/ready")
    assert (status, body) == (503, '{"ready":false,"slots":[]}')


def test_no_versions_are_given_away():
    for _, headers, _ in ask(Told(), "/health/live", "/nothing"):
        assert headers["Server"] == "streamguard"


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"Port {port} on 127.0.0.1, for health and metrics, is taken"
        ) as raised:
            listen("127.0.0.1", port)
        assert "web:" in raised.value.remedy


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours(host):
    with pytest.raises(ConfigError, match="health and metrics"):
        listen(host, 0)


def test_ipv6():
    try:
        listener = listen("::1", 0)
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.family is socket.AF_INET6
