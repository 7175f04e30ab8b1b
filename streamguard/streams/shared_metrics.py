"""Metrics of several processes, put together: each keeps its own in files that the parent reads.

prometheus-client's multiprocess mode, with one change: the files belong to a child's place, not to its process. One
that is started again goes on counting where its predecessor was killed, so no counter ever goes backwards, and no
files are left of processes that are gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import prometheus_client.values
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_PREFIX: Final = "streamguard-metrics-"


@contextlib.contextmanager
def metrics_folder() -> Iterator[str]:
    """A folder for the files while the context lasts, in memory where the system has a place for that."""
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a private folder in it
    home = memory if os.access(memory, os.W_OK) else tempfile.gettempdir()
    _sweep(Path(home))
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=home)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove folders whose process was killed."""
    for folder in home.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def share_metrics(folder: str, place: str) -> None:
    """Keep this process's metrics in `folder`. Call it before `streamguard.metrics` is imported."""
    if "streamguard.metrics" in sys.modules:
        raise RuntimeError("metrics were made before it was said where to keep them")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: place
    )


def end_of(place: str, folder: str) -> None:
    """The process in this place is gone: what it said of its present state (gauges) holds no more."""
    mark_process_dead(place, folder)  # type: ignore[no-untyped-call]


def put_together(folder: str) -> tuple[bytes, str]:
    """Everything in `folder`, in Prometheus' text format, and its content type."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
