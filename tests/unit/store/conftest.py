"""The same tests on both databases: whoever asks for `url` or `store` runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator

import pytest

from streamguard.store.store import Store, open_store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path) -> str:
    """The URL of a store that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """`open_store`, for stores that are closed after the test."""
    stores: list[Store] = []

    def opening(url: str, *, create: bool = True) -> Store:
        stores.append(open_store(url, create=create))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, opened: Callable[..., Store]) -> Store:
    """A new store."""
    return opened(url)
