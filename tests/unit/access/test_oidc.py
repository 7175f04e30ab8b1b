"""Tokens of a real issuer: what is good, and every way in which one is not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from streamguard.access import jwks
from streamguard.access.authn import Authenticator
from streamguard.access.errors import AuthenticationError, AuthenticationUnavailableError
from streamguard.access.jwks import IssuerKeys, fetch_json
from streamguard.access.oidc import Oidc
from streamguard.access.principal import Credential
from streamguard.policy.service import Issuer as Configured
from tests.issuer import AUDIENCE, jwk, private_key, running_issuer


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def configured(issuer, **changed):
    return Configured(**{"issuer": issuer.url, "audience": AUDIENCE, "jwks": issuer.jwks, **changed})


def oidc(issuer, **changed):
    return Oidc([configured(issuer, **changed)])


def refusal(oidc, token):
    with pytest.raises(AuthenticationError) as refused:
        oidc.principal(token)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value.code


# -- good --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rsa-1", "ec-1"])
def test_a_good_token(issuer, key):
    found = oidc(issuer).principal(issuer.token(key))
    assert found.name == f"oidc:{issuer.url}#ana"
    assert found.roles == {"support"}
    assert found.how == "oidc"


def test_an_edwards_curve_where_it_is_written_down(issuer):
    issuer.published.append("ed-1")
    assert oidc(issuer, algorithms=("EdDSA",)).principal(issuer.token("ed-1")).roles == {"support"}
    assert refusal(oidc(issuer), issuer.token("ed-1")) == "token_algorithm"


def test_several_audiences(issuer):
    assert oidc(issuer).principal(issuer.token(aud=["other", AUDIENCE])).roles == {"support"}


def test_keys_are_found_by_discovery(issuer):
    assert oidc(issuer, jwks=None).principal(issuer.token()).roles == {"support"}
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


@pytest.mark.parametrize(
    ("name", "claims", "roles"),
    [
        ("roles", {"roles": "support fraud"}, {"support", "fraud"}),
        ("realm_access.roles", {"realm_access": {"roles": ["a", "b"]}}, {"a", "b"}),
        ("https://x.example/roles", {"https://x.example/roles": ["a"]}, {"a"}),
        ("roles", {"roles": None}, set()),
        ("roles", {"roles": {"support": True}}, set()),
        ("roles", {"roles": ["support", 7, "", "a\nb", None]}, {"support"}),
        ("a.b.c", {"a": {"b": ["c"]}}, set()),
    ],
)
def test_roles(issuer, name, claims, roles):
    assert oidc(issuer, roles=name).principal(issuer.token(**claims)).roles == roles


def test_clocks_may_differ_a_little(issuer):
    now = int(time.time())
    found = oidc(issuer)
    assert found.principal(issuer.token(exp=now - 10)).roles
    assert found.principal(issuer.token(nbf=now + 10)).roles
    assert refusal(found, issuer.token(exp=now - 60)) == "token_expired"
    assert refusal(found, issuer.token(nbf=now + 60)) == "token_not_yet"


# -- not good ----------------------------------------------------------------------------------------------------------


def bad_tokens(issuer):
    """Tokens that reveal nothing, and what the trail says of each."""
    now = int(time.time())
    good = issuer.token()
    head, body, signature = good.split(".")
    return [
        (issuer.token(exp=now - 3600), "token_expired"),
        (issuer.token(nbf=now + 3600), "token_not_yet"),
        (issuer.token(iat=now + 3600), "token_not_yet"),
        (issuer.token(aud="another"), "token_audience"),
        (issuer.token(aud=[]), "token_claims"),
        (issuer.token(aud=None), "token_claims"),
        (issuer.token(exp=None), "token_claims"),
        (issuer.token(sub=None), "token_claims"),
        (issuer.token(sub=""), "token_claims"),
        (issuer.token(sub="ana\nadmin"), "token_claims"),
        (issuer.token(sub="a" * 400), "token_claims"),
        (issuer.token(iss="https://evil.example"), "token_issuer"),
        (issuer.token(iss=issuer.url + "/"), "token_issuer"),
        (issuer.token(iss=None), "token_issuer"),
        (issuer.unsigned(), "token_algorithm"),
        (issuer.confused(), "token_algorithm"),
        (issuer.confused("ec-1"), "token_algorithm"),
        (issuer.token("ed-foreign", kid="rsa-1"), "token_algorithm"),
        (issuer.token("rsa-1", algorithm="PS256"), "token_algorithm"),
        (issuer.token("ec-1", kid="rsa-1"), "token_algorithm"),
        (issuer.token("rsa-1", kid="ec-1"), "token_algorithm"),
        (issuer.token("rsa-unknown"), "token_key"),
        (issuer.token("rsa-foreign", kid="rsa-1"), "token_signature"),
        (issuer.token("ec-foreign", kid="ec-1"), "token_signature"),
        (f"{head}.{issuer.token(roles=['admin']).split('.')[1]}.{signature}", "token_signature"),
        (f"{head}.{body}.", "token_signature"),
        (jwt.encode(issuer.claims(), private_key("rsa-1"), "RS256"), "token_malformed"),
        (
            jwt.encode(
                issuer.claims(),
                private_key("rsa-1"),
                "RS256",
                headers={"kid": "rsa-1", "crit": ["x"], "x": 1},
            ),
            "token_malformed",
        ),
        ("", "token_malformed"),
        ("a.b.c", "token_malformed"),
        ("é" * 50, "token_malformed"),
        ("\ud800.\ud800.", "token_malformed"),
        (good + "x" * 20_000, "token_malformed"),
    ]


def test_every_bad_token_is_refused_with_its_code(issuer):
    found = oidc(issuer)
    assert found.principal(issuer.token())
    for token, code in bad_tokens(issuer):
        assert refusal(found, token) == code, (code, token[:40])


def test_what_a_token_says_of_keys_is_not_followed(issuer):
    """A key, or an address of keys, in the token's own header (RFC 8725, section 3.10)."""
    with running_issuer() as evil:
        evil.published = ["rsa-evil"]
        headers = {"kid": "rsa-evil", "jku": evil.jwks, "x5u": evil.jwks, "jwk": jwk("rsa-evil")}
        token = jwt.encode(issuer.claims(), private_key("rsa-evil"), "RS256", headers=headers)
        assert refusal(oidc(issuer), token) == "token_key"
        assert evil.asked == {}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_keys_that_must_not_be_used(issuer):
    issuer.published = []
    private = {**jwk("rsa-1"), "d": "AQAB"}
    issuer.more = [
        {**jwk("rsa-2"), "use": "enc"}, private, jwk("rsa-weak"), {"kty": "oct", "k": "AAAA", "kid": "oct"},
        "text", None, {}, {"kty": "RSA", "kid": "broken"}, {**jwk("ec-1"), "kid": None},
    ]  # fmt: skip
    found = oidc(issuer)
    for key in ("rsa-2", "rsa-1", "rsa-weak", "ec-1"):
        assert refusal(found, issuer.token(key)) == "token_key"


