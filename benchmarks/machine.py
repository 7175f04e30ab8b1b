"""Where the figures come from."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

_LIBRARIES = ("confluent-kafka", "cryptography", "faust-streaming", "jsonschema-rs", "orjson")


def describe() -> dict[str, object]:
    """The processor, the system and the versions of what does the work."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        **{name: version(name) for name in _LIBRARIES},
    }


def load() -> float:
    """The load average of the last minute: what others did on this machine is in it too."""
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    names = [line for line in listed.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
