"""`streamguard check`: whether policies are complete and right, before any record meets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamguard.cli import app
from streamguard.cli.output import print_json, standard_output
from streamguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamguard.crypto.proof import Proof
    from streamguard.formats.base import Form
    from streamguard.policy.loader import LoadedPolicy
    from streamguard.policy.problems import Problem
    from streamguard.policy.service import Service

    Explained = list[tuple[LoadedPolicy, Form | None]]

SERVICE_FILE: Final = Path("streamguard.yaml")
POLICY_FOLDER: Final = Path("policies")


@app.command()
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATHS", help="Policy files, or folders of them.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A service file: it and all of its policies.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also list what happens to every field.")
    ] = False,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Also try the service's master key, store and Schema Registry, and show what becomes of its schemas; "
            "--explain then shows the fields that those have.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of text.")] = False,
) -> None:
    """Check policies against their schemas, the transforms, and each other; report every problem at once.

    Without arguments: streamguard.yaml if it is here, otherwise the folder policies. Exit code 0 when all is well, 1
    when there are errors, 2 for wrong use.

    [bold]Examples[/bold]

      streamguard check policies/orders.yaml

      streamguard check -c streamguard.yaml --strict

      streamguard check policies --explain

      streamguard check -c streamguard.yaml --online
    """
    if online and (paths or not (config or SERVICE_FILE).exists()):
        raise UsageError(
            "--online tries the keys and the store of a service file.", "Give one with --config."
        )
    policies, problems = _look(paths or [], config)
    proofs, forms = _try_parts(config or SERVICE_FILE, policies) if online else (None, {})
    # What the registry has shown need not be warned of.
    shown = {str(loaded.path) for loaded in policies if loaded.policy.name in forms}
    problems = [each for each in problems if each.code != "no_schema" or each.file not in shown]
    explained = [(loaded, forms.get(loaded.policy.name)) for loaded in policies] if explain else None
    if as_json:
        _print_json(policies, problems, proofs, explained)
    else:
        _print(policies, problems, explained or [])
        _print_proofs(proofs or [])
    if any(strict or problem.severity == "error" for problem in problems):
        raise typer.Exit(1)
    if not all(proof.ok for proof in proofs or []):
        raise typer.Exit(1)


def _try_parts(config: Path, policies: Sequence[LoadedPolicy]) -> tuple[list[Proof], dict[str, Form]]:
    """What the service file names, tried; nothing while it cannot be read, which is a problem already.

    And, by policy, the form that records have by the registry.
    """
    from streamguard.crypto.memory import keep_private
    from streamguard.crypto.proof import prove
    from streamguard.policy.problems import ProblemsError
    from streamguard.policy.service import load_service

    try:
        service = load_service(config)
    except ProblemsError:
        return [], {}
    keep_private()
    proofs = prove(service.keys, service.store.url.get_secret_value())
    more, forms = _try_schemas(service, policies)
    return [*proofs, *more], forms


def _try_schemas(service: Service, policies: Sequence[LoadedPolicy]) -> tuple[list[Proof], dict[str, Form]]:
    """The registry, and the schemas that the topics have there now."""
    if service.registry is None:
        return [], {}
    from streamguard.crypto.proof import Proof
    from streamguard.errors import StreamGuardError
    from streamguard.formats.registry import open_registry
    from streamguard.guard.check.registered import preview

    try:
        registry = open_registry(service.registry)
        registry.health()
    except StreamGuardError as error:
        message, remedy = error.message, error.remedy
        return [Proof("registry", service.registry.url, ok=False, message=message, remedy=remedy)], {}
    answers = Proof("registry", service.registry.url, ok=True, message="answers")
    framed = [loaded for loaded in policies if loaded.policy.value.registry is not None]
    found = {loaded.policy.name: preview(loaded, registry) for loaded in framed}
    forms = {name: each.form for name, each in found.items() if each.form is not None}
    return [answers, *(each.proof for each in found.values())], forms


def _look(paths: list[Path], config: Path | None) -> tuple[list[LoadedPolicy], list[Problem]]:
    """The policies that could be read, and every problem."""
    from streamguard.guard.check import check_all
    from streamguard.policy.loader import find_policies, look_at_all
    from streamguard.policy.problems import in_order

    if paths and config:
        raise UsageError("A service file names its policies itself.", "Give PATHS or --config, not both.")
    if not paths and (config or SERVICE_FILE.exists()):
        return _look_at_service(config or SERVICE_FILE)
    if not paths and not POLICY_FOLDER.is_dir():
        raise UsageError("There is no streamguard.yaml and no folder policies here.", "Name a policy file.")
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"'{missing[0]}' does not exist.", "Check the path.")
    files = find_policies(paths or [POLICY_FOLDER])
    if not files:
        raise UsageError("No policy is there.", "A policy is a .yaml file that is not a .test.yaml.")
    policies, problems = look_at_all(files)
    return _whole(policies), in_order([*problems, *check_all(policies)])


def _look_at_service(config: Path) -> tuple[list[LoadedPolicy], list[Problem]]:
    from streamguard.guard.check import check_all
    from streamguard.guard.check.service import service_problems
    from streamguard.policy.loader import look_at_all
    from streamguard.policy.problems import ProblemsError, in_order
    from streamguard.policy.service import look_at_service
    from streamguard.streams.properties import refused_properties

    try:
        loaded, problems = look_at_service(config)
    except ProblemsError as error:
        return [], list(error.problems)
    document = loaded.document
    policies: list[LoadedPolicy] = []
    if "policies" not in loaded.gaps:
        try:
            policies, unreadable = look_at_all(loaded.service.policy_files())
            problems += unreadable
        except ConfigError as error:
            problems.append(
                document.problem(("policies",), error.message, code="missing_file", suggestion=error.remedy)
            )
    told = {problem.path for problem in problems if problem.file == document.file}
    more = [
        document.problem(("kafka", name), f"'{name}' {reason}", code="refused_property", on="key")
        for name, reason in refused_properties(loaded.service.kafka)
    ]
    more += service_problems(loaded, policies)
    problems += [p for p in more if p.file != document.file or p.path not in told]
    return _whole(policies), in_order([*problems, *check_all(policies)])


def _whole(policies: Sequence[LoadedPolicy]) -> list[LoadedPolicy]:
    """Those that can be used, as far as reading goes."""
    return [loaded for loaded in policies if not loaded.gaps]


def _print(policies: list[LoadedPolicy], problems: list[Problem], explained: Explained) -> None:
    from rich.console import Console

    from streamguard.cli.problems import show, summary

    out = Console()
    if not out.is_terminal:
        out = Console(width=200)  # what a pipe reads has no width to fit in
    if explained:
        from streamguard.cli.explain import table

        for loaded, form in explained:
            out.print(table(loaded, form))
    show(problems, out)
    Console(stderr=not out.is_terminal).print(summary(problems, _files(policies, problems)), highlight=False)


def _print_proofs(proofs: list[Proof]) -> None:
    from rich.text import Text

    out = standard_output(width=200)
    for proof in proofs:
        mark = Text("ok    ", "green") if proof.ok else Text("failed", "bold red")
        out.print(Text.assemble(mark, f" {proof.part:<5} {proof.name}: {proof.message}"))
        if proof.remedy:
            out.print(Text(f"       {proof.remedy}"))


def _print_json(
    policies: list[LoadedPolicy],
    problems: list[Problem],
    proofs: list[Proof] | None,
    explained: Explained | None,
) -> None:
    from dataclasses import asdict

    from streamguard.policy.problems import errors

    faults = len(errors(problems))
    report = {
        "ok": not faults and all(proof.ok for proof in proofs or []),
        "files": _files(policies, problems),
        "errors": faults,
        "warnings": len(problems) - faults,
        "problems": [problem.as_json() for problem in problems],
    }
    if proofs is not None:
        report["online"] = [asdict(proof) for proof in proofs]
    if explained is not None:
        from streamguard.cli.explain import treatments

        report["treatments"] = {loaded.policy.name: treatments(loaded, form) for loaded, form in explained}
    print_json(report)


def _files(policies: list[LoadedPolicy], problems: list[Problem]) -> int:
    return len({str(loaded.path) for loaded in policies} | {problem.file for problem in problems})
