"""Values a second where a figure per record says little: FF1 by one and by columns, the vault, and reveal.

FF1 is CPU time of the process. The vault and reveal are time on the clock, on both stores: they wait for the store's
disk, the vault once per slice of new values, and reveal once per request, whose audit entry comes first.
"""

from __future__ import annotations

import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from benchmarks.series import columns
from streamguard.access.audit import Trail
from streamguard.access.opening import Ask
from streamguard.access.principal import Credential
from streamguard.access.reveal import Desk, Request
from streamguard.crypto.aead import GcmSealer
from streamguard.crypto.ff1 import FF1
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.guard.guard import SLICE
from streamguard.store.store import open_store
from streamguard.transforms.base import Field
from streamguard.transforms.vault import Vault, VaultOptions

_POSTGRES: Final = Path(__file__).resolve().parent.parent / "scripts" / "postgres"
_LARGE: Final = 1_000


class _RejectedError(SystemExit):
    """A value that must be taken was not: what is measured would be something else."""


def measure(*, rounds: int, values: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Values a second: `ff1` by size of column, `vault` and `reveal` by store."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder:
        ff1 = [_ff1(values) for _ in range(rounds)]
        stores = [f"sqlite:///{folder}/{number}.db" for number in range(rounds)]
        vault = [_vault(store, "SQLite", values // 4) for store in stores]
        reveal = [_reveal(f"{store}.reveal", "SQLite", values // 4) for store in stores]
        master = generate()  # one trail on the server, and its key under one master key
        with _postgres() as url:
            if url is None:
                say("no PostgreSQL here: the vault and reveal are measured on SQLite only")
            else:
                vault = [known | _vault(url, "PostgreSQL", values // 4) for known in vault]
                reveal = [known | _reveal(url, "PostgreSQL", values // 4, master) for known in reveal]
    return {"ff1": columns(ff1), "vault": columns(vault), "reveal": columns(reveal)}


def _ff1(count: int) -> dict[str, float]:
    cipher = FF1(bytes(range(32)), "0123456789")
    values = [f"{number * 7_919:016}" for number in range(count)]

    def by_columns(size: int) -> None:
        for start in range(0, count, size):
            cipher.encrypt_many(values[start : start + size], b"")

    def by_one() -> None:
        for value in values:
            cipher.encrypt(value, b"")

    by_columns(SLICE)  # warm
    return {
        f"FF1, 16 digits, columns of {_LARGE:,}": _rate(lambda: by_columns(_LARGE), count, process_time),
        f"FF1, 16 digits, columns of {SLICE}": _rate(lambda: by_columns(SLICE), count, process_time),
        "FF1, 16 digits, one by one": _rate(by_one, count, process_time),
    }


def _vault(url: str, name: str, count: int) -> dict[str, float]:
    with closing(open_store(url)) as store:
        element = f"bench-{uuid.uuid4().hex}"
        field = Field("bench", "bench", "card", element)
        vault = Vault(VaultOptions(), field, Keyring(store, LocalKms([generate()])))
        values = [f"4111 {number:012}" for number in range(count)]
        vault.apply(["warm"], _refuse)

        def tokenize() -> None:
            for start in range(0, count, SLICE):
                vault.apply(values[start : start + SLICE], _refuse)

        return {
            f"vault on {name}, new values": _rate(tokenize, count, perf_counter),
            f"vault on {name}, known values": _rate(tokenize, count, perf_counter),
        }


def _reveal(url: str, name: str, count: int, master: bytes | None = None) -> dict[str, float]:
    with closing(open_store(url)) as store:
        keyring = Keyring(store, LocalKms([master or generate()]))
        tokens = GcmSealer(keyring.fresh("bench", "email", count)).seal(
            [f"{n}@example.com" for n in range(count)]
        )
        desk = Desk(keyring, Trail(keyring))
        me = desk.enter(Credential())

        def reveal(size: int, most: int) -> None:
            for start in range(0, most, size):
                answers = desk.reveal(me, Request([Ask(token) for token in tokens[start : start + size]]))
                if any(answer.error for answer in answers):
                    raise _RejectedError("a value was not revealed: this would not measure what it says")

        reveal(1, 1)  # the trail has its key
        few = max(1, count // 100)
        return {
            f"reveal on {name}, {_LARGE:,} in a request": _rate(
                lambda: reveal(_LARGE, count), count, perf_counter
            ),
            f"reveal on {name}, one in a request": _rate(lambda: reveal(1, few), few, perf_counter),
        }


def _rate(work: Callable[[], None], count: int, clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return count / (clock() - started)


def _refuse(_index: int, code: str) -> None:
    raise _RejectedError(f"the vault rejected a value ({code}): this would not measure what it says")


@contextmanager
def _postgres() -> Iterator[str | None]:
    """The address of a server of the bench's own; None where PostgreSQL is not installed."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    done = subprocess.run([_POSTGRES, "start", "--name", name], capture_output=True, text=True, check=False)
    try:
        yield done.stdout.splitlines()[-1] if done.returncode == 0 else None
    finally:
        subprocess.run([_POSTGRES, "stop", "--delete", "--name", name], capture_output=True, check=False)
