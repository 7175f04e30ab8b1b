"""The service file: variables, properties that are refused, secrets that stay secret."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamguard.errors import ConfigError
from streamguard.policy.problems import ProblemsError
from streamguard.policy.properties import RESERVED, TRANSLATABLE
from streamguard.policy.service import Access, RevealLimit, load_service

START = "'start' must be earliest, latest, or a time such as 2026-01-31T12:00:00Z"
BROKER = "kafka:\n  bootstrap.servers: localhost:9092\n"
SASL = (
    "  security.protocol: SASL_SSL\n  sasl.mechanism: PLAIN\n  sasl.username: me\n  sasl.password: hunter2\n"
)


def test_the_defaults(load, tmp_path: Path) -> None:
    service = load(BROKER)
    assert service.kafka == {"bootstrap.servers": "localhost:9092"}
    assert service.start == "earliest"
    assert service.group == "streamguard"
    assert service.policies == (str(tmp_path / "policies"),)
    assert service.keys.file == tmp_path / "streamguard.key"
    assert service.store.url.get_secret_value() == f"sqlite:///{tmp_path}/streamguard.db"
    assert (service.transaction_timeout_ms, service.session_timeout_ms, service.stop_timeout_ms) == (
        15_000,
        10_000,
        10_000,
    )
    assert (service.web.host, service.web.port) == ("127.0.0.1", 8088)
    assert (service.topics.create, service.topics.replication, service.topics.min_insync_replicas) == (
        True,
        None,
        None,
    )
    assert (service.log.format, service.log.level) == ("text", "info")


def test_properties_go_straight_through_as_text(load) -> None:
    kafka = load(BROKER + "  linger.ms: 5\n  socket.keepalive.enable: true\n  compression.type: zstd\n").kafka
    assert kafka == {
        "bootstrap.servers": "localhost:9092",
        "linger.ms": "5",
        "socket.keepalive.enable": "true",
        "compression.type": "zstd",
    }


def test_the_example_in_the_repository_is_well_formed() -> None:
    service = load_service("streamguard.yaml", {})
    assert service.kafka["bootstrap.servers"] == "localhost:9092"
    assert load_service("streamguard.yaml", {"KAFKA_BOOTSTRAP": "b:1"}).kafka["bootstrap.servers"] == "b:1"
    assert [file.name for file in service.policy_files()] == ["orders.yaml", "patients.yaml", "payments.yaml"]


def test_the_sample_of_access_in_it_can_be_taken_as_it_is(load) -> None:
    _, _, sample = Path("streamguard.yaml").read_text(encoding="utf-8").partition("# access:\n")
    access = load(BROKER + "access:\n" + sample.replace("\n# ", "\n").removeprefix("# ")).access
    assert access.model_fields_set == set(Access.model_fields)
    assert access.limit == RevealLimit()
    (issuer,) = access.issuers
    for name in ("algorithms", "roles", "leeway"):
        assert getattr(issuer, name) == type(issuer).model_fields[name].default


# -- variables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "environment", "read"),
    [
        ("${A}", {"A": "x:1"}, "x:1"),
        ("${A:-y:2}", {"A": "x:1"}, "x:1"),
        ("${A:-y:2}", {}, "y:2"),
        ("${A:-y:2}", {"A": ""}, "y:2"),
        ("${A}", {"A": ""}, ""),
        ("${A:-}", {}, ""),
        ("${A}:${B:-9092},b", {"A": "host"}, "host:9092,b"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A and $", {"A": "x"}, "$A and $"),
        ("${A}", {"A": "${B}", "B": "no second round"}, "${B}"),
    ],
)
def test_variables(load, written: str, environment: dict[str, str], read: str) -> None:
    assert (
        load(f"kafka:\n  bootstrap.servers: '{written}'\n", **environment).kafka["bootstrap.servers"] == read
    )


def test_variables_in_numbers_and_paths(load, tmp_path: Path) -> None:
    text = (
        BROKER
        + "web: {port: '${PORT}'}\ntopics: {create: '${CREATE:-false}'}\nkeys: {file: '${DIR:-keys}/k'}\n"
    )
    service = load(text, PORT="9999")
    assert service.web.port == 9999
    assert service.topics.create is False
    assert service.keys.file == tmp_path / "keys" / "k"


def test_a_variable_that_is_not_set(problems_of) -> None:
    (problem,) = problems_of("kafka:\n  bootstrap.servers: ${KAFKA_BOOTSTRAP}\n")
    assert (problem.code, problem.line, problem.column) == ("undefined_variable", 2, 22)
    assert problem.message == "the environment variable KAFKA_BOOTSTRAP is not set"
    assert problem.suggestion == "set it, or write ${KAFKA_BOOTSTRAP:-default}"


@pytest.mark.parametrize("written", ["${", "${1A}", "${A:default}", "x${}", "${A"])
def test_a_variable_that_is_none(problems_of, written: str) -> None:
    (problem,) = problems_of(f"kafka:\n  bootstrap.servers: '{written}'\n", A="x")
    assert problem.code == "wrong_value"
    assert "${NAME:-default}" in problem.suggestion


# -- Kafka's properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*RESERVED, "group.id", "group.instance.id", "group.protocol"])
def test_properties_that_carry_our_guarantees(problems_of, name: str) -> None:
    (problem,) = problems_of(f"{BROKER}  {name}: x\n")
    assert (problem.code, problem.line, problem.column) == ("refused_property", 3, 3)
    assert problem.message == f"'{name}' carries a guarantee of StreamGuard's"
    assert problem.suggestion


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("sasl.kerberos.service.name", "these can: "),
        ("sasl.oauthbearer.config", "these can: "),
        ("enable.ssl.certificate.verification", "these can: "),
        ("ssl.ca.pem", "these can: "),
        ("ssl.keystore.location", "did you mean 'ssl.key.location'?"),
        ("sasl.pasword", "did you mean 'sasl.password'?"),
    ],
)
def test_security_settings_that_only_one_client_can_take(problems_of, name: str, suggestion: str) -> None:
    (problem,) = problems_of(f"{BROKER}  {name}: x\n")
    assert problem.code == "refused_property"
    assert problem.suggestion.startswith(suggestion)
    assert problem.source == "", "it may hold a secret"


def test_security_settings_that_both_can_take(load) -> None:
    text = (
        BROKER
        + SASL
        + "  ssl.ca.location: ca.pem\n  ssl.certificate.location: c.pem\n  ssl.key.location: k.pem\n"
    )
    kafka = load(text + "  ssl.key.password: s3cret\n").kafka
    assert set(kafka) == {"bootstrap.servers", *TRANSLATABLE} - {"sasl.mechanisms"}


@pytest.mark.parametrize(
    ("lines", "messages"),
    [
        (
            "  security.protocol: SASL_SL\n",
            ["'security.protocol' must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"],
        ),
        ("  security.protocol: ssl\n", []),
        ("  sasl.username: x\n", ["'sasl.username' does nothing while 'security.protocol' is PLAINTEXT"]),
        ("  ssl.ca.location: x\n", ["'ssl.ca.location' does nothing while 'security.protocol' is PLAINTEXT"]),
        (
            "  security.protocol: sasl_plaintext\n",
            ["'sasl.mechanism' is missing", "'sasl.username' is missing", "'sasl.password' is missing"],
        ),
        (SASL.replace("PLAIN", "GSSAPI"), ["'sasl.mechanism' must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"]),
        (SASL.replace("PLAIN", "plain"), ["'sasl.mechanism' must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"]),
        (SASL + "  sasl.mechanisms: PLAIN\n", ["'sasl.mechanisms' says the same as 'sasl.mechanism'"]),
    ],
)
def test_security_settings_make_a_whole(load, problems_of, lines: str, messages: list[str]) -> None:
    if messages:
        assert [problem.message for problem in problems_of(BROKER + lines)] == messages
    else:
        assert load(BROKER + lines).kafka


@pytest.mark.parametrize(
    ("text", "line", "code", "message", "suggestion"),
    [
        ("", 1, "missing", "a service file is a mapping", "begin with 'kafka: {bootstrap.servers: …}'"),
        ("start: latest\n", 1, "missing", "'kafka' is missing", ""),
        (
            "kafka: {bootstrap.server: a}\n",
            1,
            "missing",
            "'bootstrap.server' is not a property",
            "did you mean 'bootstrap.servers'?",
        ),
        (
            "kafka: {linger.ms: 5}\n",
            1,
            "missing",
            "'bootstrap.servers' is missing",
            "write bootstrap.servers: host:9092",
        ),
        ("kafka: {bootstrap.servers: [a, b]}\n", 1, "wrong_type", "'bootstrap.servers' must be text", ""),
        ("kafka: [a]\n", 1, "wrong_type", "'kafka' must be a mapping", ""),
        (BROKER + "kakfa: {}\n", 3, "unknown_key", "unknown key 'kakfa'", "did you mean 'kafka'?"),
        (
            BROKER + "start: 2026-01-31T12:00:00\n",
            3,
            "wrong_value",
            "'start' must name its offset from UTC",
            "write 2026-01-31T12:00:00Z if it is UTC",
        ),
        (BROKER + "start: begining\n", 3, "wrong_value", START, ""),
        (BROKER + "start: lastest\n", 3, "wrong_value", START, "did you mean 'latest'?"),
        (
            BROKER + "keys: {file: a, env: B}\n",
            3,
            "wrong_value",
            "'keys' must say where the master key is",
            "either 'file: streamguard.key' or 'env: NAME'",
        ),
        (
            BROKER + "keys: {provider: valt, file: a}\n",
            3,
            "wrong_value",
            "'provider' must be local, vault, aws or pkcs11",
            "did you mean 'vault'?",
        ),
        (BROKER + "web: {port: http}\n", 3, "wrong_value", "'port' must be a whole number", ""),
        (BROKER + "web: {port: 70000}\n", 3, "wrong_value", "'port' must be at most 65535", ""),
        (
            BROKER + "log: {format: jsn}\n",
            3,
            "wrong_value",
            "'format' must be text or json",
            "did you mean 'json'?",
        ),
        (
            BROKER + "topics: {replication: 1, min_insync_replicas: 2}\n",
            3,
            "wrong_value",
            "'min_insync_replicas' must be at most the replication, 1",
            "",
        ),
        (
            BROKER + "slot: a b\n",
            3,
            "wrong_value",
            "'slot' must be letters, digits, '_' and '-', at most 64",
            "",
        ),
        (BROKER + "policies: []\n", 3, "wrong_value", "'policies' must list at least 1", ""),
        (
            BROKER + "transaction_timeout_ms: 10\n",
            3,
            "wrong_value",
            "'transaction_timeout_ms' must be at least 1000",
            "",
        ),
    ],
)
def test_mistakes(problems_of, text: str, line: int, code: str, message: str, suggestion: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.line, problem.code, problem.message, problem.suggestion) == (
        line,
        code,
        message,
        suggestion,
    )


def test_every_problem_is_reported(problems_of) -> None:
    text = "kafka:\n  enable.auto.commit: true\n  bootstrap.servers: ${NOWHERE}\nlogg: x\nweb: {port: x}\n"
    assert [(problem.line, problem.code) for problem in problems_of(text)] == [
        (2, "refused_property"),
        (3, "undefined_variable"),
        (4, "unknown_key"),
        (5, "wrong_value"),
    ]


def test_a_time_is_read_as_utc(load) -> None:
    assert load(BROKER + "start: 2026-01-31T13:00:00+01:00\n").start == datetime(2026, 1, 31, 12, tzinfo=UTC)


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_are_never_printed_or_dumped(load) -> None:
    text = BROKER + SASL + "store: {url: 'postgresql://sg:hunter2@db/sg'}\n"
    service = load(text)
    assert service.kafka["sasl.password"] == "hunter2"
    assert service.store.url.get_secret_value() == "postgresql://sg:hunter2@db/sg"
    for printed in (
        repr(service),
        str(service),
        str(service.kafka),
        repr(service.kafka),
        service.model_dump_json(),
    ):
        assert "hunter2" not in printed
    assert json.loads(service.model_dump_json())["kafka"]["bootstrap.servers"] == "localhost:9092"


@pytest.mark.parametrize(
    "text",
    [
        BROKER + "  sasl.password: @hunter2\n",
        BROKER + "  sasl.password: hunter2\n  sasl.password: hunter2\n",
        BROKER + "  sasl.pasword: hunter2\n",
        BROKER + "  sasl.password: [hunter2]\n",
        BROKER + "  unknown.hunter: hunter2\n  enable.auto.commit: true\n",
        "kafka: {sasl.password: hunter2, group.id: x, bootstrap.servers: a}\n",
        "kakfa: {bootstrap.servers: a, sasl.password: hunter2}\n",
        BROKER + "store: {url: 'postgresql://sg:hunter2@db/sg', pool: 5}\n",
        BROKER + "keys: {env: sgmk1.abc.hunter2}\n",
        BROKER + "store: hunter2\n",
        BROKER + "passwords: {a: hunter2, a: 3}\n",
        BROKER + "web: {port: '${SECRET}'}\n",
    ],
)
def test_no_problem_ever_shows_a_secret(problems_of, text: str) -> None:
    problems = problems_of(text, SECRET="hunter2")
    shown = json.dumps([{**problem.as_json(), "source": problem.source} for problem in problems])
    assert "hunter2" not in shown + str(ProblemsError(problems))


# -- policies --------------------------------------------------------------------------------------------------------


def test_policies_by_file_folder_and_pattern(load, tmp_path: Path) -> None:
    for name in ("one/a.yaml", "one/a.test.yaml", "one/b.yaml", "two/c.yaml", "two/deep/d.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(policies: str) -> list[str]:
        service = load(f"{BROKER}policies: {policies}\n")
        return [str(file.relative_to(tmp_path)) for file in service.policy_files()]

    assert found("[one]") == ["one/a.yaml", "one/b.yaml"]
    assert found("two/c.yaml") == ["two/c.yaml"]
    assert found("['one/*.yaml', one/b.yaml]") == ["one/a.yaml", "one/b.yaml"]
    assert found("['**/*.yaml']") == [
        "one/a.yaml",
        "one/b.yaml",
        "streamguard.yaml",
        "two/c.yaml",
        "two/deep/d.yaml",
    ]
    with pytest.raises(ConfigError, match="no policy file is there"):
        found("[one, three]")


def test_a_service_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The service file .* does not exist"):
        load_service(tmp_path / "none.yaml")
