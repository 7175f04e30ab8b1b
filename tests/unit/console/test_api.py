"""``POST /v1/reveal`` over real HTTP."""

import ipaddress
import json
import ssl
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from streamguard.access.audit import Limit, Trail
from streamguard.access.authn import Authenticator
from streamguard.access.authz import Rules
from streamguard.access.errors import AuditUnavailableError
from streamguard.access.records import reversible_fields
from streamguard.access.reveal import Desk
from streamguard.access.tokens import StaticToken, StaticTokens, generate, hash_of
from streamguard.console import failures as bounds
from streamguard.console.api import LARGEST, create_app
from streamguard.console.failures import FAILURES, FAILURES_PER, Failures, source_of
from streamguard.console.server import Tls, config
from streamguard.crypto.aead import GcmSealer
from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.policy.loader import load_policy
from streamguard.policy.service import Certificates
from streamguard.transforms.base import Origin
from tests.issuer import running_issuer
from tests.unit.access.test_oidc import bad_tokens, oidc
from tests.unit.console.served import served

RULES = """
permit (principal in Role::"support", action == Action::"reveal_masked", resource == Element::"email")
when { context.purpose like "ticket *" };
permit (principal in Role::"fraud", action, resource) unless { resource == Element::"secret" };
"""
POLICY = """
topic: orders
key: drop
fields:
  ssn: {fpe: {alphabet: digits, separators: "-"}, element: ssn}
  born: {shift_dates: {by: id}}
  id: tokenize
"""
MINE = generate()
LIMIT = Limit(50_000, timedelta(hours=1))


class Place:
    """A running API, and what stands behind it."""

    def __init__(self, folder, authenticator, *, limit=LIMIT, publisher=None, certificates=None):
        self.keyring = Keyring.in_memory()
        self.trail = Trail(self.keyring, publisher)
        self.desk = Desk(
            self.keyring, self.trail, authenticator=authenticator, rules=Rules({"f": RULES}), limit=limit
        )
        file = folder / "orders.yaml"
        file.write_text(POLICY)
        self.fields = {
            ("orders", path): transform
            for path, transform in reversible_fields(load_policy(file), self.keyring).items()
        }
        self.app = create_app(self.desk, self.fields, certificates)

    def seal(self, element, *values):
        return GcmSealer(self.keyring.fresh("orders", element, len(values))).seal(values)

    def entries(self):
        return [
            (row.who, row.element, row.count, row.decision, row.reason)
            for row in self.keyring.store.audit.entries()
        ]


class Caller:
    """Somebody with an HTTP client; a connection each time."""

    def __init__(self, url, bearer=MINE, *, verify=True):
        self.url = url
        self.headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        self.verify = verify

    def ask(self, *values, **more):
        asked = [{"token": value} if isinstance(value, str) else value for value in values]
        return self.call("POST", "/v1/reveal", json={"values": asked, **more})

    def send(self, content, **headers):
        every = {"Content-Type": "application/json", **headers}
        return self.call("POST", "/v1/reveal", content=content, headers=every)

    def get(self, path):
        return self.call("GET", path)

    def call(self, method, path, *, headers=None, **rest):
        every = {**self.headers, **(headers or {})}
        return httpx.request(
            method, self.url + path, headers=every, verify=self.verify, trust_env=False, **rest
        )


def static(*roles):
    return StaticTokens([StaticToken(name="me", hash=hash_of(MINE), roles=roles)])


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, Authenticator(tokens=static("fraud")))


@pytest.fixture
def caller(place):
    with served(place.app) as port:
        yield Caller(f"http://127.0.0.1:{port}")


