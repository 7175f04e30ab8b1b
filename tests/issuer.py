"""A token issuer with real keys: an HTTP server with a JWK Set and a discovery document."""

import base64
import hmac
import json
import threading
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "streamguard"


@cache
def private_key(name: str):
    """A key by its name, which begins with its kind: made once per run, for RSA takes its time."""
    if name.startswith("rsa-weak"):
        return rsa.generate_private_key(65537, 1024)  # noqa: S505 - one that nobody may take
    if name.startswith("rsa"):
        return rsa.generate_private_key(65537, 2048)
    return (
        ed25519.Ed25519PrivateKey.generate()
        if name.startswith("ed")
        else ec.generate_private_key(ec.SECP256R1())
    )


def algorithm_of(name: str) -> str:
    return "RS256" if name.startswith("rsa") else "EdDSA" if name.startswith("ed") else "ES256"


def jwk(name: str) -> dict:
    """The public half, as a set has it."""
    kind = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm_of(name)]
    return {**json.loads(kind.to_jwk(private_key(name).public_key())), "kid": name, "use": "sig"}


class Issuer:
    """The server, while it runs. `asked` is how often each address was fetched."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published = ["rsa-1", "ec-1"]
        self.more: list[dict] = []
        self.away = False
        self.asked: dict[str, int] = {}

    @property
    def jwks(self) -> str:
        return f"{self.url}/keys"

    def documents(self) -> dict:
        return {
            "/keys": {"keys": [*map(jwk, self.published), *self.more]},
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": self.jwks},
        }

    def claims(self, **changed) -> dict:
        """What a good token says; a claim that is changed to None is left out."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ana",
            "iat": now,
            "exp": now + 300,
            "roles": ["support"],
        }
        every = {**good, **changed}
        return {name: value for name, value in every.items() if value is not None}

    def token(
        self, key: str = "rsa-1", *, kid: str | None = None, algorithm: str | None = None, **changed
    ) -> str:
        """A token, good unless something is changed."""
        return jwt.encode(
            self.claims(**changed),
            private_key(key),
            algorithm or algorithm_of(key),
            headers={"kid": kid or key},
        )

    def unsigned(self, **changed) -> str:
        """The algorithm 'none'."""
        return jwt.encode(self.claims(**changed), None, "none", headers={"kid": "rsa-1"})

    def confused(self, key: str = "rsa-1") -> str:
        """HS256, 'signed' with the public key that everybody can fetch."""
        secret = private_key(key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head, body = (_part(part) for part in ({"alg": "HS256", "typ": "JWT", "kid": key}, self.claims()))
        return f"{head}.{body}.{_url(hmac.digest(secret, f'{head}.{body}'.encode(), 'sha256'))}"


def _part(document: dict) -> str:
    return _url(json.dumps(document).encode())


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def running_issuer():
    """An issuer on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            issuer.asked[self.path] = issuer.asked.get(self.path, 0) + 1
            document = None if issuer.away else issuer.documents().get(self.path)
            self.send_response(503 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield issuer
    server.shutdown()
    server.server_close()
    thread.join()
