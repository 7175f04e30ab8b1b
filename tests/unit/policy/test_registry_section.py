"""``registry:`` of the service file: one way in, no secrets, and mistakes told at their place."""

from pathlib import Path

import pytest

from streamguard.policy.registry import OAuth, RegistrySettings

BROKER = "kafka: {bootstrap.servers: 'localhost:9092'}\n"
URL = "url: 'https://registry:8081'"
SECRETS = {"SECRET": "hunter2"}


@pytest.fixture
def read(load):
    return lambda registry: load(f"{BROKER}registry: {registry}\n", **SECRETS)


def test_without_the_section_there_is_none(load):
    assert load(BROKER).registry is None


def test_the_defaults(read):
    assert read(f"{{{URL}}}").registry == RegistrySettings(url="https://registry:8081")
    assert read(f"{{{URL}}}").registry.timeout_ms == 5_000


def test_a_password_and_certificates(read, tmp_path: Path):
    registry = read(
        f"{{{URL}, username: sg, password: '${{SECRET}}', ca: ca.pem, certificate: /c.pem, key: k.pem}}"
    ).registry
    assert registry.username == "sg"
    assert registry.password.get_secret_value() == "hunter2"
    assert (registry.ca, registry.certificate, registry.key) == (
        tmp_path / "ca.pem",
        Path("/c.pem"),
        tmp_path / "k.pem",
    )


def test_client_credentials(read):
    oauth = "{url: 'https://login/token', client_id: sg, client_secret: '${SECRET}', scope: schemas}"
    registry = read(f"{{{URL}, oauth: {oauth}, cluster: lsrc-1, identity_pool: pool-1}}").registry
    assert registry.oauth == OAuth(
        url="https://login/token", client_id="sg", client_secret="hunter2", scope="schemas"
    )
    assert (registry.cluster, registry.identity_pool) == ("lsrc-1", "pool-1")


@pytest.mark.parametrize("url", ["http://localhost:8081", "http://127.0.0.1/api/v7", "http://[::1]:8081"])
def test_this_machine_needs_no_tls(read, url: str):
    assert read(f"{{url: '{url}/'}}").registry.url == url


@pytest.mark.parametrize(
    "way",
    [
        "username: sg, password: '${SECRET}'",
        "token: '${SECRET}'",
        "oauth: {url: 'https://login', client_id: sg, client_secret: '${SECRET}'}",
    ],
)
def test_secrets_are_never_printed_or_dumped(read, way: str):
    service = read(f"{{{URL}, {way}}}")
    for printed in (repr(service), str(service), repr(service.registry), service.model_dump_json()):
        assert "hunter2" not in printed
        assert "registry:8081" in printed


@pytest.mark.parametrize(
    ("registry", "code", "message", "suggestion"),
    [
        ("{}", "missing", "'url' is missing", "write an address such as https://registry"),
        ("[]", "wrong_type", "'registry' must be a mapping", ""),
        ("{url: 'http://registry'}", "wrong_value", "'url' must be an address such as https://registry", "http:// is"),
        ("{url: 'https://a:hunter2@registry'}", "wrong_value", "'url' must be an address such as", ""),
        ("{url: 'http://a:hunter2@localhost'}", "wrong_value", "'url' must be an address such as", ""),
        ("{url: 'https://registry?token=hunter2'}", "wrong_value", "'url' must be an address such as", ""),
        ("{url: 'https://registry:port'}", "wrong_value", "'url' must be an address such as", ""),
        ("{url: 'https://[registry'}", "wrong_value", "'url' must be an address such as", ""),
        ("{url: 'https://one,http://two'}", "wrong_value", "'url' must be an address such as", ""),
        (f"{{{URL}, username: sg}}", "wrong_value", "'registry' must have username and password", "write both"),
        (f"{{{URL}, username: 'a:b', password: '${{SECRET}}'}}", "wrong_value", "'username' must be a name", ""),
        (f"{{{URL}, username: sg, password: hunter2}}", "secret_in_file", "'password' is a secret", "write password"),
        (f"{{{URL}, token: hunter2}}", "secret_in_file", "'token' is a secret", "write token: ${NAME}"),
        (f"{{{URL}, token: '${{SECRET:-hunter2}}'}}", "secret_in_file", "'token' is a secret", ""),
        (
            f"{{{URL}, oauth: {{url: 'https://l', client_id: a, client_secret: hunter2}}}}",
            "secret_in_file", "'client_secret' is a secret", "",
        ),
        (
            f"{{{URL}, oauth: {{url: 'http://login', client_id: a, client_secret: '${{SECRET}}'}}}}",
            "wrong_value", "'url' must be an address such as https://login", "",
        ),
        (
            f"{{{URL}, token: '${{SECRET}}', username: a, password: '${{SECRET}}'}}",
            "wrong_value", "'registry' has both username and token", "leave one out",
        ),
        (f"{{{URL}, cluster: lsrc-1}}", "wrong_value", "'registry' names a cluster, which goes with", "write 'token'"),
        (f"{{{URL}, key: k.pem}}", "wrong_value", "'registry' has a key without its certificate", "write 'certif"),
        (f"{{{URL}, timeout_ms: 5}}", "wrong_value", "'timeout_ms' must be at least 100", ""),
        (f"{{{URL}, timeout: 5}}", "unknown_key", "unknown key 'timeout'", "did you mean 'timeout_ms'?"),
        (f"{{{URL}, pasword: hunter2}}", "unknown_key", "unknown key 'pasword'", "did you mean 'password'?"),
    ],
)  # fmt: skip
def test_mistakes(problems_of, registry: str, code: str, message: str, suggestion: str):
    (problem,) = problems_of(f"{BROKER}registry: {registry}\n", **SECRETS)
    assert problem.code == code
    assert problem.message.startswith(message)
    assert problem.suggestion.startswith(suggestion)
    assert "hunter2" not in str(problem)


def test_the_sample_in_the_repository_can_be_taken_as_it_is(load):
    _, _, sample = Path("streamguard.yaml").read_text(encoding="utf-8").partition("\n# registry:\n")
    lines = sample.partition("\n\n")[0].replace("\n# ", "\n").removeprefix("# ")
    registry = load(f"{BROKER}registry:\n{lines}\n", REGISTRY_PASSWORD="hunter2").registry
    assert (registry.username, registry.password.get_secret_value()) == ("streamguard", "hunter2")
