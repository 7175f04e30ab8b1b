"""`streamguard run` with its store in PostgreSQL: hosts agree, and an outage stops nothing but what needs a new key."""

import shutil

from tests.integration.test_run import lane, make_site  # noqa: F401 - a fixture
from tests.servers import Postgres
from tests.waiting import until


def test_two_hosts_give_the_same_tokens(make_site, postgres_url):  # noqa: F811
    """Each has a folder and topics of its own; what they share is the store and the master key."""
    one, other = (make_site(store={"url": postgres_url}) for _ in range(2))
    for site in (one, other):
        site.rewrite(who="{tokenize: {}, element: name}")
    shutil.copy(one.folder.path / "streamguard.key", other.folder.path / "streamguard.key")
    with one.folder.running("--slot", "one"), other.folder.running("--slot", "other"):
        people = [{"n": number, "who": f"person {number}"} for number in range(50)]
        for site in (one, other):
            site.send(*people)
        tokens = [[document["who"] for document in site.read("clean", 50)] for site in (one, other)]
    assert tokens[0] == tokens[1]
    assert len(set(tokens[0])) == 50


def test_an_outage_of_the_store(make_site, second_postgres: Postgres):  # noqa: F811
    site = make_site(store={"url": second_postgres.address})
    with site.folder.running() as running:
        second_postgres.stop()
        site.send(*({"n": number, "who": "Ana"} for number in range(20)))  # which needs its first key
        until(lambda: lane(running)["reason"] == "keys_unavailable", what="the lane waits for keys")
        assert running.get("/health/ready")[0] == 503
        assert running.get("/health/live")[0] == 200

        second_postgres.start()
        clean = site.read("clean", 20)
        assert [document["n"] for document in clean] == list(range(20))
        assert {document["who"] for document in clean} != {"Ana"}
        until(lambda: running.is_ready, what="it is ready again")

        second_postgres.kill()
        site.send(*({"n": number, "who": "Ana"} for number in range(20, 40)))  # with a key that is at hand
        assert [document["n"] for document in site.read("clean", 40)] == list(range(40))
        assert running.is_ready

        second = site.folder.start("--slot", "second")
        assert second.ended(60) == 1
        assert "The store does not answer." in second.said()
        assert "Traceback" not in second.said() + running.said()
        assert second_postgres.address.split("@")[0] not in second.said() + running.said()
        second_postgres.start()
        assert running.stop() == 0
