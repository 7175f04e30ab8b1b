"""docs/policy.md: every example works, and every table is complete."""

import re
from pathlib import Path
from typing import get_args

import pytest

from streamguard.guard.check import check
from streamguard.guard.clean import Clean
from streamguard.guard.matchers import MATCHERS
from streamguard.guard.policytest import run_tests
from streamguard.guard.quality import compile_rule
from streamguard.policy.document import Document
from streamguard.policy.loader import load_policy
from streamguard.policy.models import STEPS_WITH_VALUE, Policy, RegistryUse, TextStep, Value
from streamguard.policy.paths import parse_path
from streamguard.policy.problems import errors
from streamguard.transforms.register import register

PAGE = Path("docs/policy.md").read_text()
ROOT = Path.cwd()


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[str]:
    """The first cells of the rows of the first table below a heading."""
    section = re.split(rf"^## {heading}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [row.split("|")[1] for row in rows[0].splitlines()[2:]] if rows else []


def words(cells: list[str]) -> set[str]:
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("text", fenced("yaml policy"))
def test_policies_have_no_errors(text: str, tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(text)
    assert errors(check(load_policy(tmp_path / "orders.yaml"))) == []


@pytest.mark.parametrize("text", fenced("yaml fragment"))
def test_fragments_are_parts_of_policies(text: str) -> None:
    policy = Policy.model_validate({"topic": "t", "key": "keep"} | Document("fragment", text).data)
    for rule in policy.fields.values():
        kind = register()[rule.verb]
        kind.Options.model_validate(rule.options)
    for rule in policy.quality:
        compile_rule(rule)
    Clean(policy.clean, {parse_path("payment.amount"): frozenset({"number"})})


def test_the_example_of_a_policy_test_passes(tmp_path: Path) -> None:
    (text,) = fenced("yaml test")
    (policy,) = [text for text in fenced("yaml policy") if "schemas/order.schema.json" in text]
    (tmp_path / "orders.yaml").write_text(policy)
    (tmp_path / "orders.test.yaml").write_text(text)
    report = run_tests(tmp_path / "orders.test.yaml")
    assert [problem.message for result in report.results for problem in result.problems] == []
    assert len(report.results) == 3


def test_the_screen_is_what_check_prints(tmp_path: Path) -> None:
    (screen,) = fenced("text")
    line = next(number for number, line in enumerate(screen.splitlines()) if "│   customer.name:" in line)
    assert "unknown transform 'encypt'" in screen
    assert screen.splitlines()[line].index("encypt") == screen.splitlines()[line + 1].index("^^^^^^")


def test_every_key_is_described() -> None:
    assert words(table("Keys")) == set(Policy.model_fields)
    assert words(table("Value")) == {
        "schema" if name == "schema_file" else name for name in Value.model_fields
    }


def test_every_step_is_described() -> None:
    described = {re.split(r"[{:]", word.removeprefix("{"))[0] for word in words(table("Clean"))}
    assert described == {*get_args(TextStep), *STEPS_WITH_VALUE}


def test_every_matcher_is_described() -> None:
    described = {re.search(r"\$\w+", word)[0] for word in words(table("Tests"))}
    assert described == set(MATCHERS)


def test_every_code_is_described() -> None:
    """The codes of problems are texts in the rules: found by their place in the calls that report."""
    sources = [*ROOT.glob("streamguard/policy/*.py"), *ROOT.glob("streamguard/guard/check/*.py")]
    written = "\n".join(source.read_text() for source in [*sources, ROOT / "streamguard/cli/check.py"])
    described = words(table("Checking"))
    named = set(re.findall(r'code="([a-z_]+)"', written))
    assert named <= described, named - described
    for code in described:
        assert f'"{code}"' in written, code


def test_every_option_of_the_registry_is_described() -> None:
    page = Path("docs/schema-registry.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.*) \|$", page.partition("## In the policy")[2], re.MULTILINE
    )
    described = {name: (default, words([text])) for name, default, text in rows}
    assert described.keys() == RegistryUse.model_fields.keys()
    for name, field in RegistryUse.model_fields.items():
        default, named = described[name]
        assert default == field.default
        assert set(get_args(field.annotation)) <= named
