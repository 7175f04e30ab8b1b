"""Two worker processes meet the same values at once, column after column: every value gets one token."""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms
from streamguard.guard.guard import SLICE
from streamguard.store.store import open_store
from streamguard.transforms.base import Field, Origin
from streamguard.transforms.vault import Vault, VaultOptions

MASTER = bytes(range(32))
FIELD = Field("orders", "orders", "card", "card")


@contextmanager
def vault_at(url: str) -> Iterator[Vault]:
    with closing(open_store(url)) as store:
        yield Vault(VaultOptions(), FIELD, Keyring(store, LocalKms([MASTER])))


def work(url: str, count: int, size: int, together: Barrier, outcome: Path) -> None:
    """One worker: all values, in the order in which the other has them too."""
    values = [f"4111 {number:08}" for number in range(count)]
    rejected: list[int] = []
    tokens: list[str] = []
    with vault_at(url) as vault:
        together.wait(60)
        for start in range(0, count, size):
            tokens += vault.apply(values[start : start + size], lambda index, _code: rejected.append(index))
    assert not rejected
    outcome.write_text(json.dumps(dict(zip(values, tokens, strict=True))))


def both(url: str, count: int, size: int, folder: Path) -> dict[str, str]:
    """What two workers made of the same values; they must agree."""
    open_store(url).close()
    spawning = multiprocessing.get_context("spawn")
    together = spawning.Barrier(2)
    outcomes = [folder / "one.json", folder / "other.json"]
    workers = [spawning.Process(target=work, args=(url, count, size, together, file)) for file in outcomes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(150)
    assert [worker.exitcode for worker in workers] == [0, 0]
    one, other = (json.loads(file.read_text()) for file in outcomes)
    assert one == other
    return dict(one)


def prove(url: str, tokens: dict[str, str], count: int) -> None:
    assert len(tokens) == len(set(tokens.values())) == count
    sample = dict(list(tokens.items())[:: max(1, count // 500)])
    with vault_at(url) as vault:
        assert vault.reverse(list(sample.values()), [Origin()] * len(sample)) == list(sample)


def test_50_000_values_on_postgresql(postgres_url, tmp_path):
    prove(postgres_url, both(postgres_url, 50_000, 1_000, tmp_path), 50_000)


def test_1_000_values_on_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    prove(url, both(url, 1_000, SLICE, tmp_path), 1_000)
