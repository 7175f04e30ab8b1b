"""A real broker that asks for TLS and a password, beside those of scripts/kafka, whose jars it uses."""

import datetime as dt
import ipaddress
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import ROOT, free_ports

JARS = ROOT / ".cache" / "kafka" / "jars"
USER, PASSWORD = "streamguard", "correct horse"


class SecureBroker:
    """One broker with a SASL_SSL listener (PLAIN and SCRAM-SHA-512) and a plain one to prepare things through.

    `folder` takes its data. `authority` is the certificate that clients trust; its host is 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "ca.pem"
        plain, secure, controller = free_ports(3)
        self.plain = f"127.0.0.1:{plain}"
        self.secure = f"127.0.0.1:{secure}"
        self._settings = folder / "server.properties"
        self._write(controller)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        storage = ("kafka.tools.StorageTool", "format", "--cluster-id", "c2VjdXJlLWJyb2tlci1pZA")
        subprocess.run(
            [*self._java("128m"), *storage, "--config", self._settings], check=True, capture_output=True
        )
        with (self.folder / "broker.log").open("wb") as log:
            command = [*self._java("512m"), "kafka.Kafka", self._settings]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self._add_user()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
        """Properties of a client that the broker lets in, unless the password is another."""
        return {
            "bootstrap.servers": self.secure,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
            "ssl.ca.location": str(self.authority),
        }

    @staticmethod
    def _java(memory: str) -> list[str]:
        java = shutil.which("java")
        assert java
        return [java, f"-Xmx{memory}", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*"]

    def _write(self, controller: int) -> None:
        chain = self.folder / "chain.pem"
        chain.write_bytes(self._certify())
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        self._settings.write_text(f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{self.plain},SASL_SSL://{self.secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{self.plain},SASL_SSL://{self.secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_{USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;
ssl.keystore.type=PEM
ssl.keystore.location={chain}
log.dirs={self.folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
""")

    def _certify(self) -> bytes:
        """Key and certificate of 127.0.0.1, signed by itself; the certificate alone goes to the clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        public = certificate.public_bytes(serialization.Encoding.PEM)
        self.authority.write_bytes(public)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + public

    def _add_user(self) -> None:
        """The user for SCRAM; done as soon as the broker answers."""
        admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
        deadline = time.monotonic() + 60
        while True:
            try:
                admin.alter_user_scram_credentials([user], request_timeout=5)[USER].result(10)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return
