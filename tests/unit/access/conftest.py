"""What tests of access share: stores on both databases, an issuer, and a desk."""

from collections.abc import Iterator

import pytest

from tests.issuer import Issuer, running_issuer
from tests.unit.store.conftest import opened, store, url

__all__ = ["opened", "store", "url"]


@pytest.fixture(scope="module")
def issuers() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def issuer(issuers: Issuer) -> Issuer:
    """An issuer as it is at first."""
    issuers.published, issuers.more, issuers.away, issuers.asked = ["rsa-1", "ec-1"], [], False, {}
    return issuers
