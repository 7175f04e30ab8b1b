"""docker-compose.yml, the Dockerfile and deploy/: what they mount exists, what they run is a real command.

There is no container engine where most tests run; what can be known without one is held here.
"""

import re
import shlex
import shutil
from pathlib import Path, PurePosixPath

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from streamguard.cli import app
from streamguard.policy.loader import load_policy
from streamguard.policy.service import load_service

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def mounts(service):
    """Pairs of what is mounted and where."""
    return [tuple(entry.split(":")[:2]) for entry in SERVICES[service].get("volumes", [])]


def folders_mounted(service):
    return [target for source, target in mounts(service) if not source.startswith(".")]


def instruction(word):
    """The arguments of the last such instruction of the Dockerfile, read as the engine reads them."""
    (*_, last) = re.findall(rf"^{word} (.*)$", DOCKERFILE, re.MULTILINE)
    return YAML(typ="safe").load(last) if last.startswith("[") else last


def parse(words):
    """Let the real command line read these words; raises click.UsageError when it would."""
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands"), f"no such command: {words}"
    return command.make_context("streamguard", words)


@pytest.fixture
def container(tmp_path):
    """The folder /etc/streamguard as the streamguard container sees it."""
    for source, target in mounts("streamguard"):
        if source.startswith("."):
            place = tmp_path / PurePosixPath(target).relative_to("/etc/streamguard")
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, place)
    return tmp_path


@pytest.fixture
def service(container):
    return load_service(container / "streamguard.yaml", SERVICES["streamguard"]["environment"])


def test_everything_mounted_from_here_exists():
    for name in SERVICES:
        for source, _target in mounts(name):
            assert source in COMPOSE["volumes"] or (source.startswith("./") and (ROOT / source).exists()), (
                source
            )


def test_the_service_file_loads_in_the_container(service):
    assert service.kafka["bootstrap.servers"] == SERVICES["streamguard"]["environment"]["KAFKA_BOOTSTRAP"]


def test_keys_and_store_are_on_volumes_that_outlive_the_container(service):
    kept = folders_mounted("streamguard")

    assert str(service.keys.file.parent) in kept
    assert any(f"sqlite:///{folder}/" in service.store.url.get_secret_value() for folder in kept)


def test_the_keys_volume_is_read_only_for_the_service():
    (keys,) = [entry for entry in SERVICES["streamguard"]["volumes"] if entry.startswith("keys:")]

    assert keys.endswith(":ro")


def test_the_image_makes_each_volumes_folder_with_its_own_user_as_owner():
    user = instruction("USER").split(":")[0]
    (made,) = re.findall(r"install --directory (.*?)\n", DOCKERFILE)

    assert user not in {"0", "root"}
    assert f"--owner={user}" in made
    for folder in {*folders_mounted("streamguard"), *folders_mounted("keys")}:
        assert folder in made.split()


def test_the_policies_load_and_the_topic_they_consume_is_created(service):
    created = [word.removeprefix("--topic=") for word in SERVICES["topics"]["command"] if "--topic=" in word]

    policies = [load_policy(path).policy for path in service.policy_files()]

    assert [policy.topic for policy in policies] == created


def test_the_port_is_published_and_asked_for_its_health(service):
    (published,) = SERVICES["streamguard"]["ports"]
    asked = SERVICES["streamguard"]["healthcheck"]["test"]

    assert published.split(":")[-1] == str(service.web.port)
    assert f":{service.web.port}/health/ready" in asked[-1]
    assert asked[:3] == ["CMD", "python", "-c"]
    compile(asked[-1], "healthcheck", "exec")


def test_the_image_starts_the_service_with_the_mounted_file(container):
    words = [word.replace("/etc/streamguard", str(container)) for word in instruction("CMD")]

    assert instruction("ENTRYPOINT") == ["streamguard"]
    assert "/etc/streamguard/streamguard.yaml" in [target for _source, target in mounts("streamguard")]
    assert parse(words).command.name == "run"


def test_the_keys_container_makes_the_key_file_that_the_service_reads(service):
    (script,) = SERVICES["keys"]["command"]
    test, init = script.split(" || ")
    program, *words = shlex.split(init)

    assert shlex.split(test) == ["test", "-e", str(service.keys.file)]
    assert program == "streamguard"
    assert parse(words).command.name == "init"
    assert str(service.keys.file) in words


def test_one_shots_end_before_the_service_starts():
    waits_for = SERVICES["streamguard"]["depends_on"]

    assert {name: entry["condition"] for name, entry in waits_for.items()} == {
        "keys": "service_completed_successfully",
        "topics": "service_completed_successfully",
    }


def test_the_broker_is_the_one_that_the_tests_run_against():
    (version,) = re.findall(
        "<kafka.version>(.*)</kafka.version>", (ROOT / "scripts/kafka.pom.xml").read_text()
    )

    assert {SERVICES[name]["image"] for name in ("kafka", "topics")} == {f"apache/kafka:{version}"}


def test_what_the_image_copies_exists_and_is_sent_to_the_engine():
    sent = [
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    copied = [
        source
        for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in words.split()[:-1]
    ]

    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert PurePosixPath(source).parts[0] in sent, source
