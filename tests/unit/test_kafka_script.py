"""What scripts/kafka says when it cannot help: no broker is started here."""

import os
import subprocess
import sys

import pytest

from tests.servers import Broker

SCRIPT = Broker.script()


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_java_it_names_what_to_install(tmp_path):
    done = run("start", "--name", "never-started", PATH=str(tmp_path), JAVA_HOME="")

    assert done.returncode == 69
    assert done.stdout == ""
    assert "Java 17" in done.stderr
    assert "apt-get install" in done.stderr


def test_a_java_that_is_too_old_is_named(tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)

    done = run("start", "--name", "never-started", PATH=f"{tmp_path}:/usr/bin:/bin", JAVA_HOME="")

    assert done.returncode == 69
    assert "found version 11" in done.stderr


def test_status_of_a_broker_that_never_ran():
    done = run("status", "--name", "never-started")

    assert done.returncode == 1
    assert "not running" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("restart",),
        ("start", "--delete"),
        ("stop", "--name", "../elsewhere"),
        ("stop", "--name", "jars"),
    ],
)
def test_wrong_use_is_exit_code_2(arguments):
    assert run(*arguments).returncode == 2
