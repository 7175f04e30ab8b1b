"""Quix Streams: the guard called per record in a dataframe that reads one topic and writes another."""

from __future__ import annotations

from quixstreams import Application

from benchmarks.peers.options import parse


def main() -> None:
    options = parse()
    app = Application(
        options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        commit_interval=options.commit_ms / 1000,
        processing_guarantee="exactly-once" if options.exactly_once else "at-least-once",
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )
    source = app.topic(options.source, key_deserializer="bytes", value_deserializer="bytes")
    sink = app.topic(options.sink, key_serializer="bytes", value_serializer="bytes")
    stream = app.dataframe(source)
    if options.guard:
        from benchmarks.peers.one_by_one import protector

        stream = stream.apply(protector(options.source)).filter(lambda value: value is not None)
    stream.to_topic(sink)
    app.run()


if __name__ == "__main__":
    main()
