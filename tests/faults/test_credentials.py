"""A broker that asks who is there: wrong passwords and missing rights are told, and mending them is enough."""

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.ordeal import Site
from tests.servers import Broker, free_ports

COUNT = 1_000
PASSWORD = "correct-horse-battery"
WRONG = "wrong-horse-battery"

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def guarded(broker: Broker) -> str:
    """Give a running broker a second listener, for users with passwords and rights; returns its address."""
    client, controller = (broker.folder / "ports").read_text().split()
    (port,) = free_ports(1)
    users = "".join(f' user_{name}="{PASSWORD}"' for name in ("guard", "stranger"))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    listeners = f"PLAINTEXT://127.0.0.1:{client},USERS://127.0.0.1:{port}"
    broker.stop()
    (broker.folder / "extra.properties").write_text(f"""\
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config={module} required{users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
""")
    broker.start()
    return f"127.0.0.1:{port}"


def as_user(address: str, name: str, password: str = PASSWORD) -> dict[str, str]:
    return {
        "bootstrap.servers": address,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": name,
        "sasl.password": password,
    }


def allow(broker: Broker, name: str) -> None:
    """Everything that docs/operations.md says the service's user needs, on topics and groups of every name."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    rights = [
        (ResourceType.TOPIC, AclOperation.ALL),
        (ResourceType.GROUP, AclOperation.ALL),
        (ResourceType.TRANSACTIONAL_ID, AclOperation.ALL),
    ]
    bindings = [
        AclBinding(
            kind, "*", ResourcePatternType.LITERAL, f"User:{name}", "*", operation, AclPermissionType.ALLOW
        )
        for kind, operation in rights
    ]
    for created in admin.create_acls(bindings).values():
        created.result(timeout=60)


def test_wrong_passwords_and_missing_rights_are_told_and_nothing_is_lost(second_kafka, tmp_path, subtests):
    address = guarded(second_kafka)
    site = Site(tmp_path / "service", second_kafka.bootstrap)
    folder = site.folder
    site.create_topics()
    try:
        site.write(COUNT)
        allow(second_kafka, "guard")
        with (
            subtests.test("wrong password"),
            folder.configured(kafka=as_user(address, "guard", WRONG)),
            folder.running(wait=False) as service,
        ):
            service.assert_refused(
                f"error: The broker at {address} refuses the credentials.", "Check 'sasl.mechanism'"
            )
            assert WRONG not in service.said()
        with (
            subtests.test("no rights"),
            folder.configured(kafka=as_user(address, "stranger")),
            folder.running(wait=False) as service,
        ):
            service.assert_refused("does not exist", "the service's user may describe it")
            assert PASSWORD not in service.said()
        assert site.committed() == 0

        with (
            folder.configured(kafka=as_user(address, "guard"), log={"level": "debug"}),
            folder.running("--processes", "2") as service,
        ):
            site.until_done(service)
            assert service.stop() == 0
            assert PASSWORD not in service.said()
        assert site.close_books().problems == []
    finally:
        site.close()
