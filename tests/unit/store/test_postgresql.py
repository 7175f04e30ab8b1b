"""The address of a PostgreSQL store, and what is connected with it: no server is asked here."""

import ssl
import subprocess
import sys

import pytest
from sqlalchemy.engine import make_url

from streamguard.errors import ConfigError
from streamguard.store import postgresql


def target(url):
    return postgresql._target(make_url(url))


def arguments(url):
    return target(url).arguments


def test_an_address_in_full():
    given = target("postgresql://us%40er:p%2Fw%40rd@db.example.com:6432/guard?sslmode=disable")
    assert given.address == ("db.example.com", 6432)
    assert given.arguments == {
        "user": "us@er",
        "password": "p/w@rd",
        "host": "db.example.com",
        "database": "guard",
        "application_name": "streamguard",
        "ssl_context": False,
    }
    assert "p/w@rd" not in repr(given)


def test_what_is_left_out():
    given = target("postgresql://me@/guard")
    assert given.address == ("localhost", 5432)
    assert given.arguments["password"] is None


def test_a_socket_of_this_host():
    given = target("postgresql://me@/guard?host=/run/postgresql")
    assert given.address == "/run/postgresql/.s.PGSQL.5432"
    assert given.arguments["ssl_context"] is False


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+pg8000"])
def test_our_driver(driver):
    assert arguments(f"{driver}://me@localhost/guard")["user"] == "me"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_this_host_needs_no_tls(host):
    assert arguments(f"postgresql://me@{host}/guard")["ssl_context"] is False


@pytest.mark.parametrize(
    "host", ["db", "db.example.com", "10.0.0.1", "localhost.example.com", "[2001:db8::1]"]
)
def test_other_hosts_are_verified(host):
    context = arguments(f"postgresql://me@{host}/guard")["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("mode", "verified", "named"),
    [
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "db.example.com"])
def test_what_each_mode_verifies(host, mode, verified, named):
    context = arguments(f"postgresql://me@{host}/guard?sslmode={mode}")["ssl_context"]
    assert context.verify_mode is verified
    assert context.check_hostname is named


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://me:secret@db/guard", "another driver"),
        ("postgresql://db/guard", "no user or no database"),
        ("postgresql://me:secret@db", "no user or no database"),
        ("postgresql://me:secret@db/guard?sslmode=prefer", "'sslmode' that is not known"),
        ("postgresql://me:secret@db/guard?sslmode=require&sslmode=disable", "said more than once: sslmode"),
        ("postgresql://me:secret@db/guard?sslrootcert=/no/such.pem", "cannot be read"),
        ("postgresql://me:secret@db/guard?sslcert=/no/such.pem", "cannot be read"),
        ("postgresql://me:secret@db/guard?passfile=x", "not known: passfile"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        arguments(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_certificate(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("nothing of the kind")
    with pytest.raises(ConfigError, match="cannot be read"):
        arguments(f"postgresql://me@db/guard?sslrootcert={file}")


def test_without_the_driver_it_is_named():
    script = """
import sys
sys.modules["pg8000"] = sys.modules["pg8000.dbapi"] = None
from streamguard.errors import ConfigError
from streamguard.store.store import open_store
open_store("sqlite://").close()
try:
    open_store("postgresql://me@localhost/guard")
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'streamguard[postgres]'" in done.stdout
