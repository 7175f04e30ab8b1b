"""Key services for tests: AWS KMS as moto's server speaks it, and an HSM in software."""

import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers import MissingPart, free_ports

REGION = "eu-central-1"
PIN = "4711"


class Moto:
    """moto's server. It forgets its keys when it ends, so an outage is one that does not answer: `suspend`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.address = f"http://127.0.0.1:{port}"

    @classmethod
    def start(cls) -> "Moto":
        (port,) = free_ports(1)
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return cls(process, port)
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    raise
                time.sleep(0.1)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def client(self):
        """AWS's own client for it."""
        import boto3

        return boto3.client("kms", region_name=REGION, endpoint_url=self.address)

    def new_key(self) -> str:
        """A symmetric key's ARN."""
        return self.client().create_key()["KeyMetadata"]["Arn"]


class TlsInFront:
    """An address beside a server's, at which it is reached by TLS: with a certificate of its own for 127.0.0.1."""

    def __init__(self, address: str, folder: Path) -> None:
        self.certificate = folder / "certificate.pem"
        host, _, port = address.removeprefix("http://").partition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certify(), self.certificate.with_name("key.pem"))

        class Forward(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    suppress(OSError),  # a client who does not trust us leaves
                    context.wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection((host, int(port))) as server,
                ):
                    back = threading.Thread(target=copy, args=(server, client))
                    back.start()
                    copy(client, server)
                    back.join()

        def copy(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward)
        self._server.daemon_threads = True
        self.address = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _certify(self) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.certificate.with_name("key.pem").write_bytes(secret)
        return self.certificate


_NEW_KEY = """
import sys, pkcs11
module, token, label, pin = sys.argv[1:]
with pkcs11.lib(module).get_token(token_label=token).open(rw=True, user_pin=pin) as session:
    session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True)
"""


@dataclass
class SoftHsm:
    """SoftHSM's library with one token, whose folder can be taken away."""

    module: Path
    settings: Path
    tokens: Path
    token: str = "streamguard"

    @classmethod
    def make(cls, folder: Path) -> "SoftHsm":
        modules = sorted(Path("/usr").glob("l*/**/softhsm/libsofthsm2.so"))
        if not modules or shutil.which("softhsm2-util") is None:
            raise MissingPart(
                "SoftHSM is needed. Debian, Ubuntu: apt-get install softhsm2; macOS: brew install softhsm"
            )
        hsm = cls(modules[0], folder / "softhsm2.conf", folder / "tokens")
        hsm.tokens.mkdir()
        hsm.settings.write_text(f"directories.tokendir = {hsm.tokens}\nlog.level = ERROR\n")
        hsm.new_token(hsm.token)
        return hsm

    def new_token(self, label: str) -> None:
        """One more token, with the same PIN."""
        pins = ("--pin", PIN, "--so-pin", "12345678")
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, *pins)

    def new_key(self, label: str, *, token: str | None = None) -> str:
        """An AES key of this label, made by another process, as an HSM's tools do it."""
        self._run(sys.executable, "-c", _NEW_KEY, str(self.module), token or self.token, label, PIN)
        return label

    def take_away(self) -> None:
        self.tokens.rename(self.tokens.with_name("away"))

    def bring_back(self) -> None:
        self.tokens.with_name("away").rename(self.tokens)

    def _run(self, *command: str) -> None:
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.settings)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
