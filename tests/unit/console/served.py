"""The API, served on a free port by the server that people run."""

import threading
from contextlib import contextmanager

import uvicorn

from streamguard.console.server import config


@contextmanager
def served(app, tls=None):
    """The port."""
    server = uvicorn.Server(config(app, "127.0.0.1", 0, tls))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()
