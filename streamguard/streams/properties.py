"""What librdkafka itself says of the properties under ``kafka:``, asked before anything connects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka import KafkaException, Producer

_ELSEWHERE: Final = ("bootstrap.servers", "plugin.library.paths", "security.", "sasl.", "ssl.")
"""Not tried here: they would connect, or load what they name."""

_UNKNOWN: Final = "No such configuration property"


def refused_properties(kafka: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Properties that librdkafka does not know, or whose values it does not take: name and our sentence.

    Each is given to a producer of its own, which has no broker to talk to. librdkafka's words stay here: they hold
    values.
    """
    silent = logging.getLogger("streamguard.properties")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False
    for name, value in kafka.items():
        if name.startswith(_ELSEWHERE):
            continue
        try:
            Producer({name: value}, logger=silent)
        except KafkaException as error:
            unknown = str(error.args[0].str()).startswith(_UNKNOWN)
            yield (
                name,
                "is not a property of librdkafka" if unknown else "has a value that librdkafka refuses",
            )
        except (TypeError, AttributeError, ValueError):
            yield name, "cannot be set in a file"
