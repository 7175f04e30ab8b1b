"""librdkafka's properties as Faust's settings."""

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streamguard.errors import ConfigError
from streamguard.policy.properties import MECHANISMS
from streamguard.streams.faustconfig import brokers, faust_settings

SERVERS = {"bootstrap.servers": "kafka:9093"}


@pytest.fixture
def certificate(tmp_path):
    """A certificate with its key, encrypted with a password, in two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    issued = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(*form, encryption))
    return files


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("kafka", ["kafka://kafka:9092"]),
        ("a:1, b:2,,c", ["kafka://a:1", "kafka://b:2", "kafka://c:9092"]),
        ("SASL_SSL://a:1", ["kafka://a:1"]),
        ("[::1]:9093,[::1]", ["kafka://[::1]:9093", "kafka://[::1]:9092"]),
    ],
)
def test_bootstrap_servers(servers, expected):
    assert brokers(servers) == expected


@pytest.mark.parametrize("servers", ["", " , ", "a:b", ":9092"])
def test_bootstrap_servers_that_name_no_broker(servers):
    with pytest.raises(ConfigError, match=r"bootstrap\.servers"):
        brokers(servers)


def test_without_security_only_the_address_is_translated():
    assert faust_settings(SERVERS | {"linger.ms": "5"}) == {"broker": ["kafka://kafka:9093"]}
    assert faust_settings(SERVERS | {"client.id": "me"})["broker_client_id"] == "me"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl(mechanism):
    kafka = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": "me",
        "sasl.password": "secret",
    }
    credentials = faust_settings(SERVERS | kafka)["broker_credentials"]
    assert isinstance(credentials, SASLCredentials)
    assert credentials_to_aiokafka_auth(credentials) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
        "ssl_context": None,
    }
    assert "secret" not in repr(credentials)


def test_sasl_over_tls_checks_certificate_and_name():
    kafka = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "a",
        "sasl.password": "b",
    }
    auth = credentials_to_aiokafka_auth(faust_settings(SERVERS | kafka)["broker_credentials"])
    assert auth["security_protocol"] == "SASL_SSL"
    assert auth["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert auth["ssl_context"].check_hostname


def test_tls_with_an_authority_and_a_certificate_of_ours(certificate):
    kafka = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificate[0]),
        "ssl.certificate.location": str(certificate[0]),
        "ssl.key.location": str(certificate[1]),
        "ssl.key.password": "secret",
    }
    credentials = faust_settings(SERVERS | kafka)["broker_credentials"]
    assert isinstance(credentials, SSLCredentials)
    (authority,) = credentials.context.get_ca_certs()
    assert authority["subject"] == ((("commonName", "test"),),)


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_wrong_password_for_the_key_is_an_error_and_no_question(certificate, password):
    kafka = {
        "security.protocol": "SSL",
        "ssl.certificate.location": str(certificate[0]),
        "ssl.key.location": str(certificate[1]),
    } | ({"ssl.key.password": password} if password else {})
    with pytest.raises(ConfigError, match=r"ssl\.certificate\.location") as raised:
        faust_settings(SERVERS | kafka)
    assert raised.value.__cause__ is None
    assert "wrong" not in str(raised.value)


def test_files_that_are_not_there():
    with pytest.raises(ConfigError, match=r"ssl\.ca\.location"):
        faust_settings(SERVERS | {"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"})


@pytest.mark.parametrize(
    ("kafka", "named"),
    [
        ({"security.protocol": "SASL"}, r"security\.protocol"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, r"sasl\.mechanism"),
        ({"security.protocol": "SASL_SSL"}, r"sasl\.mechanism"),
        ({"sasl.oauthbearer.config": "x"}, r"sasl\.oauthbearer\.config"),
        ({"enable.ssl.certificate.verification": "false"}, r"enable\.ssl"),
        ({"ssl.cipher.suites": "x"}, r"ssl\.cipher\.suites"),
    ],
)
def test_security_that_one_of_the_clients_cannot_have_is_refused(kafka, named):
    with pytest.raises(ConfigError, match=named):
        faust_settings(SERVERS | kafka)
