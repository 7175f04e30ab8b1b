"""docs/transforms.md says what is true: its examples, its fragments and its sample package are run."""

import importlib.util
import json
import re
import sys
import tomllib
from io import StringIO
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streamguard.policy.models import Rule
from streamguard.transforms.base import DROP, Field, Transform
from streamguard.transforms.register import OWN, register
from tests.unit.transforms.support import KEYS, applied, compiled

PAGE = (Path(__file__).parents[3] / "docs" / "transforms.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLE = re.compile(
    r"^\| `([^|]+)` \| `([^|]+)` \| (?:`([^|]+)`|violation `([\w.]+)`|nothing) \|$", re.MULTILINE
)
EXAMPLES = [
    (verb, *found) for verb, text in SECTIONS.items() for found in EXAMPLE.findall(text.replace("\\|", "¦"))
]


def yaml(text: str):
    return YAML(typ="safe", pure=True).load(StringIO(text))


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.verb)
def test_every_verb_has_a_section_with_its_options_and_examples(kind):
    section = SECTIONS[kind.verb]
    for part in ("**When:**", "**Limits", "protect against"):
        assert part in section
    documented = set(re.findall(r"^\| `(\w+)`(?: \(default\))? \|", section, re.MULTILINE))
    assert set(kind.Options.model_fields) - {"output"} <= documented
    assert [verb for verb, *_ in EXAMPLES if verb == kind.verb]


def test_the_table_of_verbs_is_that_of_the_code():
    rows = re.findall(
        r"^\| \[`(\w+)`\]\(#\1\) \| .* \| (yes|no) \| (yes|on request) \| .* \|$", PAGE, re.MULTILINE
    )
    assert {verb: (again == "yes", steady == "yes") for verb, again, steady in rows} == {
        kind.verb: (kind.reversible, kind.deterministic) for kind in OWN
    }


@pytest.mark.parametrize(("verb", "rule", "value", "output", "violation"), EXAMPLES)
def test_an_example_is_true(verb, rule, value, output, violation):
    written = Rule.model_validate(yaml(rule))
    assert written.verb == verb
    column, rejected = applied(compiled(verb, written.options), [json.loads(value)])
    if violation:
        assert [f"transform.{verb}.{code}" for _, code in rejected] == [violation]
    elif not output:
        assert column == [DROP]
    elif "…" in output:
        pattern = re.escape(json.loads(output)).replace("…", ".+")
        assert re.fullmatch(pattern, column[0])
    else:
        assert (json.dumps(column[0]), rejected) == (json.dumps(json.loads(output)), [])


def test_no_example_was_overlooked():
    assert len(EXAMPLES) == len(
        re.findall(r"^\| `.*` \| `.*` \| (?:`.*`|violation .*|nothing) \|$", PAGE, re.MULTILINE)
    )
    assert len(EXAMPLES) > 40


def test_fragments_are_rules_that_build():
    fragments = fenced("yaml fragment")
    assert fragments
    for fragment in fragments:
        for rule in yaml(fragment)["fields"].values():
            written = Rule.model_validate(rule)
            assert isinstance(compiled(written.verb, written.options), Transform)


def test_the_sample_package_works(tmp_path, monkeypatch):
    (project,), (source,) = fenced("toml"), fenced("python")
    ((verb, target),) = tomllib.loads(project)["project"]["entry-points"]["streamguard.transforms"].items()
    module, name = target.split(":")
    package = tmp_path / module.split(".")[0]
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / (module.replace(".", "/") + ".py")).write_text(source)
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[streamguard.transforms]\n{verb} = {target}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    register.cache_clear()
    try:
        kind = register()[verb]
    finally:
        register.cache_clear()
        for imported in (module, module.split(".")[0]):
            sys.modules.pop(imported, None)
    assert kind.__name__ == name
    transform = kind(kind.Options(), Field("orders", "orders", "x", "orders.x"), KEYS)
    assert applied(transform, ["Ana Garcia", 1]) == (["A.G.", None], [(1, "domain")])


def test_planned_verbs_are_not_there_yet():
    planned = re.findall(r"^- `(\w+)`: .*Planned\.$", PAGE, re.MULTILINE)
    assert planned == ["noise", "scrub"]
    assert not set(planned) & set(register())
    assert not [verb for verb in planned if importlib.util.find_spec(f"streamguard.transforms.{verb}")]
