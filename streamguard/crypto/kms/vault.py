"""Master keys in the Transit engine of HashiCorp Vault or OpenBao.

The master key never leaves the server; data keys are sent there to be encrypted and decrypted (API: Transit secrets
engine, ``encrypt/:name`` and ``decrypt/:name``). Rotating the key in Vault gives it a new version: new data keys are
wrapped by the newest, and all versions down to ``min_decryption_version`` unwrap.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from streamguard.crypto.kms.base import RemoteKms
from streamguard.crypto.kms.refused import refused
from streamguard.errors import ConfigError, KeysUnavailableError

try:
    import hvac
    import requests
    from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, Unauthorized, VaultDown, VaultError
    from requests.adapters import HTTPAdapter
except ModuleNotFoundError:
    raise ConfigError(
        "Master keys in Vault need a package that is not installed.", "Run: pip install 'streamguard[vault]'"
    ) from None

_SECONDS: Final = (1.0, 1.5)  # to connect, and for each piece of the answer
_CIPHERTEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,9}):[A-Za-z0-9+/=]+")


class VaultKms(RemoteKms):
    """One key of one Transit engine. `token` is asked before every request, so that a renewed one is used at once."""

    def __init__(
        self,
        address: str,
        key: str,
        token: Callable[[], str],
        *,
        mount: str = "transit",
        ca: Path | None = None,
        namespace: str | None = None,
    ) -> None:
        self._address = address
        self._key = key
        self._token = token
        self._mount = mount
        self._namespace = namespace
        self._session = requests.Session()
        self._session.mount(address, HTTPAdapter(pool_maxsize=16))
        self._session.verify = True if ca is None else str(ca)

    def opens(self, master: str) -> bool:
        return master.rpartition(":v")[0] == self._series

    def _encrypt(self, secret: bytes) -> tuple[str, bytes]:
        plaintext = b64encode(secret).decode()
        answer = self._ask("encrypt_data", plaintext=plaintext)
        ciphertext = str(answer.get("ciphertext", ""))
        found = _CIPHERTEXT.fullmatch(ciphertext)
        if found is None:
            raise _not_vault()
        return f"{self._series}:v{found[1]}", ciphertext.encode()

    def _decrypt(self, ciphertext: bytes) -> bytes:
        answer = self._ask("decrypt_data", ciphertext=ciphertext.decode("ascii", errors="replace"))
        try:
            return b64decode(answer["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise _not_vault() from None

    @property
    def _series(self) -> str:
        """The name of the key without its version."""
        return f"vault:{self._mount}/{self._key}"

    def _ask(self, operation: str, **arguments: str) -> dict[str, Any]:
        client = hvac.Client(
            self._address,
            self._token(),
            timeout=_SECONDS,
            namespace=self._namespace,
            session=self._session,
            allow_redirects=False,  # a standby answers for its leader; a token is not sent elsewhere
        )
        ask = getattr(client.secrets.transit, operation)
        try:
            answer = ask(self._key, mount_point=self._mount, **arguments)
            data = answer["data"]
        except (Forbidden, Unauthorized):
            raise refused(
                f"Vault does not let this token use the key {self._series}, or the token has expired.",
                "See docs/keys.md for the policy that the token needs.",
            ) from None
        except (InvalidRequest, InvalidPath):
            raise refused(
                f"Vault refuses: there is no key {self._series}, or it did not wrap this data key, or it no longer"
                " opens that version.",
                "Compare 'mount' and 'key' with Vault, and the key's min_decryption_version with what `streamguard"
                " keys list --json` names.",
            ) from None
        except VaultDown:
            raise KeysUnavailableError("Vault is sealed, or a standby.", "Unseal it.") from None
        except requests.exceptions.SSLError:
            raise refused(
                "Vault's certificate is not trusted.", "Name its authority's certificate in 'ca'."
            ) from None
        except (VaultError, requests.exceptions.RequestException):
            raise KeysUnavailableError(
                "Vault does not answer.", "See that it runs and can be reached."
            ) from None
        except (KeyError, TypeError, ValueError):
            raise _not_vault() from None
        if not isinstance(data, dict):
            raise _not_vault()
        return data


def _not_vault() -> KeysUnavailableError:
    return KeysUnavailableError(
        "What answers at Vault's address is not Vault's Transit engine.", "Check 'address' and 'mount'."
    )
