"""Master keys where they belong: Vault's Transit on a real OpenBao, AWS KMS on moto's server, PKCS#11 on SoftHSM."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY
from pydantic import TypeAdapter
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms, generate, write_file
from streamguard.crypto.kms.resilient import WITHIN
from streamguard.crypto.kms.wrapped import master_of, pack, unpack
from streamguard.crypto.setup import open_kms
from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.metrics import observe_kms
from streamguard.policy.keys import Keys
from streamguard.store.store import open_store
from tests.key_services import PIN, REGION, Moto, SoftHsm, TlsInFront
from tests.servers import OpenBao, unique

SECRET = bytes(range(100, 132))
LASTS = attrgetter("lasts")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "key-services.md"


@dataclass
class Service:
    """One key service, and a master key in it that nobody else uses."""

    settings: dict[str, Any]
    stop: Callable[[], None]
    start: Callable[[], None]
    new_key: Callable[[], dict[str, Any]]
    name: re.Pattern[str]
    other: dict[str, Any] = field(default_factory=dict)

    def open(self, **changed: Any) -> Kms:
        return open_kms(keys({**self.settings, **changed}))


def keys(settings: dict[str, Any]) -> Keys:
    return TypeAdapter(Keys).validate_python(settings)


@pytest.fixture
def vault(openbao: OpenBao) -> Service:
    mount = unique("transit")
    openbao.ask("post", f"sys/mounts/{mount}", type="transit")

    def new_key() -> dict[str, Any]:
        name = unique("key")
        openbao.ask("post", f"{mount}/keys/{name}")
        return {
            "provider": "vault",
            "address": openbao.address,
            "mount": mount,
            "key": name,
            "token": openbao.token,
        }

    return Service(
        new_key(),
        openbao.stop,
        lambda: openbao.start() and None,
        new_key,
        re.compile(rf"vault:{mount}/key-[0-9a-f]+:v1"),
    )


@pytest.fixture
def aws(moto: Moto) -> Service:
    def new_key() -> dict[str, Any]:
        return {"provider": "aws", "key": moto.new_key(), "endpoint_url": moto.address}

    return Service(
        new_key(),
        moto.suspend,
        moto.resume,
        new_key,
        re.compile(rf"aws:arn:aws:kms:{REGION}:\d+:key/[0-9a-f-]+"),
    )


@pytest.fixture
def pkcs11(softhsm: SoftHsm) -> Service:
    def new_key() -> dict[str, Any]:
        return {
            "provider": "pkcs11",
            "module": softhsm.module,
            "token": softhsm.token,
            "key": softhsm.new_key(unique("key")),
            "pin": PIN,
        }

    return Service(
        new_key(),
        softhsm.take_away,
        softhsm.bring_back,
        new_key,
        re.compile(r"pkcs11:streamguard/key-[0-9a-f]+"),
    )


@pytest.fixture(params=["vault", "aws", "pkcs11"])
def service(request: pytest.FixtureRequest) -> Service:
    return request.getfixturevalue(request.param)


def test_wrapped_keys_unwrap_and_name_their_master_key(service: Service):
    kms = service.open()
    kms.health()
    wrapped = kms.wrap(SECRET)
    assert SECRET not in wrapped
    assert kms.wrap(SECRET) != wrapped
    assert service.name.fullmatch(kms.name)
    assert master_of(wrapped) == kms.name
    assert kms.opens(kms.name)
    # Another process, with nothing in its cache.
    assert service.open().unwrap(wrapped) == SECRET


def test_what_was_damaged_or_is_another_keys_is_refused(service: Service):
    kms, other = service.open(), open_kms(keys(service.new_key()))
    name, ciphertext = unpack(kms.wrap(SECRET))
    edited = ciphertext[:-3] + bytes([ciphertext[-3] ^ 1]) + ciphertext[-2:]
    with pytest.raises(KeysUnavailableError, check=LASTS):
        kms.unwrap(pack(name, edited))
    with pytest.raises(KeysUnavailableError, check=LASTS, match="another master key"):
        other.unwrap(pack(name, ciphertext))
    # A database owner who calls another's key ours gains nothing.
    with pytest.raises(KeysUnavailableError, check=LASTS):
        kms.unwrap(pack(kms.name, unpack(other.wrap(SECRET))[1]))
    with pytest.raises(KeysUnavailableError, match="names no master key"):
        kms.unwrap(b"sgw2\x00")
    assert kms.unwrap(pack(name, ciphertext)) == SECRET


def test_a_keyring_keeps_its_keys_there(service: Service, tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path}/keys.db")
    key = Keyring(store, service.open()).pinned("email")
    again = Keyring(store, service.open())
    assert again.pinned("email") == again.find(key.id) == key
    assert service.name.fullmatch(store.keys.all()[0].master)


def test_a_service_that_is_away_is_noticed_in_time_and_comes_back(service: Service):
    kms = service.open()
    wrapped, kept = kms.wrap(SECRET), kms.wrap(SECRET)
    assert kms.unwrap(kept) == SECRET
    service.stop()
    try:
        for ask in (lambda: kms.wrap(SECRET), lambda: kms.unwrap(wrapped)):
            started = time.monotonic()
            with pytest.raises(KeysUnavailableError) as failure:
                ask()
            assert time.monotonic() - started < WITHIN + 15  # for a busy machine
            assert not failure.value.lasts
        assert kms.unwrap(kept) == SECRET  # for a while it is not missed
    finally:
        service.start()
    assert kms.unwrap(wrapped) == SECRET
    assert kms.unwrap(kms.wrap(SECRET)) == SECRET
    kms.health()


def test_a_master_key_follows_another(service: Service, tmp_path: Path):
    write_file(tmp_path / "old.key", generate())
    old = open_kms(keys({"file": tmp_path / "old.key"}))
    before = [old.wrap(SECRET), service.open().wrap(SECRET)]
    both = open_kms(
        keys({**service.new_key(), "earlier": [service.settings, {"file": tmp_path / "old.key"}]})
    )
    assert [both.unwrap(wrapped) for wrapped in before] == [SECRET, SECRET]
    now = both.wrap(SECRET)
    assert master_of(now) == both.name not in {master_of(wrapped) for wrapped in before}
    assert both.unwrap(now) == SECRET
    with pytest.raises(KeysUnavailableError, check=LASTS, match="'earlier'"):
        both.unwrap(LocalKms([generate()]).wrap(SECRET))


def test_check_online_proves_it(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    file = tmp_path / "service.yaml"
    settings = {name: str(value) for name, value in service.settings.items()}
    for name in {"token", "pin"} & settings.keys() - (
        {"token"} if settings["provider"] == "pkcs11" else set()
    ):
        monkeypatch.setenv("SECRET_OF_THE_TEST", settings[name])
        settings[name] = "${SECRET_OF_THE_TEST}"
    store = f"sqlite:///{tmp_path}/keys.db"
    content = {
        "kafka": {"bootstrap.servers": "127.0.0.1:9"},
        "policies": [str(Path("policies/orders.yaml").absolute())],
        "keys": settings,
        "store": {"url": store},
    }
    file.write_bytes(orjson.dumps(content))
    Keyring(open_store(store), service.open()).pinned("email")

    def check(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check", "-c", str(file), "--online", *options])
        return done.exit_code, done.stdout

    name = service.open().name
    code, text = check()
    assert code == 0, text
    assert f"keys  {name}: wraps and unwraps" in text
    assert f"keys  {name}: unwraps: 1 data key in the store" in text
    assert re.search("ok +store SQLite: answers", text)
    report = orjson.loads(check("--json")[1])
    assert report["ok"]
    assert [(proof["part"], proof["ok"]) for proof in report["online"]] == [
        ("keys", True),
        ("store", True),
        ("keys", True),
    ]

    service.stop()
    try:
        code, text = check("--json")
    finally:
        service.start()
    assert code == 1
    report = orjson.loads(text)
    assert not report["ok"]
    assert [(proof["part"], proof["ok"]) for proof in report["online"]] == [("keys", False), ("store", True)]


# -- Vault -----------------------------------------------------------------------------------------------------------


def policy_of_the_page(mount: str, key: str) -> str:
    (policy,) = re.findall(r"```hcl\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert policy.count("transit/") == policy.count("/streamguard") == 2
    return policy.replace("transit/", f"{mount}/").replace("/streamguard", f"/{key}")


def limited_token(openbao: OpenBao, policy: str, **more: Any) -> str:
    name = unique("policy")
    openbao.ask("post", f"sys/policies/acl/{name}", policy=policy)
    return openbao.ask("post", "auth/token/create", policies=[name], no_default_policy=True, **more)["auth"][
        "client_token"
    ]


def test_vault_needs_the_policy_of_the_page_and_no_more(vault: Service, openbao: OpenBao):
    policy = policy_of_the_page(vault.settings["mount"], vault.settings["key"])
    vault.open(token=limited_token(openbao, policy)).health()
    with pytest.raises(KeysUnavailableError, check=LASTS, match="does not let this token"):
        vault.open(token=limited_token(openbao, 'path "none" {}')).health()
    # Nor does a mistyped name make a new master key.
    with pytest.raises(KeysUnavailableError, check=LASTS):
        vault.open(token=limited_token(openbao, policy), key="mistyped").wrap(SECRET)


def test_vault_rotates_its_key(vault: Service, openbao: OpenBao):
    mount, key = vault.settings["mount"], vault.settings["key"]
    kms = vault.open()
    old = kms.wrap(SECRET)
    openbao.ask("post", f"{mount}/keys/{key}/rotate")
    new = kms.wrap(SECRET)
    assert (master_of(old), master_of(new)) == (f"vault:{mount}/{key}:v1", f"vault:{mount}/{key}:v2")
    assert kms.name == master_of(new)
    assert kms.opens(master_of(old))
    assert kms.unwrap(old) == kms.unwrap(new) == SECRET
    openbao.ask("post", f"{mount}/keys/{key}/config", min_decryption_version=2)
    with pytest.raises(KeysUnavailableError, check=LASTS, match="no longer"):
        vault.open().unwrap(old)


def test_a_token_in_a_file_is_renewed(vault: Service, openbao: OpenBao, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text(limited_token(openbao, 'path "none" {}'))
    file.chmod(0o640)
    kms = open_kms(
        keys(
            {name: value for name, value in vault.settings.items() if name != "token"} | {"token_file": file}
        )
    )
    with pytest.raises(KeysUnavailableError, check=LASTS):
        kms.health()
    file.write_text(openbao.token + "\n")
    kms.health()
    file.unlink()
    with pytest.raises(KeysUnavailableError, match="cannot be read"):
        kms.health()


def test_a_vault_that_hangs_or_is_sealed_does_not_hold_us_up(vault: Service, openbao: OpenBao):
    kms = vault.open()
    os.kill(openbao.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(KeysUnavailableError):
            kms.wrap(SECRET)
        assert time.monotonic() - started < WITHIN + 15
    finally:
        os.kill(openbao.pid, signal.SIGCONT)
    openbao.ask("put", "sys/seal")
    try:
        with pytest.raises(KeysUnavailableError, match="sealed"):
            kms.health()
    finally:
        openbao.stop()
        openbao.start()
    kms.health()


def test_vault_is_reached_by_tls_and_must_be_trusted(vault: Service, openbao: OpenBao, tmp_path: Path):
    with TlsInFront(openbao.address, tmp_path) as tls:
        kms = vault.open(address=tls.address, ca=tls.certificate)
        assert vault.open().unwrap(kms.wrap(SECRET)) == SECRET
        with pytest.raises(KeysUnavailableError, check=LASTS, match="certificate is not trusted"):
            vault.open(address=tls.address).health()


# -- AWS KMS ---------------------------------------------------------------------------------------------------------


def test_aws_binds_data_keys_to_their_purpose(aws: Service, moto: Moto):
    ciphertext = unpack(aws.open().wrap(SECRET))[1]
    client = moto.client()
    with pytest.raises(client.exceptions.InvalidCiphertextException):
        client.decrypt(CiphertextBlob=ciphertext, KeyId=aws.settings["key"])
    context = {"purpose": "streamguard-data-key"}
    answer = client.decrypt(CiphertextBlob=ciphertext, KeyId=aws.settings["key"], EncryptionContext=context)
    assert answer["Plaintext"] == SECRET


def test_aws_keys_are_named_by_id_or_alias_too(aws: Service, moto: Moto):
    arn = aws.settings["key"]
    alias = f"alias/{unique('streamguard')}"
    moto.client().create_alias(AliasName=alias, TargetKeyId=arn)
    wrapped = aws.open().wrap(SECRET)
    for name in (arn.rpartition("/")[2], alias):
        kms = aws.open(key=name, region=REGION)
        assert kms.unwrap(wrapped) == SECRET
        assert kms.name == f"aws:{arn}"
        assert aws.open().unwrap(kms.wrap(SECRET)) == SECRET


def test_a_key_that_aws_does_not_have_is_missed(aws: Service):
    with pytest.raises(KeysUnavailableError, check=LASTS, match="no such key"):
        aws.open(key=aws.settings["key"][:-4] + "0000").wrap(SECRET)


def test_requests_are_counted_where_people_look(aws: Service):
    def count(operation: str, outcome: str) -> float:
        labels = {"provider": "aws", "operation": operation, "outcome": outcome}
        return REGISTRY.get_sample_value("streamguard_kms_seconds_count", labels) or 0.0

    questions = [("wrap", "ok"), ("unwrap", "ok"), ("unwrap", "cached")]
    before = [count(*question) for question in questions]
    kms = open_kms(keys(aws.settings), observe_kms)
    wrapped = kms.wrap(SECRET)
    assert [kms.unwrap(wrapped) for _ in range(3)] == [SECRET] * 3
    counted = [count(*question) for question in questions]
    assert [now - then for now, then in zip(counted, before, strict=True)] == [1, 1, 2]


def test_aws_needs_a_region(aws: Service, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="region"):
        aws.open(key="alias/streamguard")


# -- PKCS#11 ---------------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_not_tried_again(pkcs11: Service, softhsm: SoftHsm):
    # A token of its own: the other is logged in already, by whoever came before.
    softhsm.new_token("guarded")
    kms = pkcs11.open(token="guarded", pin="0000")
    for _ in range(20):
        with pytest.raises(KeysUnavailableError, check=LASTS, match="PIN"):
            kms.wrap(SECRET)
    softhsm.new_key("one", token="guarded")  # which needs the right PIN: it is not locked
    pkcs11.open(token="guarded", key="one").health()


def test_a_key_that_the_hsm_does_not_have_is_missed(pkcs11: Service):
    with pytest.raises(KeysUnavailableError, check=LASTS, match="no AES key"):
        pkcs11.open(key="none").wrap(SECRET)


def test_threads_share_the_hsm(pkcs11: Service):
    kms = pkcs11.open()
    wrapped = [kms.wrap(bytes([number]) * 32) for number in range(8)]
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda w=w: found.append(kms.unwrap(w))) for w in wrapped]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [bytes([number]) * 32 for number in range(8)]
