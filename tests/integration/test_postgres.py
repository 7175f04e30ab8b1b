"""The store on a PostgreSQL server that refuses, restarts, hangs, is read-only, or is not PostgreSQL at all."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.store import postgresql
from streamguard.store.store import Store, open_store
from streamguard.store.tables import data_keys
from tests.servers import ROOT, Postgres, free_ports
from tests.unit.store.rows import PINNED, ROW


@contextmanager
def opened(url: str, *, create: bool = True) -> Iterator[Store]:
    store = open_store(url, create=create)
    yield store
    store.close()


@contextmanager
def session(url: str) -> Iterator:
    """A session beside the store, whose statements are committed at once."""
    engine = create_engine(make_url(url).set(drivername="postgresql+pg8000"), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def execute(url: str, *statements: str) -> None:
    with session(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def changed(url: str, **parts) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def name_of(url: str) -> str:
    return str(make_url(url).database)


@pytest.fixture
def hasty(monkeypatch):
    """A second is long enough."""
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 1.0)


# -- what a person has to mend ---------------------------------------------------------------------------------------


def test_a_wrong_password(postgres_url):
    with (
        pytest.raises(ConfigError, match="does not let this user in"),
        opened(changed(postgres_url, password="no")),
    ):
        pass


def test_an_unknown_user(postgres_url):
    with (
        pytest.raises(ConfigError, match="does not let this user in"),
        opened(changed(postgres_url, username="no")),
    ):
        pass


def test_a_database_that_does_not_exist(postgres_url):
    with (
        pytest.raises(ConfigError, match="does not exist") as caught,
        opened(changed(postgres_url, database="no")),
    ):
        pass
    assert "CREATE DATABASE" in caught.value.remedy


def test_a_database_in_another_encoding(postgres_url):
    name = f"{name_of(postgres_url)}_ascii"
    execute(postgres_url, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with pytest.raises(ConfigError, match="UTF-8"), opened(changed(postgres_url, database=name)):
            pass
    finally:
        execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def plain_user(postgres_url):
    """The URL of a user that may do no more than the documentation grants."""
    name = f"{name_of(postgres_url)}_user"
    execute(
        postgres_url, f"CREATE USER {name} PASSWORD 'plain'", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )
    yield changed(postgres_url, username=name, password="plain")
    execute(postgres_url, f"DROP OWNED BY {name}", f"DROP USER {name}")


def test_a_user_that_may_not_make_tables(plain_user):
    with pytest.raises(ConfigError, match="may not do this") as caught, opened(plain_user):
        pass
    assert "streamguard store upgrade" in caught.value.remedy


def test_a_user_that_may_use_the_tables_and_nothing_more(plain_user, postgres_url):
    with opened(postgres_url):
        name = make_url(plain_user).username
        execute(postgres_url, f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}")
    with opened(plain_user) as store:
        assert store.keys.add(ROW)
        assert store.keys.destroy([ROW.id], ROW.created_at) == [ROW.id]
    execute(postgres_url, f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}")
    with pytest.raises(ConfigError, match="may not do this"), opened(plain_user):
        pass


def test_a_server_without_tls(postgres_url):
    url = f"{postgres_url}?sslmode=verify-full"
    with pytest.raises(ConfigError, match="does not offer TLS") as caught, opened(url):
        pass
    assert "sslmode=disable" in caught.value.remedy


# -- what may mend itself --------------------------------------------------------------------------------------------


def test_no_server(postgres_url):
    with (
        pytest.raises(KeysUnavailableError, match="does not answer"),
        opened(changed(postgres_url, port=free_ports(1)[0])),
    ):
        pass


def test_a_host_that_is_not_known():
    with (
        pytest.raises(KeysUnavailableError, match="does not answer"),
        opened("postgresql://me:pw@no.invalid/db"),
    ):
        pass


@pytest.mark.parametrize(
    "says",
    [b"", b"N", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64), b"R\0\0\0\x08\0\0\0\x63", os.urandom(200)],
)
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_a_server_of_another_kind(says, mode, hasty):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(says)

        threading.Thread(target=serve, daemon=True).start()
        url = f"postgresql://me:secret@127.0.0.1:{server.getsockname()[1]}/db?sslmode={mode}"
        with pytest.raises((KeysUnavailableError, ConfigError)) as caught, opened(url):
            pass
        server.shutdown(socket.SHUT_RDWR)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_says_nothing(hasty):
    with socket.create_server(("127.0.0.1", 0)) as server:
        begun = time.monotonic()
        url = f"postgresql://me:pw@127.0.0.1:{server.getsockname()[1]}/db"
        with pytest.raises(KeysUnavailableError, match="does not answer"), opened(url):
            pass
        assert time.monotonic() - begun < 30


def test_sessions_that_were_ended_are_replaced_unseen(postgres_url):
    end_others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamguard'"
    )
    with opened(postgres_url) as store:
        for number in range(3):
            execute(postgres_url, f"{end_others} AND datname = current_database()")
            assert store.keys.add(replace(ROW, id=f"key{number}"))


def test_a_row_that_another_session_holds(postgres_url, hasty):
    with opened(postgres_url) as store, session(postgres_url) as other:
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql("LOCK TABLE data_keys")
        with pytest.raises(KeysUnavailableError, match="held by another session"):
            store.keys.add(ROW)
        with pytest.raises(KeysUnavailableError, match="held by another session"):
            store.health()
        other.exec_driver_sql("ROLLBACK")
        assert store.keys.add(ROW)


def test_an_insert_waits_for_the_one_before_it(postgres_url):
    """Whoever comes second is told so after the first has committed, and can read it then."""
    with opened(postgres_url) as store, opened(postgres_url) as other, store.database.writing() as first:
        store.database.insert_new(first, data_keys, [asdict(PINNED)], returning=data_keys.c.id)
        answer = []
        thread = threading.Thread(target=lambda: answer.append(other.keys.add(replace(PINNED, id="second"))))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        first.commit()
        thread.join(10)
        assert answer == [False]
        assert other.keys.pinned(PINNED.element) == PINNED


def test_two_that_wait_for_each_other(postgres_url):
    """PostgreSQL refuses one of the two, which may try again; nothing of it was kept."""
    with opened(postgres_url) as store:
        start = threading.Barrier(2)
        ended = []

        def work(order):
            try:
                with store.database.writing() as connection:
                    for index, version in enumerate(order):
                        row = asdict(replace(PINNED, id=f"{order}-{version}", version=version))
                        store.database.insert_new(connection, data_keys, [row], returning=data_keys.c.id)
                        if index == 0:
                            start.wait(10)
                ended.append(order)
            except KeysUnavailableError as error:
                ended.append(error.message)

        threads = [threading.Thread(target=work, args=[order]) for order in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        (kept,) = [order for order in ended if isinstance(order, tuple)]
        assert {one for one in ended if one != kept} == {"Rows of the store are held by another session."}
        assert {row.id for row in store.keys.all()} == {f"{kept}-1", f"{kept}-2"}


def test_a_standby(postgres_url):
    """A server that takes no writes is left at once, for a new connection may lead to the primary."""
    with opened(postgres_url) as store:
        read_only = f"ALTER DATABASE {name_of(postgres_url)} SET default_transaction_read_only"
        execute(postgres_url, f"{read_only} = on")
        store.close()  # the sessions begun before do not notice
        with pytest.raises(KeysUnavailableError, match="read-only"):
            store.keys.add(ROW)
        assert store.keys.all() == []
        with session(postgres_url) as other:
            other.exec_driver_sql("SET default_transaction_read_only = off")
            other.exec_driver_sql(f"{read_only} = off")
        with pytest.raises(KeysUnavailableError):  # a session of before
            store.keys.add(ROW)
        assert store.keys.add(ROW)


def test_no_connection_left(postgres_url):
    name = f"{name_of(postgres_url)}_few"
    with opened(postgres_url):
        pass
    execute(
        postgres_url,
        f"CREATE USER {name} PASSWORD 'few' CONNECTION LIMIT 1",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name}",
    )
    try:
        url = changed(postgres_url, username=name, password="few")
        with (
            opened(url) as store,
            store.database.reading(),
            pytest.raises(KeysUnavailableError, match="no connection"),
        ):
            store.health()
    finally:
        execute(postgres_url, f"DROP OWNED BY {name}", f"DROP USER {name}")


def test_a_pool_that_is_used_up(postgres_url, hasty):
    with opened(postgres_url) as store:
        held = [store.database.engine.connect() for _ in range(postgresql.POOL_SIZE + postgresql.POOL_MORE)]
        with pytest.raises(KeysUnavailableError, match="does not answer"):
            store.health()
        held.pop().close()
        store.health()
        for connection in held:
            connection.close()


def test_errors_hold_nothing_of_the_database(postgres_url, hasty):
    with opened(postgres_url) as store, session(postgres_url) as other:
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql("LOCK TABLE data_keys")
        with pytest.raises(KeysUnavailableError) as caught:
            store.keys.add(ROW)
        other.exec_driver_sql("ROLLBACK")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    for part in (ROW.id, ROW.element, "INSERT", "pg8000", "data_keys", make_url(postgres_url).password):
        assert part not in str(caught.value)


# -- what is promised ------------------------------------------------------------------------------------------------


def test_a_commit_is_on_disk_whatever_the_server_was_told(postgres_url):
    execute(postgres_url, f"ALTER DATABASE {name_of(postgres_url)} SET synchronous_commit = off")
    with opened(postgres_url) as store, store.database.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    execute(postgres_url, f"ALTER DATABASE {name_of(postgres_url)} SET synchronous_commit = remote_apply")
    with opened(postgres_url) as store, store.database.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"


def test_a_fork_leaves_the_parents_connections_alone(postgres_url):
    """Run by itself: this process has threads, which do not go well with a fork."""
    script = """
