"""The desk: may he, is it within his limit, write it down, open, mask."""

from datetime import timedelta

import pytest

from streamguard.access.audit import Limit, Trail
from streamguard.access.authn import Authenticator
from streamguard.access.authz import Rules
from streamguard.access.errors import AuditUnavailableError, AuthenticationError, LimitExceeded
from streamguard.access.masked import WHOLE, Masks
from streamguard.access.opening import Ask
from streamguard.access.principal import Credential, Principal
from streamguard.access.reveal import Desk, Request
from streamguard.access.verify import Verifier
from streamguard.crypto import aead
from streamguard.crypto.aead import GcmSealer, SivSealer, seal_original
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError, KeysUnavailableError
from tests.unit.access.test_oidc import bad_tokens, oidc

RULES = """
@id("masked") permit (principal in Role::"support", action == Action::"reveal_masked", resource == Element::"email");
@id("all") permit (principal in Role::"fraud", action, resource) unless { resource == Element::"secret" };
"""
SUPPORT = Principal("token:ui", frozenset({"support"}), "token")
FRAUD = Principal("token:boss", frozenset({"fraud"}), "token")


@pytest.fixture
def keyring():
    return Keyring.in_memory()


@pytest.fixture
def desk(keyring):
    return Desk(keyring, Trail(keyring), authenticator=Authenticator(), rules=Rules({"f": RULES}))


def seal(keyring, element, *values):
    return GcmSealer(keyring.fresh("orders", element, len(values))).seal(values)


def asked(*tokens, **more):
    return Request([Ask(token) for token in tokens], **more)


def entries(keyring):
    return [
        (row.who, row.action, row.element, row.count, row.decision, row.reason)
        for row in keyring.store.audit.entries()
    ]


def test_everyone_gets_what_he_may_see_and_all_of_it_is_written_down(desk, keyring):
    email, name = seal(keyring, "email", "ana@example.com", 4711), seal(keyring, "name", "Ana")
    answers = desk.reveal(FRAUD, asked(*email, *name, purpose="case 7"))
    assert [(answer.element, answer.value, answer.masked) for answer in answers] == [
        ("email", "ana@example.com", False), ("email", 4711, False), ("name", "Ana", False),
    ]  # fmt: skip
    answers = desk.reveal(SUPPORT, asked(*email, *name))
    assert [(answer.value, answer.masked, answer.error) for answer in answers] == [
        ("***********.com", True, None), ("****", True, None), (None, False, "denied"),
    ]  # fmt: skip
    assert entries(keyring) == [
        ("token:boss", "reveal", "email", 2, "revealed", "all"),
        ("token:boss", "reveal", "name", 1, "revealed", "all"),
        ("token:ui", "reveal_masked", "email", 2, "masked", "masked"),
        ("token:ui", "reveal", "name", 1, "denied", "no policy permits it"),
    ]
    assert next(keyring.store.audit.entries()).purpose == "case 7"
    assert Verifier(keyring).verify().intact


def test_the_masked_form_may_be_enough(desk, keyring):
    (answer,) = desk.reveal(FRAUD, asked(*seal(keyring, "name", "Anastasia"), masked=True))
    assert (answer.value, answer.masked) == ("*****asia", True)


def test_what_is_no_value_is_refused_and_written_down(desk, keyring):
    (good,) = seal(keyring, "name", "Ana")
    original = seal_original(keyring.quarantine("orders", timedelta(1)), "id", b"{}")
    moved = good.replace(good.split(".")[2], keyring.pinned("phone").id)
    answers = desk.reveal(FRAUD, asked("no token", original, "sg1.e.K.QQ", good[:-2], moved, 12, good))
    assert [answer.error for answer in answers] == [
        "token", "token", "key_missing", "token", "token", "token", None,
    ]  # fmt: skip
    assert answers[-1].value == "Ana"
    assert all(answer.value is None for answer in answers[:-1])
    assert ("token:boss", "reveal", None, 4, "refused", "token") in entries(keyring)
    assert ("token:boss", "reveal", None, 1, "refused", "key_missing") in entries(keyring)


def test_nothing_is_opened_for_whoever_may_not(desk, keyring, monkeypatch):
    tokens = seal(keyring, "secret", "Ana")
    monkeypatch.setattr(aead, "_decrypt", lambda *_: pytest.fail("opened"))
    assert [answer.error for answer in desk.reveal(FRAUD, asked(*tokens))] == ["denied"]


