"""Master keys in AWS KMS: symmetric keys, ``Encrypt`` and ``Decrypt`` (AWS KMS API Reference).

Credentials come from where AWS's own tools find them (environment, profile, the role of the pod or of the machine).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamguard.crypto.kms.base import RemoteKms
from streamguard.crypto.kms.refused import refused
from streamguard.errors import ConfigError, KeysUnavailableError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
except ModuleNotFoundError:
    raise ConfigError(
        "Master keys in AWS KMS need a package that is not installed.", "Run: pip install 'streamguard[aws]'"
    ) from None

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

CONTEXT: Final = {"purpose": "streamguard-data-key"}
"""The encryption context: authenticated, in CloudTrail, and something that key policies can ask for. Permanent."""

_ARN: Final = re.compile(r"(arn:[a-z0-9-]+:kms):([a-z0-9-]+):([0-9]{12}):key/([A-Za-z0-9-]+)")
_REFUSALS: Final = {
    "AccessDeniedException": "AWS does not let these credentials use the key.",
    "DisabledException": "The key is disabled in AWS KMS.",
    "IncorrectKeyException": "A data key was wrapped by another key than the one that is configured.",
    "InvalidCiphertextException": "A data key in the store is damaged, or is not this key's.",
    "InvalidKeyUsageException": "The key is not one for symmetric encryption.",
    "KMSInvalidStateException": "The key cannot be used: it waits for its deletion, or its material is gone.",
    "NotFoundException": "There is no such key in this AWS account and region.",
    "ExpiredTokenException": "The AWS credentials have expired.",
    "InvalidSignatureException": "AWS does not accept these credentials.",
    "UnrecognizedClientException": "AWS does not accept these credentials.",
    "InvalidClientTokenId": "AWS does not accept these credentials.",
    "ValidationException": "AWS KMS does not take the key's id for one.",
}


class AwsKms(RemoteKms):
    """One key, named by its ARN, its id, or an alias; only that key unwraps."""

    def __init__(self, key: str, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        found = _ARN.fullmatch(key)
        self._key = key
        self._arn = key if found else None
        # Attempts are counted above (streamguard.crypto.kms.resilient): here each is made once, and is short.
        config = Config(
            connect_timeout=1, read_timeout=1.5, retries={"total_max_attempts": 1}, max_pool_connections=16
        )
        try:
            self._client: KMSClient = boto3.client(
                "kms",
                region_name=region or (found[2] if found else None),
                endpoint_url=endpoint_url,
                config=config,
            )
        except NoRegionError:
            raise ConfigError(
                "No AWS region is given.", "Write 'region' below 'keys', or set AWS_REGION."
            ) from None
        except (BotoCoreError, ValueError):
            raise ConfigError(
                "The settings for AWS do not fit together.",
                "Check 'region' and 'endpoint_url', and AWS's own files.",
            ) from None

    def opens(self, master: str) -> bool:
        found, own = _ARN.fullmatch(master.removeprefix("aws:")), _ARN.fullmatch(self._arn or "")
        if found is None or not master.startswith("aws:"):
            return False
        if own is not None:
            return _identity(found) == _identity(own)
        # By an id that is not resolved yet; an alias can mean any key, and AWS is told that it must be this one.
        return self._key.startswith("alias/") or ":alias/" in self._key or found[4] == self._key

    def _encrypt(self, secret: bytes) -> tuple[str, bytes]:
        with _answering():
            answer = self._client.encrypt(KeyId=self._key, Plaintext=secret, EncryptionContext=CONTEXT)
        self._arn = answer["KeyId"]
        return f"aws:{self._arn}", answer["CiphertextBlob"]

    def _decrypt(self, ciphertext: bytes) -> bytes:
        with _answering():
            answer = self._client.decrypt(
                KeyId=self._key, CiphertextBlob=ciphertext, EncryptionContext=CONTEXT
            )
        return answer["Plaintext"]


def _identity(arn: re.Match[str]) -> tuple[str, ...]:
    """What two names of one key have in common; the replicas of a multi-Region key are one."""
    return (arn[3], arn[4]) if arn[4].startswith("mrk-") else (arn[2], arn[3], arn[4])


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what the library raises into our own."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSALS:
            raise refused(_REFUSALS[code], "See docs/keys.md for what AWS KMS must allow.") from None
        raise _away() from None
    except NoCredentialsError:
        raise refused("No AWS credentials were found.", "Give the process a role, or AWS_PROFILE.") from None
    except (BotoCoreError, OSError):
        raise _away() from None


def _away() -> KeysUnavailableError:
    return KeysUnavailableError("AWS KMS does not answer.", "See that it can be reached from here.")