import os, sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from streamguard.store.store import open_store
from tests.unit.store.rows import ROW
store = open_store(sys.argv[1])
store.keys.add(ROW)
def session():
    with store.database.reading() as connection:
        return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
parents = session()
child = os.fork()
if child == 0:
    assert session() != parents
    assert store.keys.add(replace(ROW, id="child"))
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert session() == parents
assert len(store.keys.all()) == 2
"""
    subprocess.run([sys.executable, "-c", script, postgres_url], cwd=ROOT, check=True, timeout=60)


# -- a server of one's own -------------------------------------------------------------------------------------------


def test_a_server_that_restarts(second_postgres: Postgres):
    with opened(second_postgres.address) as store:
        store.keys.add(ROW)
        for ending in (second_postgres.stop, second_postgres.kill):
            ending()
            with pytest.raises(KeysUnavailableError, match="does not answer"):
                store.health()
            with pytest.raises(KeysUnavailableError, match="does not answer"):
                store.keys.add(PINNED)
            second_postgres.start()
            assert store.keys.all() == [ROW]  # at once, by itself
        assert store.keys.add(PINNED)


def test_a_server_that_was_killed_has_every_key_that_was_added(second_postgres: Postgres):
    with opened(second_postgres.address) as store:
        added = 0
        killer = threading.Timer(0.5, second_postgres.kill)
        killer.start()
        with suppress(KeysUnavailableError):
            while True:
                assert store.keys.add(replace(ROW, id=f"key{added}"))
                added += 1
        killer.join()
        second_postgres.start()
        assert {f"key{number}" for number in range(added)} <= {row.id for row in store.keys.all()}
        assert added > 0


def test_a_server_that_hangs(second_postgres: Postgres, hasty):
    with opened(second_postgres.address) as store:
        held = store.database.engine.connect()
        held.exec_driver_sql("SELECT 1")
        pid = held.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        held.close()
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            # The session that hangs is found out and replaced, within the time that one answer may take.
            assert store.keys.add(ROW)
            assert time.monotonic() - begun < 30
        finally:
            os.kill(pid, signal.SIGCONT)
        os.kill(second_postgres.pid, signal.SIGSTOP)
        try:
            store.close()
            with pytest.raises(KeysUnavailableError, match="does not answer"):
                store.keys.get(ROW.id)
        finally:
            os.kill(second_postgres.pid, signal.SIGCONT)
        assert store.keys.get(ROW.id) == ROW


def test_the_script_tells_of_a_server_and_deletes_it(second_postgres: Postgres):
    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(Postgres.script()), *arguments, "--name", second_postgres.name]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    assert script("status").stdout.strip() == second_postgres.address
    assert script("start").stdout.splitlines()[-1] == second_postgres.address
    execute(second_postgres.address, "CREATE TABLE kept (x int)")
    assert script("stop").returncode == 0
    assert script("status").returncode == 1
    second_postgres.start()
    execute(second_postgres.address, "SELECT * FROM kept")
    if os.geteuid() == 0:
        assert second_postgres.pid_file.stat().st_uid != 0
    assert script("stop", "--delete").returncode == 0
    assert not second_postgres.folder.exists()


# -- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path):
    """A certificate authority: a function that makes certificates, and the file of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])

    def certificate(subject: str, public_key, *, issuer_is_self: bool = False) -> x509.Certificate:
        alternative = x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address(subject))] if "." in subject else []
        )
        return (
            x509.CertificateBuilder()
            .subject_name(
                name if issuer_is_self else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
            )
            .issuer_name(name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer_is_self, path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            .sign(key, SHA256())
        )

    def issue(subject: str) -> tuple[bytes, bytes]:
        own = ec.generate_private_key(ec.SECP256R1())
        return pem(certificate(subject, own.public_key())), pem(own)

    issue.file = tmp_path / "ca.pem"
    issue.file.write_bytes(pem(certificate("authority", key.public_key(), issuer_is_self=True)))
    return issue


def pem(made: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(made, x509.Certificate):
        return made.public_bytes(Encoding.PEM)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def encrypted(second_postgres: Postgres, authority) -> str:
    """The URL of a server that talks TLS only, as 127.0.0.1, and asks for a client's certificate."""
    data = second_postgres.folder / "data"
    owner = data.stat()
    certificate, key = authority("127.0.0.1")
    files = {"server.crt": certificate, "server.key": key, "root.crt": authority.file.read_bytes()}
    for name, content in files.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o600)
        os.chown(data / name, owner.st_uid, owner.st_gid)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n")
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("ssl = on\nssl_ca_file = 'root.crt'\n")
    os.kill(second_postgres.pid, signal.SIGHUP)
    with suppress(ConfigError):  # from now on there is no way in without TLS
        while True:
            with opened(second_postgres.address):
                time.sleep(0.05)
    return second_postgres.address


def test_an_encrypted_connection(encrypted, authority, tmp_path):
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    for file, content in zip((certificate, key), authority("streamguard"), strict=True):
        file.write_bytes(content)
    ours = f"sslcert={certificate}&sslkey={key}"
    trusted = f"sslrootcert={authority.file}"

    with opened(f"{encrypted}?{trusted}&{ours}") as store, store.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()

    with pytest.raises(ConfigError, match="not trusted"), opened(f"{encrypted}?sslmode=verify-full&{ours}"):
        pass
    with pytest.raises(ConfigError, match="does not let this user in"), opened(encrypted):
        pass
    with opened(f"{encrypted}?sslmode=require&{ours}"):
        pass

    elsewhere = changed(encrypted, host="localhost")  # the certificate names the address only
    with pytest.raises(ConfigError, match="another host's"), opened(f"{elsewhere}?{trusted}&{ours}"):
        pass
    with opened(f"{elsewhere}?sslmode=verify-ca&{trusted}&{ours}"):
        pass

    with pytest.raises(ConfigError, match="does not let this user in"), opened(f"{encrypted}?{trusted}"):
        pass  # without a certificate of ours


# -- a socket of this host -------------------------------------------------------------------------------------------


def test_through_a_socket_of_this_host(postgres_url, tmp_path):
    """Here a relay stands for the server's own socket, which scripts/postgres does not open."""
    place = make_url(postgres_url)
    path = tmp_path / ".s.PGSQL.5432"

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                inside, _ = listener.accept()
                with inside, socket.create_connection((place.host, place.port)) as outside:
                    back = threading.Thread(target=pump, args=[outside, inside])
                    back.start()
                    pump(inside, outside)
                    back.join()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        with opened(
            f"postgresql://{place.username}:{place.password}@/{place.database}?host={tmp_path}"
        ) as store:
            assert store.keys.add(ROW)
        listener.shutdown(socket.SHUT_RDWR)
        server.join(10)
    path.unlink()
    with pytest.raises(KeysUnavailableError, match="does not answer"):
        open_store(f"postgresql://me@/guard?host={tmp_path}")
