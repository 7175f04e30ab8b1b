"""Exactly once, whatever is killed: the promise that everything else stands on."""

import os

import pytest

from tests.ordeal import TRIALS, Ordeal, Site

COUNT = int(os.environ.get("STREAMGUARD_PROOF_RECORDS", "200000"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_record_comes_out_once_whatever_is_killed(kafka, tmp_path):
    site = Site(tmp_path / "service", kafka)
    site.create_topics()
    try:
        ordeal = Ordeal(site, COUNT)
        books = ordeal.run()
    finally:
        site.close()

    assert books.problems == []
    assert books.counts["source"] == COUNT == books.counts["clean"] + books.counts["violations"]
    assert ordeal.kills >= 5
    assert ordeal.moves >= 3
    # Each trial struck while there was work to do.
    assert len(ordeal.trials) == len(TRIALS)
    assert all(trial.waiting > 0 for trial in ordeal.trials)
