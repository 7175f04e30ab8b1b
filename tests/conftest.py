"""What all tests share: the real services they run against.

A test asks for a service by naming its fixture. Where a part is missing, the tests that need it are skipped and
listed by name at the end, with what to install; the parts named in ``STREAMGUARD_REQUIRE`` (such as
``kafka,postgres``) fail instead, so that no CI run passes by skipping.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import HealthCheck, settings

from tests.key_services import Moto, SoftHsm
from tests.servers import Broker, MissingPart, OpenBao, Postgres, Registry, Server, database_at, unique

# A slow machine is no failure of a property.
settings.register_profile("streamguard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streamguard")

# Each part that tests may ask for, with the fixtures that stand for it.
PARTS = {
    "kafka": {"kafka", "topic", "second_kafka", "start_broker"},
    "postgres": {"postgres", "postgres_url", "second_postgres"},
    "openbao": {"openbao"},
    "registry": {"registry_url", "second_registry"},
    "softhsm": {"softhsm"},
}
REQUIRED = set(filter(None, os.environ.get("STREAMGUARD_REQUIRE", "").split(",")))


def pytest_configure() -> None:
    # A shell ignores Ctrl-C for what it starts in the background, and so would every program that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if unknown := REQUIRED - PARTS.keys():
        raise pytest.UsageError(f"STREAMGUARD_REQUIRE names {sorted(unknown)}; the parts are {sorted(PARTS)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for part, fixtures in PARTS.items():
            if fixtures.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(part)
    items.sort(key=lambda item: item.get_closest_marker("long") is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that was skipped, under the reason that it gave."""
    by_reason: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        by_reason.setdefault(report.longrepr[2].removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, tests in by_reason.items():
        terminalreporter.section(f"{len(tests)} left out")
        terminalreporter.line(reason)
        for test in tests:
            terminalreporter.line(f"  {test}")


def left_out(part: str, reason: str) -> NoReturn:
    """Skip the running test because a part is missing, or fail it where that part is required."""
    if part in REQUIRED:
        pytest.fail(f"{part} is required here (STREAMGUARD_REQUIRE). {reason}", pytrace=False)
    pytest.skip(reason)


def started(server: Server) -> str:
    """Start a server for the running test, and return its address."""
    try:
        return server.start()
    except MissingPart as missing:
        reason = str(missing)
    left_out(server.kind, reason)


@pytest.fixture(scope="session")
def kafka() -> str:
    """The address of a real broker that all tests share: keep to topics and groups of your own.

    ``STREAMGUARD_TEST_KAFKA`` names one that runs already; otherwise scripts/kafka starts one, and it goes on
    running for the next time unless scripts/test, which cleans up after itself, asked for it.
    """
    return os.environ.get("STREAMGUARD_TEST_KAFKA") or started(Broker.shared())


@pytest.fixture
def topic(kafka: str) -> Iterator[Callable[..., str]]:
    """A function that creates a topic of this test's own, and returns its unique name.

    ``topic("orders", partitions=6, config={"cleanup.policy": "compact"})``. They are deleted after the test.
    """
    admin = AdminClient({"bootstrap.servers": kafka})
    created: list[str] = []

    def create(stem: str = "topic", *, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        name = unique(stem)
        admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result(timeout=60)
        created.append(name)
        return name

    yield create
    if created:
        admin.delete_topics(created)


@pytest.fixture
def start_broker() -> Iterator[Callable[[], Broker]]:
    """A function that starts one more broker, for tests that stop, kill or suspend brokers; deleted after the test."""
    brokers: list[Broker] = []

    def start() -> Broker:
        broker = Broker.fresh()
        brokers.append(broker)
        started(broker)
        return broker

    yield start
    for broker in brokers:
        broker.delete()


@pytest.fixture
def second_kafka(start_broker: Callable[[], Broker]) -> Broker:
    """One more broker, running, that this test may treat as it likes."""
    return start_broker()


@pytest.fixture(scope="session")
def postgres() -> str:
    """The URL of a real PostgreSQL server that all tests share, as a user who may do everything.

    ``STREAMGUARD_TEST_POSTGRES`` names one that runs already; otherwise scripts/postgres starts one, and it goes on
    running as the broker does.
    """
    return os.environ.get("STREAMGUARD_TEST_POSTGRES") or started(Postgres.shared())


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty database of this test's own; dropped after the test, whoever is still connected."""
    with database_at(postgres) as url:
        yield url


@pytest.fixture
def second_postgres() -> Iterator[Postgres]:
    """One more PostgreSQL server, running, that this test may treat as it likes; deleted after the test."""
    server = Postgres.fresh()
    started(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """A real OpenBao server, which speaks Vault's protocol: keep to keys and policies of your own, start what you stop.

    scripts/openbao starts it, and it is deleted at the end.
    """
    server = OpenBao.fresh()
    started(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def registry_url() -> str:
    """The address of a real Schema Registry that all tests share: keep to subjects of your own.

    ``STREAMGUARD_TEST_REGISTRY`` names one that runs already; otherwise scripts/registry starts one, and it goes on
    running as the broker does.
    """
    return os.environ.get("STREAMGUARD_TEST_REGISTRY") or started(Registry.shared())


@pytest.fixture
def second_registry() -> Iterator[Registry]:
    """One more Schema Registry, running, that this test may treat as it likes; deleted after the test."""
    server = Registry.fresh()
    started(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """A software HSM with a real PKCS#11 library, its token in a folder of this run: keep to keys of your own."""
    try:
        hsm = SoftHsm.make(tmp_path_factory.mktemp("softhsm"))
    except MissingPart as missing:
        left_out("softhsm", str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(hsm.settings))  # read when the library starts
        yield hsm


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """A server that speaks AWS KMS's protocol, in a process of its own: keep to keys of your own."""
    server = Moto.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield server
    server.end()
