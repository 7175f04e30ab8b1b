"""What scripts/kafka and scripts/registry say when they cannot help: no server is started here."""

import os
import subprocess
import sys

import pytest

from tests.servers import Broker, Registry


@pytest.fixture(params=[Broker, Registry], ids=lambda server: server.kind)
def run(request):
    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, str(request.param.script()), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_without_java_it_names_what_to_install(run, tmp_path):
    done = run("start", "--name", "never-started", PATH=str(tmp_path), JAVA_HOME="")

    assert done.returncode == 69
    assert done.stdout == ""
    assert "Java 17" in done.stderr
    assert "apt-get install" in done.stderr


def test_a_java_that_is_too_old_is_named(run, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)

    done = run("start", "--name", "never-started", PATH=f"{tmp_path}:/usr/bin:/bin", JAVA_HOME="")

    assert done.returncode == 69
    assert "found version 11" in done.stderr


def test_status_of_a_server_that_never_ran(run):
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
    ],
)
def test_wrong_use_is_exit_code_2(run, arguments):
    assert run(*arguments).returncode == 2


@pytest.mark.parametrize(("server", "name"), [(Broker, "jars"), (Registry, "program")])
def test_what_was_downloaded_is_no_server(server, name):
    done = subprocess.run(
        [sys.executable, str(server.script()), "stop", "--name", name], capture_output=True, check=False
    )
    assert done.returncode == 2