def test_a_key_that_nobody_can_use_does_not_take_the_others_with_it(issuer):
    good = jwk("ec-1")
    issuer.more = [
        {**good, "kid": "off the curve", "y": good["x"]},
        {**jwk("rsa-1"), "kid": "even", "e": "Ag"},
        {**good, "kid": "algorithms", "alg": ["ES256"]},
        {**good, "kid": "kinds", "kty": ["EC"]},
        {**good, "kid": ["several"]},
    ]
    assert oidc(issuer).principal(issuer.token("rsa-1")).how == "oidc"


# -- fetching ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(issuer, clock):
    return IssuerKeys(configured(issuer), clock=clock)


def test_keys_are_kept_and_fetched_anew_when_they_are_old(issuer, keys, clock):
    for _ in range(3):
        assert keys.find("rsa-1").key_id == "rsa-1"
    assert issuer.asked == {"/keys": 1}
    clock.now += jwks.FRESH
    keys.find("rsa-1")
    assert issuer.asked == {"/keys": 2}


def test_a_new_key_is_found_and_invented_ones_are_no_load(issuer, keys, clock):
    keys.find("rsa-1")
    issuer.published = ["rsa-2"]
    clock.now += jwks.PAUSE
    assert keys.find("rsa-2").key_id == "rsa-2"
    for n in range(50):
        with pytest.raises(AuthenticationError):
            keys.find(f"invented-{n}")
    with pytest.raises(AuthenticationError):
        keys.find("rsa-1")  # withdrawn
    assert issuer.asked == {"/keys": 2}


