"""A broker that asks for TLS and a password: both clients, librdkafka's and Faust's, give it what it wants."""

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.integration.test_run import Site, listening
from tests.secure_broker import PASSWORD, SecureBroker
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def secure(kafka: str, tmp_path_factory) -> Iterator[SecureBroker]:
    """One for all tests of this module. `kafka` has seen to the jars."""
    with SecureBroker(tmp_path_factory.mktemp("secure")) as broker:
        admin = AdminClient({"bootstrap.servers": broker.plain})
        admin.create_topics([NewTopic("people", 1, 1)])["people"].result(30)
        yield broker


@pytest.fixture
def site(secure: SecureBroker, tmp_path) -> Site:
    return Site(tmp_path / "site", secure.plain, "people")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_records_and_commands_pass_with_the_right_password(secure, site, mechanism):
    site.folder.configure(kafka=secure.client(mechanism))
    with site.folder.running() as running:
        site.send({"n": 1, "who": "Ana"})
        assert site.read("clean", 1)[0]["n"] == 1
        until(lambda: listening(running), what="the control agent is let in too")
        site.tell("reload")
        until(lambda: "reload.done" in running.said(), what="the command")
        assert running.stop() == 0
        assert PASSWORD not in running.said()
        assert "Traceback" not in running.said()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_named_as_such(secure, site, mechanism):
    site.folder.configure(kafka=secure.client(mechanism, "wrong battery"))
    with site.folder.running(wait=False) as running:
        assert running.ended(within=60) == 1
        said = running.said()
        assert f"The broker at {secure.secure} refuses the credentials" in said
        assert "'sasl.password'" in said
        assert "wrong battery" not in said
        assert "Traceback" not in said


def test_a_certificate_that_nobody_vouches_for_is_refused(secure, site):
    kafka = secure.client("PLAIN")
    del kafka["ssl.ca.location"]
    site.folder.configure(kafka=kafka)
    with site.folder.running(wait=False) as running:
        assert running.ended(within=60) == 1
        assert "No TLS connection" in running.said()
        assert "ssl.ca.location" in running.said()
        assert "Traceback" not in running.said()