def failed(answer, status, code):
    """Every error is JSON of one form, is not kept on the way, and says nothing of the request."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.json()["error"]["code"] == code
    return answer.json()["error"]["message"]


# -- revealed ----------------------------------------------------------------------------------------------------------


def test_values_come_with_their_types(place, caller):
    tokens = place.seal("email", "ana@example.com", 12, None, {"a": [1.5]}, b"\x00\xff")
    answer = caller.ask(*tokens, "no token", *place.seal("secret", "x"), purpose="case 7")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("server") is None
    message = "This is not a protected token, or it was edited or cut."
    denied = "You may not reveal values of this element for this purpose."
    assert answer.json() == {
        "values": [
            {"element": "email", "type": "text", "value": "ana@example.com", "masked": False},
            {"element": "email", "type": "json", "value": 12, "masked": False},
            {"element": "email", "type": "json", "value": None, "masked": False},
            {"element": "email", "type": "json", "value": {"a": [1.5]}, "masked": False},
            {"element": "email", "type": "bytes", "value": b64encode(b"\x00\xff").decode(), "masked": False},
            {"element": None, "error": {"code": "token", "message": message}},
            {"element": "secret", "error": {"code": "denied", "message": denied}},
        ]
    }
    assert place.entries()[0] == ("token:me", "email", 5, "revealed", "f, policy 2")


def test_masked(tmp_path):
    place = Place(tmp_path, Authenticator(tokens=static("support")))
    (token,) = place.seal("email", "ana@example.com")
    with served(place.app) as port:
        caller = Caller(f"http://127.0.0.1:{port}")
        (value,) = caller.ask(token, purpose="ticket 1").json()["values"]
        assert (value["value"], value["masked"]) == ("***********.com", True)
        failed(caller.ask(token), 403, "denied")
        failed(caller.ask(token, purpose="curiosity"), 403, "denied")


def test_fields_of_policies(place, caller):
    fpe, dates = place.fields["orders", "ssn"], place.fields["orders", "born"]
    (ssn,) = fpe.apply(["123-45-6789"], pytest.fail)
    (born,) = dates.apply_for(["1990-02-03"], ["C1"], pytest.fail)
    assert fpe.reverse([ssn], [Origin(fpe.key_id)]) == ["123-45-6789"]
    field = {"policy": "orders", "field": "ssn", "value": ssn}
    date = {"policy": "orders", "field": "born", "value": born, "key_id": dates.key_id}
    answer = caller.ask(
        {**field, "key_id": fpe.key_id},
        field,
        {**date, "subject": "C1"},
        date,
        {**field, "key_id": dates.key_id},
    )
    assert [value.get("value", value.get("error", {}).get("code")) for value in answer.json()["values"]] == [
        "123-45-6789", "token", "1990-02-03", "token", "token",
    ]  # fmt: skip
    for strange in ({**field, "policy": "x"}, {**field, "field": "id"}, {**field, "field": "x"}):
        assert "values[1]" in failed(caller.ask("t", strange), 422, "invalid")


# -- not revealed ------------------------------------------------------------------------------------------------------


def test_bad_credentials_reveal_nothing_and_are_on_the_trail(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FAILURES", 1000)
    with running_issuer() as issuer:
        place = Place(tmp_path, Authenticator(oidc(issuer)))
        (token,) = place.seal("email", "ana@example.com")
        with served(place.app) as port:
            url = f"http://127.0.0.1:{port}"
            assert Caller(url, issuer.token(roles=["fraud"])).ask(token).status_code == 200
            bad = [
                (bearer, code)
                for bearer, code in bad_tokens(issuer)
                if bearer.isascii() and 0 < len(bearer) < 9000
            ]
            for bearer, _ in bad:
                answer = Caller(url, bearer).ask(token)
                failed(answer, 401, "credentials")
                assert answer.headers["www-authenticate"] == "Bearer"
            for headers in ({"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {}):
                failed(
                    httpx.post(f"{url}/v1/reveal", json={}, headers=headers, trust_env=False),
                    401,
                    "credentials",
                )
    assert [(who, reason) for who, _, _, decision, reason in place.entries() if decision == "denied"] == [
        *(("nobody", code) for _, code in bad),
        *(("nobody", code) for code in ("token_malformed", "token_malformed", "none")),
    ]
    assert sum(decision == "revealed" for *_, decision, _ in place.entries()) == 1


def test_an_address_whose_credentials_fail_has_to_wait(place, caller):
    stranger = Caller(caller.url, generate())
    for _ in range(FAILURES):
        failed(stranger.ask("x"), 401, "credentials")
    answer = stranger.ask("x")
    failed(answer, 429, "failures")
    assert 0 < int(answer.headers["retry-after"]) <= FAILURES_PER + 1
    assert len(place.entries()) == FAILURES + 1
    failed(stranger.ask("x"), 429, "failures")
    failed(caller.ask("x"), 429, "failures")
    assert place.entries()[FAILURES:] == [("nobody", None, 1, "throttled", "failures")]


def test_many_at_once_are_turned_away_as_well(place, caller):
    """Those that came before the others had failed are looked at only when it is their turn."""
    with ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(lambda _: Caller(caller.url, "x").ask("x").status_code, range(3 * FAILURES)))
    assert set(statuses) == {401, 429}
    kinds = Counter(decision for *_, decision, _ in place.entries())
    under_way = 40  # threads
    assert kinds["denied"] == statuses.count(401) <= FAILURES + under_way
    assert kinds["throttled"] == 1


def test_attempts_that_cannot_be_judged_are_bounded_too(tmp_path):
    """While an issuer is away, whoever names it writes to the trail: he has to wait as others do."""
    with running_issuer() as issuer:
        issuer.away = True
        place = Place(tmp_path, Authenticator(oidc(issuer)))
        token = issuer.token(roles=["fraud"])
        with served(place.app) as port:
            caller = Caller(f"http://127.0.0.1:{port}", token)
            for _ in range(FAILURES):
                failed(caller.ask("x"), 503, "unavailable")
            failed(caller.ask("x"), 429, "failures")
    assert Counter(reason for *_, reason in place.entries()) == {
        "issuer_unavailable": FAILURES,
        "failures": 1,
    }


def test_attempts_that_were_turned_away_are_told_once_in_a_window():
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(FAILURES):
        failures.add("a")
    assert [failures.turned_away("a") for _ in range(5)] == [1, 0, 0, 0, 0]
    now[0] += FAILURES_PER
    assert [failures.turned_away("a") for _ in range(3)] == [5, 0, 0]
    failures.untold("a", 5)  # the trail was away
    assert [failures.turned_away("a") for _ in range(2)] == [8, 0]
    assert failures.turned_away("b") == 1  # forgotten meanwhile, for many others came


def test_the_trail_has_to_be_there_to_turn_somebody_away(place, caller, monkeypatch):
    stranger = Caller(caller.url, generate())
    for _ in range(FAILURES):
        stranger.ask("x")
    with monkeypatch.context() as away:
        away.setattr(place.trail, "record", _away)
        failed(stranger.ask("x"), 503, "unavailable")
    failed(stranger.ask("x"), 429, "failures")
    assert place.entries()[-1] == ("nobody", None, 2, "throttled", "failures")


def _away(*_):
    raise AuditUnavailableError("away")


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_whose_failures_count_together(peer, source):
    assert source_of(peer) == source


def test_failures_are_forgotten():
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(FAILURES):
        assert failures.wait("a") == 0
        failures.add("a")
        now[0] += 1
    assert failures.wait("a") == FAILURES_PER - FAILURES + 1
    assert failures.wait("b") == 0
    now[0] += FAILURES_PER - FAILURES
    assert failures.wait("a") == 0


def test_limits_count_values(tmp_path):
    limit = Limit(3, timedelta(minutes=10))
    place = Place(tmp_path, Authenticator(tokens=static("fraud")), limit=limit)
    tokens = place.seal("email", "a", "b")
    with served(place.app) as port:
        caller = Caller(f"http://127.0.0.1:{port}")
        assert caller.ask(*tokens).status_code == 200
        answer = caller.ask(*tokens)
        failed(answer, 429, "limit")
        assert 590 < int(answer.headers["retry-after"]) <= 600
    assert place.entries()[-1] == ("token:me", "email", 2, "refused", "limit")


def test_what_is_away_is_503_and_reveals_nothing(tmp_path):
    class Away:
        def publish(self, head):
            raise AuditUnavailableError("away")

    place = Place(tmp_path, Authenticator(tokens=static("fraud")), publisher=Away())
    with served(place.app) as port:
        caller = Caller(f"http://127.0.0.1:{port}")
        answer = caller.ask(*place.seal("email", "ana"))
        assert "ana" not in failed(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "5"
        assert caller.get("/v1/health").json() == {"status": "ok"}


def test_health(place, caller):
    assert caller.get("/v1/health").json() == {"status": "ok"}
    with place.keyring.store.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE data_keys")
    assert caller.get("/v1/health").status_code == 200  # remembered for some seconds


def test_health_when_the_store_is_away(place, caller):
    with place.keyring.store.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE data_keys")
    failed(caller.get("/v1/health"), 503, "unavailable")
    failed(caller.ask(*["sg1.e.K.QQ"]), 503, "unavailable")


def test_a_fault_of_ours_says_nothing(place, caller, monkeypatch):
    monkeypatch.setattr(place.desk, "reveal", lambda *_: {}["ana"])
    assert failed(caller.ask("x"), 500, "failed") == "StreamGuard failed on this request."


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("", ""),
        ("nonsense", ""),
        ("[]", ""),
        ("{}", "values"),
        ('{"values": []}', "values"),
        ('{"values": [{}]}', "values[0]"),
        ('{"values": [{"token": 7}]}', "values[0]"),
        ('{"values": [{"token": ""}]}', "values[0]"),
        ('{"values": [{"token": "x", "value": "y"}]}', "values[0]"),
        ('{"values": [{"token": "\\ud800"}]}', ""),
        ('{"values": [{"token": "x"}], "masked": "true"}', "masked"),
        ('{"values": [{"token": "x"}], "topic": "orders.clean"}', ""),
        ('{"values": [{"token": "x"}], "purpose": "ana@example.com"}', "purpose"),
        ('{"values": [{"token": "x"}], "purpose": null}', "purpose"),
        ("[" * 100_000, ""),
    ],
)
def test_requests_that_are_not_as_described(caller, body, where):
    message = failed(caller.send(body), 422, "invalid")
    assert message.startswith("The request is not as /v1/openapi.json describes it")
    assert where in message
    assert "ana" not in message


def test_bounds(place, caller):
    failed(caller.ask(*["x"] * 1001), 422, "invalid")
    failed(caller.send(b'{"values": "' + b"x" * LARGEST + b'"}'), 413, "too_large")
    failed(caller.send("{}", **{"Content-Type": "text/plain"}), 415, "content_type")
    failed(caller.get("/v1/reveal"), 405, "method_not_allowed")
    failed(caller.get("/other"), 404, "not_found")
    failed(caller.get("/docs"), 404, "not_found")
    assert [entry for entry in place.entries() if entry[3] == "revealed"] == []


def test_who_asks_is_looked_at_before_what_is_asked(caller):
    stranger = Caller(caller.url, None)
    failed(stranger.send("nonsense"), 401, "credentials")
    failed(stranger.send("x" * (LARGEST + 1)), 401, "credentials")


# -- certificates ------------------------------------------------------------------------------------------------------

NAMES = {"ca": "Example CA", "server": "localhost", "ui": "support-ui", "other": "somebody"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A small authority, and what it signed, as PEM files."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in NAMES}

    def subject(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[name])])

    for name, key in keys.items():
        made = (
            x509.CertificateBuilder()
            .subject_name(subject(name))
            .issuer_name(subject("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["ca"].public_key()), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(keys["ca"], SHA256())
        )
        (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return folder


def trusting(folder, client=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


def test_a_clients_certificate(tmp_path, certificates):
    authenticator = Authenticator(tokens=static("fraud"), certificates={"CN=support-ui": ("fraud",)})
    place = Place(tmp_path, authenticator)
    (token,) = place.seal("email", "ana")
    tls = Tls(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    with served(place.app, tls) as port:
        url = f"https://127.0.0.1:{port}"
        shown = Caller(url, None, verify=trusting(certificates, "ui"))
        assert shown.ask(token).json()["values"][0]["value"] == "ana"
        failed(Caller(url, None, verify=trusting(certificates, "other")).ask(token), 401, "credentials")
        assert Caller(url, verify=trusting(certificates)).ask(token).status_code == 200  # a token instead
        failed(Caller(url, None, verify=trusting(certificates)).ask(token), 401, "credentials")
        claimed = {"X-Client-Subject": "CN=support-ui"}
        failed(Caller(url, None, verify=trusting(certificates)).send("{}", **claimed), 401, "credentials")
    assert [(who, reason) for who, *_, reason in place.entries()] == [
        ("certificate:CN=support-ui", "f, policy 2"), ("nobody", "certificate_unknown"), ("token:me", "f, policy 2"),
        ("nobody", "none"), ("nobody", "none"),
    ]  # fmt: skip


def test_a_certificate_of_another_authority_does_not_connect(tmp_path, certificates, place):
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "support-ui")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, own.public_key(), 7, now - timedelta(1), now + timedelta(1)
    ).sign(own, SHA256())
    (tmp_path / "c.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "c.key").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = trusting(certificates)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "c.key")
    tls = Tls(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    with served(place.app, tls) as port, pytest.raises(httpx.TransportError):
        Caller(f"https://127.0.0.1:{port}", None, verify=context).ask("x")


@pytest.mark.parametrize(("proxies", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 401)])
def test_a_proxys_word_counts_from_its_address_alone(tmp_path, proxies, status):
    trusted = Certificates(
        subjects={"CN=support-ui": ("fraud",)}, header="x-client-subject", proxies=(proxies,)
    )
    place = Place(tmp_path, Authenticator(certificates=trusted.subjects), certificates=trusted)
    (token,) = place.seal("email", "ana")
    headers = {"X-Client-Subject": "CN=support-ui", "X-Forwarded-For": "127.0.0.1"}
    with served(place.app) as port:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/reveal",
            json={"values": [{"token": token}]},
            headers=headers,
            trust_env=False,
        )
    assert answer.status_code == status


def test_of_two_subjects_none_is_believed(tmp_path):
    """A proxy that adds its header to the client's own would let everybody choose who he is."""
    trusted = Certificates(
        subjects={"CN=support-ui": ("fraud",)}, header="x-client-subject", proxies=("127.0.0.0/8",)
    )
    place = Place(tmp_path, Authenticator(certificates=trusted.subjects), certificates=trusted)
    with served(place.app) as port:
        for second in ("CN=nobody", "CN=support-ui"):
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/reveal",
                json={"values": [{"token": "x"}]},
                headers=[("X-Client-Subject", "CN=support-ui"), ("X-Client-Subject", second)],
                trust_env=False,
            )
            failed(answer, 401, "credentials")


def test_certificates_that_cannot_be_used(certificates, place):
    for tls in (
        Tls(certificates / "none.pem", certificates / "server.key"),
        Tls(certificates / "server.pem", certificates / "ui.key"),
        Tls(certificates / "server.pem", certificates / "server.key", certificates / "none.pem"),
    ):
        with pytest.raises(ConfigError, match="certificate"):
            config(place.app, "127.0.0.1", 0, tls)


# -- the description ---------------------------------------------------------------------------------------------------


def test_the_description_is_whole(caller):
    document = caller.get("/v1/openapi.json").json()
    assert set(document["paths"]) == {"/v1/reveal", "/v1/health"}
    post = document["paths"]["/v1/reveal"]["post"]
    assert set(post["responses"]) == {
        "200", "400", "401", "403", "404", "405", "413", "415", "422", "429", "503",
    }  # fmt: skip
    text = json.dumps(document)
    for name in ("RevealRequest", "TokenValue", "FieldValue", "RevealAnswer", "Problem"):
        assert name in document["components"]["schemas"]
        assert f"#/components/schemas/{name}" in text
    assert "HTTPValidationError" not in text
