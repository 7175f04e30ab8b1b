"""`streamguard test`: runs the tests that sit beside the policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import app
from streamguard.cli.check import POLICY_FOLDER, SERVICE_FILE
from streamguard.cli.output import counted, print_json
from streamguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from streamguard.guard.policytest import Report
    from streamguard.policy.problems import Problem


@app.command("test")
def run_policy_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATHS", help="Test files, policies with tests beside them, or folders."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A service file: the tests of all its policies.")
    ] = None,
    only: Annotated[str, typer.Option("--only", "-k", help="Run the tests whose names hold this text.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of text.")] = False,
) -> None:
    """Run policy tests: each record goes through its policy, and must come out as the test says.

    A policy orders.yaml has its tests beside it in orders.test.yaml. Without arguments: the policies of
    streamguard.yaml if it is here, otherwise the folder policies. Exit code 0 when all pass, 1 when one fails, 2 for
    wrong use.

    [bold]Examples[/bold]

      streamguard test policies/orders.yaml

      streamguard test policies --only currency

      streamguard test -c streamguard.yaml --json
    """
    files = _test_files(paths or [], config)
    reports: list[Report] = []
    broken: dict[Path, list[Problem]] = {}
    for file in files:
        try:
            reports.append(_run(file, only))
        except ConfigError as error:
            broken[file] = _problems(file, error)
    if only and not broken and not any(report.results for report in reports):
        raise UsageError(f"No test's name holds '{only}'.", "Leave out --only to run all of them.")
    (_print_json if as_json else _print)(reports, broken)
    if broken or not all(result.passed for report in reports for result in report.results):
        raise typer.Exit(1)


def _run(file: Path, only: str) -> Report:
    from streamguard.guard.policytest import run_tests

    return run_tests(file, only)


def _test_files(paths: list[Path], config: Path | None) -> list[Path]:
    from streamguard.guard.policytest import tests_beside
    from streamguard.policy.loader import TEST_SUFFIXES, find_policies
    from streamguard.policy.service import load_service

    if paths and config:
        raise UsageError("A service file names its policies itself.", "Give PATHS or --config, not both.")
    if not paths and (config or SERVICE_FILE.exists()):
        paths = load_service(config or SERVICE_FILE).policy_files()
    elif not paths:
        if not POLICY_FOLDER.is_dir():
            raise UsageError("There is no streamguard.yaml and no folder policies here.", "Name a test file.")
        paths = [POLICY_FOLDER]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"'{missing[0]}' does not exist.", "Check the path.")
    named = [path for path in paths if path.name.endswith(TEST_SUFFIXES)]
    inside = [
        file
        for path in paths
        if path.is_dir()
        for suffix in TEST_SUFFIXES
        for file in path.glob(f"*{suffix}")
    ]
    beside = [tests for policy in find_policies(paths) if (tests := tests_beside(policy))]
    files = sorted(dict.fromkeys([*named, *inside, *beside]))
    if not files:
        raise UsageError(
            "There are no policy tests.", "Write them beside the policy: orders.test.yaml for orders.yaml."
        )
    return files


def _problems(file: Path, error: ConfigError) -> list[Problem]:
    from streamguard.policy.problems import Problem, ProblemsError

    if isinstance(error, ProblemsError):
        return list(error.problems)
    return [Problem(str(file), 0, 0, "", error.message, error.remedy, code="missing_file")]


def _print(reports: list[Report], broken: dict[Path, list[Problem]]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streamguard.cli.problems import show

    console = Console()
    for report in reports:
        console.print(Text(str(report.path), "bold"))
        _print_results(report, console)
    for file, problems in broken.items():
        console.print(Text(f"{file} cannot be run", "bold red"))
        show(problems, console)
    results = [result for report in reports for result in report.results]
    failed = sum(not result.passed for result in results)
    counts = [Text(f"{len(results) - failed} passed", "green" if not failed else "")]
    counts += [Text(f"{failed} failed", "bold red")] if failed else []
    counts += [Text(f"{counted(len(broken), 'file')} cannot be run", "bold red")] if broken else []
    Console(stderr=not console.is_terminal).print(Text(", ").join(counts), highlight=False)


def _print_results(report: Report, console: Console) -> None:
    from rich.text import Text

    from streamguard.cli.problems import show

    for result in report.results:
        sign = Text("  ✓ ", "green") if result.passed else Text("  ✗ ", "bold red")
        console.print(sign + Text(result.name, ""), soft_wrap=True)
        show(result.problems, console)
    if report.untested and all(result.passed for result in report.results):
        console.print(
            Text(f"  not in any clean record: {', '.join(report.untested)}", "yellow"), soft_wrap=True
        )


def _print_json(reports: list[Report], broken: dict[Path, list[Problem]]) -> None:
    results = [result for report in reports for result in report.results]
    failed = sum(not result.passed for result in results)
    document: dict[str, Any] = {
        "ok": not failed and not broken,
        "passed": len(results) - failed,
        "failed": failed,
        "files": [_as_document(report) for report in reports],
        "broken": {
            str(file): [problem.as_json() for problem in problems] for file, problems in broken.items()
        },
    }
    print_json(document)


def _as_document(report: Report) -> dict[str, Any]:
    return {
        "file": str(report.path),
        "policy": str(report.policy),
        "untested": list(report.untested),
        "tests": [
            {
                "name": result.name,
                "line": result.line,
                "ok": result.passed,
                "problems": [problem.as_json() for problem in result.problems],
            }
            for result in report.results
        ],
    }