def test_who_has_a_known_key_does_not_wait_for_an_invented_one(issuer, clock):
    """Tokens with invented key ids and a slow issuer could otherwise take all threads."""
    asked, answered = threading.Event(), threading.Event()

    def fetch(_):
        if asked.is_set():
            assert answered.wait(30)
        return {"keys": [jwk("rsa-1")]}

    keys = IssuerKeys(configured(issuer), fetch=fetch, clock=clock)
    keys.find("rsa-1")
    clock.now += jwks.PAUSE
    asked.set()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(keys.find, "invented")
        try:
            assert pool.submit(keys.find, "rsa-1").result(10).key_id == "rsa-1"
            assert not slow.done()
        finally:
            answered.set()
        with pytest.raises(AuthenticationError):
            slow.result(10)


def test_an_issuer_that_is_away(issuer, keys, clock):
    issuer.away = True
    with pytest.raises(AuthenticationUnavailableError):
        keys.find("rsa-1")
    with pytest.raises(AuthenticationUnavailableError):
        keys.find("rsa-1")
    assert issuer.asked == {"/keys": 1}
    issuer.away = False
    clock.now += jwks.PAUSE
    keys.find("rsa-1")
    issuer.away = True
    clock.now += jwks.STALE - 1
    keys.find("rsa-1")  # known keys go on counting for a day
    clock.now += 1
    with pytest.raises(AuthenticationUnavailableError):
        keys.find("rsa-1")


@pytest.mark.parametrize("found", [None, [], {}, {"keys": 1}, {"keys": None}, "text"])
def test_what_is_no_set_of_keys(issuer, clock, found):
    keys = IssuerKeys(configured(issuer), fetch=lambda _: found, clock=clock)
    with pytest.raises(AuthenticationUnavailableError):
        keys.find("rsa-1")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
def test_a_discovery_document_that_is_not_the_issuers(issuer, clock, document):
    document = {"issuer": issuer.url, **document} if "issuer" not in document else document
    asked = []

    def fetch(address):
        asked.append(address)
        return document

    with pytest.raises(AuthenticationUnavailableError):
        IssuerKeys(configured(issuer, jwks=None), fetch=fetch, clock=clock).find("rsa-1")
    assert len(asked) == 1


def test_redirects_are_not_followed(issuer):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", issuer.jwks)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = Thread(target=server.handle_request)
    thread.start()
    with pytest.raises(OSError, match="302"):
        fetch_json(f"http://127.0.0.1:{server.server_port}/")
    thread.join()
    server.server_close()
    assert issuer.asked == {}


def test_without_a_bearer_token_or_issuers(issuer):
    for authenticator in (Authenticator(), Authenticator(oidc(issuer))):
        with pytest.raises(AuthenticationError) as refused:
            authenticator.principal(Credential())
        assert refused.value.code == "none"
    with pytest.raises(AuthenticationError) as refused:
        Authenticator().principal(Credential(bearer=issuer.token()))
    assert refused.value.code == "token_unknown"


def test_a_credential_is_not_printed():
    assert "secret" not in repr(Credential(bearer="secret"))
