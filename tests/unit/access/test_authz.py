"""Cedar decides: default deny, roles, elements, topics, purposes."""

import pytest

from streamguard.access.authz import Rules, load_rules
from streamguard.access.principal import Principal
from streamguard.errors import ConfigError

TEXT = """
@id("support sees masked e-mails, with a ticket")
permit (principal in Role::"support", action == Action::"reveal_masked", resource == Element::"email")
when { context.purpose like "ticket *" };

@id("fraud reads what it finds in orders")
permit (principal in Role::"fraud", action, resource in Topic::"orders.clean");

permit (principal in Role::"dpo", action == Action::"reveal", resource) when { resource.name like "orders.*" };

@id("never card numbers")
forbid (principal, action, resource == Element::"card");
"""


@pytest.fixture
def rules():
    return Rules({"roles.cedar": TEXT})


def someone(*roles):
    return Principal("oidc:https://login.example.com#ana", frozenset(roles), "oidc")


def view(rules, roles, element, **asked):
    return rules.grant(someone(*roles), element, **asked).view


@pytest.mark.parametrize(
    ("roles", "element", "asked", "seen"),
    [
        ([], "email", {}, None),
        (["support"], "email", {}, None),
        (["support"], "email", {"purpose": "ticket 1"}, "masked"),
        (["support"], "phone", {"purpose": "ticket 1"}, None),
        (["fraud"], "email", {}, None),
        (["fraud"], "email", {"topic": "orders.clean"}, "full"),
        (["fraud"], "email", {"topic": "payments.clean"}, None),
        (["fraud"], "email", {"topic": "orders.clean", "wanted": "masked"}, "masked"),
        (["fraud"], "card", {"topic": "orders.clean"}, None),
        (["dpo"], "orders.customer.name", {}, "full"),
        (["dpo"], "orders.customer.name", {"wanted": "masked"}, "masked"),
        (["dpo"], "payments.iban", {}, None),
        (["support", "fraud"], "email", {"purpose": "ticket 1", "topic": "orders.clean"}, "full"),
        (['support"', "Role::fraud"], "email", {"purpose": "ticket 1", "topic": "orders.clean"}, None),
    ],
)
def test_who_sees_what(rules, roles, element, asked, seen):
    assert view(rules, roles, element, **asked) == seen


def test_a_grant_says_which_policy_decided(rules):
    assert rules.grant(someone("support"), "email", purpose="ticket 1").by == (
        "support sees masked e-mails, with a ticket"
    )
    assert rules.grant(someone("dpo"), "orders.x").by == "roles.cedar, policy 3"
    assert rules.grant(someone("dpo"), "card").by == "never card numbers"
    assert rules.grant(someone(), "email").by == "no policy permits it"


def test_names_of_any_kind(rules):
    strange = Principal('oidc:https://x#"\\é\u202e', frozenset({'a"b', "é"}), "oidc")
    assert rules.grant(strange, 'é"\\', purpose="ticket 1", topic="t").view is None


def test_a_policy_that_cannot_be_evaluated_denies():
    text = """
    permit (principal, action, resource);
    forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };
    """
    found = Rules({"f": text}).grant(someone("dpo"), "email")
    assert found.view is None
    assert found.by == "a policy cannot be evaluated"


def test_without_any_policy_nobody_sees_anything():
    assert view(Rules({"empty.cedar": "// nothing"}), ["dpo"], "email") is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("permit (", "not Cedar"),
        ('permit (principal in Role::"a", action == Action::"reveel", resource);', "reveel"),
        ('permit (principal in Group::"a", action, resource);', "Group"),
        ("permit (principal, action, resource) when { principal.age > 18 };", "age"),
        ('permit (principal, action, resource) when { context.topic == "t" };', "topic"),
        ("permit (principal == ?principal, action, resource);", "template"),
    ],
)
def test_a_mistake_in_a_policy_is_found_when_it_is_loaded(tmp_path, text, word):
    file = tmp_path / "roles.cedar"
    file.write_text(text)
    with pytest.raises(ConfigError, match=word):
        load_rules([file])


def test_several_files(tmp_path):
    for name, role in (("a", "x"), ("b", "y")):
        (tmp_path / name).write_text(f'permit (principal in Role::"{role}", action, resource);')
    rules = load_rules([tmp_path / "a", tmp_path / "b"])
    assert rules.grant(someone("y"), "email").by == f"{tmp_path}/b, policy 1"
    with pytest.raises(ConfigError):
        load_rules([tmp_path / "none"])
