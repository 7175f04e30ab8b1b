"""The service file, read from text, and what is wrong with one."""

from pathlib import Path

import pytest

from streamguard.policy.problems import Problem, ProblemsError
from streamguard.policy.service import Service, load_service


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str, **environment: str) -> Service:
        path = tmp_path / "streamguard.yaml"
        path.write_text(text)
        return load_service(path, environment)

    return load


@pytest.fixture
def problems_of(load):
    def problems_of(text: str, **environment: str) -> list[Problem]:
        with pytest.raises(ProblemsError) as caught:
            load(text, **environment)
        return list(caught.value.problems)

    return problems_of
