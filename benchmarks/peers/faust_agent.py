"""A plain Faust agent: one event in, one send out."""

from __future__ import annotations

import sys

import faust

from benchmarks.peers.options import Options, parse


def make_app(options: Options) -> faust.App:
    """The app that Faust's own documentation would have you write."""
    app = faust.App(
        options.group,
        broker=f"kafka://{options.bootstrap}",
        broker_commit_interval=options.commit_ms / 1000,
        value_serializer="raw",
        key_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        producer_acks=-1,
    )
    source = app.topic(options.source, key_type=bytes, value_type=bytes)
    sink = app.topic(options.sink, key_type=bytes, value_type=bytes)

    if options.guard:
        from benchmarks.peers.one_by_one import protector

        protect = protector(options.source)
    else:

        def protect(value: bytes) -> bytes | None:
            return value

    @app.agent(source)
    async def copy(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            value = protect(event.value)
            if value is not None:
                await sink.send(key=event.key, value=value)

    return app


if __name__ == "__main__":
    app = make_app(parse())
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    app.main()
