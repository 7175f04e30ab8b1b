"""Key services for tests: AWS KMS as moto's server speaks it, and an HSM in software."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.servers import MissingPart

REGION = "eu-central-1"
PIN = "4711"


class Moto:
    """moto's server. It forgets its keys when it ends, so an outage is one that does not answer: `suspend`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.address = f"http://127.0.0.1:{port}"

    @classmethod
    def start(cls) -> "Moto":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
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
