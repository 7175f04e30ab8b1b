"""docs/operations.md lists every metric, every event of the log and every setting, as the code has them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from streamguard import metrics
from streamguard.policy.service import Service
from streamguard.streams.lane import State

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operations.md"


def metric_rows() -> Iterator[str]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def events() -> set[str]:
    """Every event that the package writes, found in the calls themselves."""
    found = set()
    for path in (ROOT / "streamguard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("debug", "info", "warning", "error")
                and ast.unparse(node.func.value) in ("log", "_log", "logs.get(__name__)")
            ):
                found.add(ast.literal_eval(node.args[0]))
    lanes = {f"lane.{state}" for state in get_args(State) if state != "starting"}
    return found | lanes | {"library", "librdkafka"}


def test_every_metric_is_listed_as_the_code_describes_it():
    text = PAGE.read_text()
    rows = list(metric_rows())
    listed = re.findall(r"^\| `streamguard_.*\|$", text, re.MULTILINE)
    assert listed == rows, "write:\n" + "\n".join(rows)


def test_every_event_of_the_log_is_listed():
    section = PAGE.read_text().partition("\n## Logs\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_.]+)` \|", section, re.MULTILINE)
    assert sorted(set(listed)) == sorted(listed)
    assert sorted(listed) == sorted(events())


def test_every_setting_of_the_service_file_is_listed():
    section = PAGE.read_text().partition("\n## The service file\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", section, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(Service.model_fields)
    for name, default in listed:
        if default.strip("`").isdigit() or default.strip("`").isalpha():
            found = Service.model_fields[name].default
            expected = found[0] if isinstance(found, tuple) else found
            assert default == f"`{expected}`", name


def test_the_example_for_kubernetes_is_about_this_service():
    """Its command, its probes and its times fit the service as it is."""
    manifest = YAML(typ="safe", pure=True).load(ROOT / "deploy" / "statefulset.yaml")
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] == "run"
    (port,) = container["ports"]
    assert port["containerPort"] == Service.model_fields["web"].default.port
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": "web"}
    assert pod["terminationGracePeriodSeconds"] * 1000 > Service.model_fields["stop_timeout_ms"].default
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
