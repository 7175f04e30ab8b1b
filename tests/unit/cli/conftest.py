"""Commands as people run them: in this process by their entry point, or in a shell."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from streamguard.cli import main
from tests.shell import in_bash


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command's own entry point in this process, in the folder `here`, with nothing of it on a terminal."""
    monkeypatch.chdir(here)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["streamguard", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def shell(tmp_path: Path):
    """Runs lines of a page in bash, which has to like each, and gives what they printed."""
    return partial(in_bash, folder=tmp_path)
