"""The register, with packages that are really installed: files and metadata in a folder on sys.path."""

import importlib
import sys
from pathlib import Path

import pytest

from streamguard.errors import ConfigError
from streamguard.transforms.base import Field
from streamguard.transforms.register import OWN, register
from tests.unit.transforms.support import KEYS, applied

INITIALS = """
from streamguard.transforms.base import DOMAIN, Options, Transform


class InitialsOptions(Options):
    dot: str = "."


class Initials(Transform[InitialsOptions]):
    verb = "initials"
    Options = InitialsOptions
    takes = frozenset({"string"})

    def apply(self, values, reject):
        out = []
        for index, value in enumerate(values):
            if not isinstance(value, str):
                reject(index, DOMAIN)
                out.append(None)
            else:
                out.append("".join(word[0] + self.options.dot for word in value.split()))
        return out
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module under `tmp_path`, with the entry points given as lines."""
    before = set(sys.modules)

    def install(package: str, source: str, *entry_points: str) -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "INSTALLER").write_text("a test\n")
        (info / "RECORD").write_text(f"{module}.py,,\n")
        (info / "entry_points.txt").write_text("\n".join(["[streamguard.transforms]", *entry_points, ""]))
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        register.cache_clear()

    yield install
    register.cache_clear()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == tmp_path:
            del sys.modules[name]


def test_our_own_verbs_are_there_in_order():
    assert list(register()) == sorted(kind.verb for kind in OWN)
    assert len(register()) == len(OWN) == 13


def test_an_installed_transform_is_found_and_works(install):
    install("their-package", INITIALS, "initials = their_package:Initials")
    verbs = register()
    assert list(verbs) == sorted([*(kind.verb for kind in OWN), "initials"])
    kind = verbs["initials"]
    field = Field("orders", "orders", "name", "orders.name")
    transform = kind(kind.Options.model_validate({"dot": ""}), field, KEYS)
    assert applied(transform, ["Ana Maria Garcia", 5]) == (["AMG", None], [(1, "domain")])
    assert kind.messages["domain"]
    assert transform.check() is None


def refused() -> str:
    with pytest.raises(ConfigError) as caught:
        register()
    assert caught.value.__cause__ is None
    assert caught.value.remedy
    return caught.value.message


def test_no_package_replaces_a_verb_of_ours(install):
    install("their-package", INITIALS.replace('"initials"', '"mask"'), "mask = their_package:Initials")
    message = refused()
    assert "'mask'" in message
    assert "'their-package'" in message
    assert "claims a verb that is taken" in message


def test_no_two_packages_share_a_verb(install):
    install("one-package", INITIALS, "initials = one_package:Initials")
    install("two-package", INITIALS, "initials = two_package:Initials")
    assert "claims a verb that is taken" in refused()


@pytest.mark.parametrize(
    ("source", "entry", "why"),
    [
        ("raise RuntimeError('secret-in-exception')", "initials = their_package:Initials", "cannot be imported"),
        ("raise SystemExit(3)", "initials = their_package:Initials", "cannot be imported"),
        ("import not_there_at_all", "initials = their_package:Initials", "cannot be imported"),
        (INITIALS, "initials = their_package:Missing", "cannot be imported"),
        (INITIALS, "initials = their_package:InitialsOptions", "is not a subclass of Transform"),
        (INITIALS, "initials = their_package:DOMAIN", "is not a subclass of Transform"),
        (INITIALS, "first_letters = their_package:Initials", "another verb than its entry point"),
        (INITIALS, "Initials = their_package:Initials", "has a name that is not a verb"),
        (INITIALS, "keep = their_package:Initials", "has a name that is not a verb"),
        (INITIALS, "element = their_package:Initials", "has a name that is not a verb"),
        (INITIALS.replace("(Options)", ""), "initials = their_package:Initials", "options that are not a subclass"),
        (INITIALS.replace('{"string"}', '{"text"}'), "initials = their_package:Initials", "types that JSON does not"),
        (INITIALS.replace("def apply", "def appply"), "initials = their_package:Initials", "does not define apply"),
    ],
)  # fmt: skip
def test_a_package_that_does_not_fit_is_named_without_its_words(install, source, entry, why):
    install("their-package", source, entry)
    message = refused()
    assert why in message
    assert "'their-package'" in message
    assert "secret-in-exception" not in message
    assert "not_there_at_all" not in message
