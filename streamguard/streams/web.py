"""Health and metrics over HTTP: ``/health/live``, ``/health/ready``, ``/metrics``.

An aiohttp server of our own, not Faust's. Measured with Faust 0.15: its server starts only after its producer has found
a broker and ends before the lanes have, and a taken port shows as an OSError once Kafka clients run; with
``--processes`` the parent, which serves for all, is no Faust app at all. Here the port is bound before anything else
starts, and answers until the last lane has stopped.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from typing import Any, Protocol

import orjson
from aiohttp import web

from streamguard import logs
from streamguard.errors import ConfigError

log = logs.get(__name__)


class Source(Protocol):
    """What there is to tell."""

    def live(self) -> dict[str, Any]:
        """``{"live": bool, …}``: whether the process still works; if not, restarting it is the remedy."""

    def ready(self) -> dict[str, Any]:
        """``{"ready": bool, "slots": […]}``: every lane with its state, and why it is not running if it is not."""

    def metrics(self) -> tuple[bytes, str]:
        """All metrics, with the content type of their format."""


def listen(host: str, port: int) -> socket.socket:
    """Bind the port (0: any free one). Raises ConfigError when that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigError(
            f"The address '{host}' for health and metrics is none of this machine's.", _WHERE
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise ConfigError(_refusal(error.errno, host, port), _WHERE) from None
    return listener


_WHERE = "Set 'web: {host: …, port: …}' in the service file; port 0 takes any free one."


def _refusal(code: int | None, host: str, port: int) -> str:
    if code == errno.EADDRINUSE:
        return f"Port {port} on {host}, for health and metrics, is taken by another process."
    if code in (errno.EACCES, errno.EPERM):
        return f"This user may not listen on port {port}, for health and metrics."
    return f"The address {host}:{port}, for health and metrics, cannot be used on this machine."


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, source: Source) -> AsyncIterator[None]:
    """Answer requests on `listener` while the context lasts."""

    async def live(_: web.Request) -> web.Response:
        answer = source.live()
        return _health(answer, well=answer["live"])

    async def ready(_: web.Request) -> web.Response:
        answer = source.ready()
        return _health(answer, well=answer["ready"])

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = source.metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/health/live", live)
    application.router.add_get("/health/ready", ready)
    application.router.add_get("/metrics", metrics)
    application.on_response_prepare.append(_anonymous)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    host, port = listener.getsockname()[:2]
    log.info("web.listening", address=host, port=port)
    try:
        yield
    finally:
        await runner.cleanup()
        listener.close()


def _health(answer: dict[str, Any], *, well: bool) -> web.Response:
    return web.json_response(
        body=orjson.dumps(answer), status=200 if well else 503, headers={"Cache-Control": "no-store"}
    )


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    """No versions of Python and aiohttp for whoever scans the network."""
    response.headers["Server"] = "streamguard"