def test_what_cannot_be_written_down_is_not_revealed(keyring, monkeypatch):
    """Whether the store refuses the entry, or the topic its head."""
    (token,) = seal(keyring, "email", "ana@example.com")

    class Away:
        def publish(self, head):
            raise AuditUnavailableError("away")

    monkeypatch.setattr(aead, "_decrypt", lambda *_: pytest.fail("opened"))
    with pytest.raises(AuditUnavailableError):
        Desk(keyring, Trail(keyring, Away())).reveal(FRAUD, asked(token))
    with keyring.store.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE audit_entries")
    with pytest.raises(KeysUnavailableError):
        Desk(keyring, Trail(keyring)).reveal(FRAUD, asked(token))


def test_the_limit_counts_values(keyring):
    desk = Desk(keyring, Trail(keyring), rules=Rules({"f": RULES}), limit=Limit(3, timedelta(hours=1)))
    tokens = seal(keyring, "name", "a", "b")
    assert len(desk.reveal(FRAUD, asked(*tokens))) == 2
    with pytest.raises(LimitExceeded):
        desk.reveal(FRAUD, asked(*tokens))
    assert desk.reveal(FRAUD, asked(tokens[0]))[0].value == "a"
    assert desk.reveal(SUPPORT, asked(*tokens * 9))[0].error == "denied"


def test_what_comes_out_is_not_opened_again(desk, keyring):
    inner = seal(keyring, "secret", "Ana")
    assert desk.reveal(FRAUD, asked(*seal(keyring, "name", inner[0])))[0].value == inner[0]


def test_old_keys_and_versions_are_read(desk, keyring):
    old = SivSealer(keyring.pinned("name")).seal(["Ana"])
    keyring.rotate("name")
    new = SivSealer(keyring.pinned("name")).seal(["Ana"])
    assert old != new
    assert [answer.value for answer in desk.reveal(FRAUD, asked(*old, *new))] == ["Ana", "Ana"]
    keyring.destroy([old[0].split(".")[2]])
    assert [answer.error for answer in desk.reveal(FRAUD, asked(*old, *new))] == ["key_missing", None]


def test_without_rules_whoever_has_the_keys_may_and_it_is_on_record(keyring):
    desk = Desk(keyring, Trail(keyring))
    me = desk.enter(Credential(bearer="ignored"))
    assert me == Principal.local()
    assert desk.reveal(me, asked(*seal(keyring, "name", "Ana")))[0].value == "Ana"
    assert entries(keyring) == [(me.name, "reveal", "name", 1, "revealed", "access is not configured")]


def test_every_attempt_with_a_bad_token_is_on_the_trail_and_reveals_nothing(issuer, keyring):
    desk = Desk(keyring, Trail(keyring), authenticator=Authenticator(oidc(issuer)), rules=Rules({"f": RULES}))
    assert desk.enter(Credential(bearer=issuer.token())).roles == {"support"}
    bad = bad_tokens(issuer)
    for token, _ in bad:
        with pytest.raises(AuthenticationError) as refused:
            desk.enter(Credential(bearer=token))
        assert (
            str(refused.value)
            == "The credentials are not accepted. Ask whoever runs this service for new ones."
        )
    assert entries(keyring) == [("nobody", "authenticate", None, 0, "denied", code) for _, code in bad]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4929 1234 5678 9012", "**** **** **** 9012"), ("12345678", "****5678"), ("1234567", "*******"), ("", ""),
        (12345678901, "*******8901"), (True, WHOLE), (1.5, WHOLE), (None, WHOLE), ({"a": 1}, WHOLE), (b"bytes", WHOLE),
    ],
)  # fmt: skip
def test_masks(keyring, value, shown):
    assert Masks({}, keyring).show("card", value) == shown


def test_masks_of_elements(keyring):
    masks = Masks({"email": {"keep_first": 1, "separators": "@."}}, keyring)
    assert masks.show("email", "ana@example.com") == "a**@*******.***"
    assert masks.show("other", "ana@example.com") == "***********.com"
    with pytest.raises(ConfigError, match="email"):
        Masks({"email": {"keep": 1}}, keyring)
