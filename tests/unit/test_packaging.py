"""The project as it is packaged: versions agree, and everything installed is pinned by hash."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import streamguard

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["uv", "build", "runtime", "dev", "bench"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement):
    return normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0])


def blocks(lock):
    """Each requirement of a lock with the lines that belong to it."""
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    return re.findall(
        r"^\S.*(?:\n .*)*", "\n".join(line for line in lines if not line.startswith("#")), re.MULTILINE
    )


def pins(lock):
    """What a lock pins: `name==version`, with the marker that it is for."""
    return {normal(block.split("\n")[0].rstrip(" \\")) for block in blocks(lock)}


def names(lock):
    return {name_of(block) for block in blocks(lock)}


def test_the_version_is_said_the_same_everywhere():
    assert PYPROJECT["project"]["version"] == streamguard.__version__ == metadata.version("streamguard")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_its_hashes(lock):
    assert blocks(lock)
    for block in blocks(lock):
        assert re.match(r"[a-z0-9-]+==\S+", block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


@pytest.mark.parametrize("lock", LOCKS)
def test_no_list_names_where_packages_come_from(lock):
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()

    assert "://" not in text
    assert "index-url" not in text


def test_what_is_tested_is_what_is_deployed():
    assert pins("runtime") <= pins("dev")
    assert pins("build") <= pins("dev")


@pytest.mark.parametrize(
    ("lock", "asked_for"),
    [
        ("runtime", PYPROJECT["project"]["dependencies"]),
        ("build", PYPROJECT["dependency-groups"]["build"]),
        ("dev", [entry for entry in PYPROJECT["dependency-groups"]["dev"] if isinstance(entry, str)]),
        ("bench", [entry for entry in PYPROJECT["dependency-groups"]["bench"] if isinstance(entry, str)]),
        *(("runtime", extra) for extra in PYPROJECT["project"].get("optional-dependencies", {}).values()),
    ],
)
def test_each_dependency_is_in_its_list(lock, asked_for):
    assert {name_of(requirement) for requirement in asked_for} <= names(lock)


def test_the_build_backend_is_locked():
    assert {name_of(requirement) for requirement in PYPROJECT["build-system"]["requires"]} <= names("build")


def test_type_checkers_find_our_types():
    assert (Path(streamguard.__file__).parent / "py.typed").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What people install, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_wheel_holds_every_file_of_the_package(wheel):
    package = Path(streamguard.__file__).parent
    ours = {file.relative_to(package) for file in package.rglob("*") if file.is_file()}
    packed = {file.relative_to(wheel / "streamguard") for file in (wheel / "streamguard").rglob("*")}
    assert {file for file in ours if file.suffix != ".pyc"} <= packed


def test_the_wheel_upgrades_a_store(wheel, tmp_path):
    script = """
import sys
from streamguard.store import migrate
from streamguard.store.store import open_database, open_store
database = open_database(sys.argv[1], create=True)
with database.alone("tables") as connection:
    migrate._migrate(connection, "0001")
open_store(sys.argv[1]).health()
print(migrate.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/keys.db"],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(wheel))
