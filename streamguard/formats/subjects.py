"""Subjects: under which name a registry keeps the schemas of a topic."""

from __future__ import annotations

from typing import Literal

from streamguard.errors import ConfigError

Strategy = Literal["topic", "record", "topic_record"]
"""As in a policy. Confluent calls them TopicName-, RecordName- and TopicRecordNameStrategy."""


def subject_name(strategy: Strategy, topic: str, record: str = "", *, is_key: bool = False) -> str:
    """The subject of a schema. `record` is what the schema calls its records.

    That is an Avro record's or a Protobuf message's full name, or a JSON Schema's title. Raises `ConfigError` where the
    strategy needs the name and there is none.
    """
    if strategy == "topic":
        return f"{topic}-key" if is_key else f"{topic}-value"
    if not record:
        raise ConfigError(
            f"The schema of the topic {topic} names no record, and 'subjects: {strategy}' is made of that name.",
            "Write 'subjects: topic', or name it: in JSON Schema, by its title.",
        )
    return record if strategy == "record" else f"{topic}-{record}"
