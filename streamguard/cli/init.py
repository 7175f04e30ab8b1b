"""`streamguard init`: looks at records, and drafts a schema, a policy and its tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamguard.cli import app
from streamguard.cli.output import print_json, printable, show_progress, standard_output
from streamguard.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from streamguard.draft.described import Described
    from streamguard.draft.draft import Draft
    from streamguard.draft.evidence import Evidence
    from streamguard.draft.propose import Treatment
    from streamguard.draft.prove import Files, Proof

_INTERRUPTED: Final = 130
_STYLES: Final = {"certain": "bold red", "likely": "red", "possible": "yellow"}
_ANY: Final = ("array", "boolean", "number", "object", "string")
_SHOWN: Final = 10
"""How many fields a line names before it only counts."""


@app.command()
def init(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCES", help="Files of JSON documents, one per line; - is stdin."),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic", help="Read this topic. With SOURCES, it is only the topic that the policy is for."
        ),
    ] = None,
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the files to write. Default: the topic's or the file's.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The service file with the broker. Default: streamguard.yaml"),
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option("--bootstrap-servers", help="The broker, where there is no service file.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option("--registry", help="The Schema Registry's address, likewise.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the folders schemas and policies are.")
    ] = Path(),
    records: Annotated[
        int, typer.Option("--records", "-n", min=1, help="How many to look at, of each source.")
    ] = 1000,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="A topic's oldest records instead of its latest.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of text.")] = False,
) -> None:
    """Look at records, find what seems personal, and draft a schema, a policy and its tests.

    Records are JSON, or name their schema in a Schema Registry, which is then the policy's.

    Each field gets the treatment that fits, with a comment that says what was found, why, and how sure that is. No
    value that was seen is written or shown anywhere. What is written has passed `check` and `test`; it is a beginning,
    and yours to read.

    [bold]Examples[/bold]

      streamguard init orders.ndjson --folder drafts

      streamguard init orders.ndjson --folder drafts --force --json

      streamguard init --topic orders -c streamguard.yaml --folder drafts --name from-topic
    """
    from streamguard.cli import init_sources
    from streamguard.draft.prove import Files, refuse_existing

    if not sources and topic is None:
        raise UsageError("There is nothing to look at.", "Name a file of records, - for stdin, or a --topic.")
    files = Files(folder, init_sources.name_of(name, topic, sources or []))
    topic = topic or files.name
    init_sources.refuse_topic(topic)
    if not force:
        refuse_existing(files)
    try:
        with show_progress() as progress:
            described = None
            if sources:
                evidence = init_sources.of_files(sources, records, progress)
            else:
                service = init_sources.service_of(config, bootstrap_servers, registry)
                evidence, described = init_sources.of_topic(topic, service, records, progress, oldest=oldest)
            if described is not None:
                files = replace(files, suffix=described.suffix)
                if not force:
                    refuse_existing(files)
            drafted, proof = _drafted(topic, files, evidence, described, progress)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was written.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        _print_json(drafted, files, evidence, proof)
    else:
        _print(drafted, files, evidence, proof)


def _drafted(
    topic: str, files: Files, evidence: Evidence, described: Described | None, progress: Progress
) -> tuple[Draft, Proof]:
    from streamguard.draft.draft import draft
    from streamguard.draft.prove import put

    task = progress.add_task("looking at fields", total=None)
    drafted = draft(
        topic,
        f"schemas/{files.schema.name}",
        evidence,
        described,
        on_progress=lambda done, total: progress.update(task, completed=done, total=total),
    )
    progress.add_task("checking", total=None)
    return drafted, put(drafted, files, evidence)


# -- showing ---------------------------------------------------------------------------------------------------------


def _print(drafted: Draft, files: Files, evidence: Evidence, proof: Proof) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = standard_output(width=200)
    table = Table(box=SIMPLE)
    for heading in ("field", "type", "seems to be", "confidence", "what happens"):
        table.add_column(heading, overflow="fold")
    for row in _rows(drafted):
        style = _STYLES.get(row["confidence"] or "", "dim")
        cells = (row["path"], " or ".join(row["types"]), row["finding"] or "", row["confidence"] or "")
        table.add_row(*(Text(printable(cell), style) for cell in cells), Text(printable(row["treatment"])))
    out.print(table)
    out = out if out.is_terminal else Console(stderr=True)
    for path in files.texts(drafted):
        out.print(Text.assemble(("wrote ", "green"), str(path)), soft_wrap=True)
    out.print(Text(_summary(evidence, proof)), soft_wrap=True)
    notes = [*_notes(drafted, evidence, proof), *_beside_others(files)]
    if notes:
        out.print(Text("\nLook at:", "bold"))
        for note in notes:
            out.print(Text(f"  - {note}"), soft_wrap=True)
    out.print(Text(f"\nThen: streamguard check {files.policy} --explain"), soft_wrap=True)


def _rows(drafted: Draft) -> list[dict[str, Any]]:
    return [_row(one) for one in drafted.treatments]


def _row(one: Treatment) -> dict[str, Any]:
    from streamguard.draft.write import rule_text

    found = one.finding
    return {
        "path": str(one.leaf.path),
        "types": sorted(one.leaf.types) if len(one.leaf.types) < len(_ANY) else ["any"],
        "format": one.leaf.format or None,
        "records": one.records,
        "finding": found.kind.title if found else None,
        "confidence": str(found.confidence) if found else None,
        "reason": found.reason if found else None,
        "treatment": rule_text(one.rule) if one.rule is not None else "keep",
    }


def _summary(evidence: Evidence, proof: Proof) -> str:
    count = len(evidence.documents)
    left = f"{proof.clean:,} of the {count:,} records leave clean under it"
    tests = {0: "", 1: " and its test"}.get(proof.tests, f" and its {proof.tests} tests")
    return f"It passes check{tests}; {left}."


def _notes(drafted: Draft, evidence: Evidence, proof: Proof) -> list[str]:
    """What somebody has to decide, most urgent first."""
    from streamguard.draft.kinds import Confidence

    possible = [
        str(one.leaf.path)
        for one in drafted.treatments
        if one.finding is not None and one.finding.confidence is Confidence.POSSIBLE and not one.leaf.free
    ]
    kept = [
        str(one.leaf.path)
        for one in drafted.treatments
        if one.rule is None and "string" in one.leaf.types and not one.leaf.format
    ]
    notes = []
    if proof.violations:
        codes = ", ".join(
            f"{count:,} {code}{f' at {printable(path)}' if path else ''}"
            for (code, path), count in proof.violations.most_common()
        )
        notes.append(f"records that would be violations: {codes}")
    if evidence.unreadable:
        codes = ", ".join(f"{count:,} {code}" for code, count in evidence.unreadable.most_common())
        notes.append(f"records that could not be read, and would be violations: {codes}")
    if evidence.others:
        notes.append(f"records of other schemas, which were not looked at: {evidence.others:,}")
    if drafted.tests is None:
        notes.append("policy tests, for which the schema, with all that it refers to, has to be in one file")
    elif not drafted.has_record:
        notes.append(
            "policy tests, which hold no record that passes: none that the schema takes could be made up"
        )
    if possible:
        notes.append(f"what is only possible, and protected all the same: {_named(possible)}")
    if drafted.never_filled:
        unknown = [str(path) for path in drafted.never_filled]
        known = "registry" in drafted.described.value
        why = "and was judged by its name alone" if known else "so that its type is not known"
        notes.append(f"what was never filled, {why}: {_named(unknown)}")
    if kept:
        notes.append(f"texts that are kept, if there can be anybody in them: {_named(kept)}")
    notes.append(f"the key: {drafted.key.reason[0].lower()}{drafted.key.reason[1:]}")
    notes += [f"{problem.message} ({problem.suggestion})" for problem in proof.warnings]
    return notes


def _beside_others(files: Files) -> list[str]:
    """What keeps the policy from running in one service with those that are in its folder already."""
    from streamguard.guard.check.together import between
    from streamguard.policy.loader import find_policies, load_policy, look_at_all

    others, _ = look_at_all([path for path in find_policies([files.policy.parent]) if path != files.policy])
    mine = load_policy(files.policy)
    problems = [problem for other in others if not other.gaps for problem in between([other, mine])]
    return [f"beside the other policies, {problem.message} ({problem.suggestion})" for problem in problems]


def _named(paths: list[str]) -> str:
    shown = ", ".join(map(printable, paths[:_SHOWN]))
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown


def _print_json(drafted: Draft, files: Files, evidence: Evidence, proof: Proof) -> None:
    from streamguard.draft.write import rule_text

    report = {
        "ok": True,
        "files": [str(path) for path in files.texts(drafted)],
        "records": len(evidence.documents),
        "unreadable": dict(evidence.unreadable),
        "tombstones": evidence.tombstones,
        "others": evidence.others,
        "key": {"treatment": rule_text(drafted.key.rule), "reason": drafted.key.reason},
        "fields": _rows(drafted),
        "never_filled": [str(path) for path in drafted.never_filled],
        "tests": proof.tests,
        "clean": proof.clean,
        "violations": [
            {"code": code, "path": path, "count": count}
            for (code, path), count in proof.violations.most_common()
        ],
    }
    print_json(report)
