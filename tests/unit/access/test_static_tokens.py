"""Static tokens and certificates."""

from datetime import UTC, datetime

import pytest

from streamguard.access.authn import Authenticator
from streamguard.access.errors import AuthenticationError
from streamguard.access.principal import Credential, Principal
from streamguard.access.tokens import StaticToken, StaticTokens, generate, hash_of, load_tokens
from streamguard.errors import ConfigError
from streamguard.policy.problems import ProblemsError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_token_opens_for_whoever_has_it():
    mine, other = generate(), generate()
    assert mine != other
    assert len(mine) == 47
    tokens = StaticTokens([StaticToken(name="ui", hash=hash_of(mine), roles=("support",))])
    assert tokens.principal(mine) == Principal("token:ui", frozenset({"support"}), "token")
    for wrong, code in (
        (other, "token_unknown"),
        *(
            (text, "token_malformed")
            for text in (mine[:-1], hash_of(mine), "", mine + "\n", "sgt_" + "é" * 43)
        ),
    ):
        with pytest.raises(AuthenticationError) as refused:
            tokens.principal(wrong)
        assert refused.value.code == code


def test_a_token_ends():
    mine = generate()
    entry = StaticToken(name="ui", hash=hash_of(mine), roles=("support",), expires="2026-03-01T00:00:00Z")
    assert StaticTokens([entry], lambda: NOW.replace(year=2025)).principal(mine)
    with pytest.raises(AuthenticationError) as refused:
        StaticTokens([entry], lambda: NOW).principal(mine)
    assert refused.value.code == "token_expired"


def test_the_file(tmp_path):
    mine, file = generate(), tmp_path / "tokens.yaml"
    file.write_text(
        f'tokens:\n  - {{name: ui, hash: {hash_of(mine)}, roles: ["a", "b"], expires: "2099-01-01T00:00:00Z"}}\n'
    )
    found = Authenticator(tokens=load_tokens(file)).principal(Credential(bearer=mine))
    assert found.roles == {"a", "b"}


@pytest.mark.parametrize(
    "text",
    [
        "", "tokens: 7", "- a", "tokens: [{name: a}]", "tokens: [{name: a b, hash: x, roles: [a]}]",
        "tokens: [{name: a, hash: 'sha256:12', roles: [a]}]",
        f"tokens: [{{name: a, hash: 'sha256:{'0' * 64}', roles: []}}]",
        f"tokens: [{{name: a, hash: 'sha256:{'0' * 64}', roles: [a], expires: '2026-01-01T00:00'}}]",
        f"tokens: [{{name: a, hash: 'sha256:{'0' * 64}', roles: [a], expires: soon}}]",
        f"tokens: [{{name: a, hash: 'sha256:{'0' * 64}', roles: [a], admin: true}}]",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path, text):
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(ProblemsError):
        load_tokens(file)


def test_a_name_twice_and_no_file(tmp_path):
    file = tmp_path / "tokens.yaml"
    one = f"{{name: a, hash: 'sha256:{'0' * 64}', roles: [a]}}"
    file.write_text(f"tokens: [{one}, {one}]")
    with pytest.raises(ConfigError, match="twice"):
        load_tokens(file)
    with pytest.raises(ConfigError):
        load_tokens(tmp_path / "none.yaml")


def test_a_certificate_stands_for_the_roles_of_its_subject():
    authenticator = Authenticator(certificates={"CN=ui,O=Example": ("support",)})
    found = authenticator.principal(Credential(certificate="CN=ui,O=Example"))
    assert found == Principal("certificate:CN=ui,O=Example", frozenset({"support"}), "certificate")
    with pytest.raises(AuthenticationError) as refused:
        authenticator.principal(Credential(certificate="CN=other"))
    assert refused.value.code == "certificate_unknown"
    with pytest.raises(AuthenticationError):  # a token that fails is not made good by a certificate
        authenticator.principal(Credential(bearer="x", certificate="CN=ui,O=Example"))


def test_whoever_runs_this_process_is_who_the_system_says(monkeypatch):
    monkeypatch.setenv("LOGNAME", "someone")
    monkeypatch.setenv("USER", "someone")
    assert Principal.local().name.startswith("local:")
    assert Principal.local().name != "local:someone"
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert Principal.local().name == "local:4000000"
