"""`streamguard reveal`: from protected tokens back to values, for whoever holds the master key."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Annotated, Any, Final

import orjson
import typer

from streamguard.cli import app
from streamguard.cli.keys import Config, StoreUrl, master_keys, store_url
from streamguard.errors import KeyMissingError, KeysUnavailableError, StreamGuardError, TokenError, UsageError

CODES: Final[dict[type[StreamGuardError], str]] = {
    TokenError: "token",
    KeyMissingError: "key_missing",
    KeysUnavailableError: "keys_unavailable",
}
"""What can go wrong with one token, and what ``--json`` calls it."""

Open = Callable[[str], Any]


@app.command()
def reveal(
    tokens: Annotated[
        list[str] | None, typer.Argument(help="Tokens; without any, one per line of stdin.")
    ] = None,
    config: Config = None,
    store: StoreUrl = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="The master key file, without a service file.")
    ] = None,
    keys_env: Annotated[
        str | None, typer.Option("--keys-env", help="The variable that holds it instead.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per token: its value or its error.")
    ] = False,
    ndjson: Annotated[
        bool,
        typer.Option("--ndjson", help="JSON documents on stdin, one per line; tokens are revealed in place."),
    ] = False,
) -> None:
    """Reveal protected values.

    Each is printed as JSON on a line of its own, so that "12" and 12 differ; bytes as base64: and their base64. A token
    that cannot be revealed gives an empty line, its reason on stderr, and exit code 1.

    [bold]Examples[/bold]

      streamguard reveal sg1.e.K7dq2mXw0a.b64...

      streamguard reveal --ndjson -c streamguard.yaml < clean.ndjson > revealed.ndjson

      streamguard reveal --store sqlite:///streamguard.db --keys keys/master.key --json < tokens.txt
    """
    if ndjson and (tokens or as_json):
        raise UsageError(
            "--ndjson reads documents from stdin, and writes documents.", "Leave out tokens and --json."
        )
    if not tokens and sys.stdin.isatty():
        raise UsageError("There is nothing to reveal.", "Give tokens, or pipe them in.")

    from streamguard.crypto.aead import open_token
    from streamguard.crypto.setup import open_keyring

    keyring = open_keyring(master_keys(config, keys, keys_env), store_url(config, store), create=False)

    def opener(token: str) -> Any:
        return open_token(token, keyring)

    if ndjson:
        failed = _reveal_documents(sys.stdin.buffer, sys.stdout.buffer, opener)
    else:
        given = tokens or (line.decode(errors="replace").strip() for line in sys.stdin.buffer)
        failed = _reveal_tokens(given, opener, _as_object if as_json else _as_line)
    raise typer.Exit(1 if failed else 0)


def _reveal_tokens(tokens: Iterable[str], opener: Open, show: Callable[[Any], str]) -> int:
    """Print what each token holds; returns how many could not be revealed."""
    failed = 0
    for number, token in enumerate(tokens, start=1):
        try:
            shown = show(opener(token))
        except tuple(CODES) as error:
            failed += 1
            shown = show(error)
            _complain(f"token {number}", error)
        typer.echo(shown)
    return failed


def _reveal_documents(source: IO[bytes], target: IO[bytes], opener: Open) -> int:
    """Copy NDJSON with every token replaced by its value; what cannot be revealed stays as it is. Returns how many."""
    failed = 0
    for number, line in enumerate(source, start=1):
        if b'"sg1.' not in line:
            target.write(line)
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            failed += 1
            typer.echo(f"line {number}: not a JSON document", err=True)
            target.write(line)
            continue
        for error in reveal_in_place(holder := [document], opener):
            failed += 1
            _complain(f"line {number}", error)
        target.write(orjson.dumps(holder[0], default=_bytes_as_text, option=orjson.OPT_APPEND_NEWLINE))
    return failed


def reveal_in_place(document: list[Any] | dict[str, Any], opener: Open) -> list[StreamGuardError]:
    """Replace each token of kind ``e`` or ``d``, at any depth, by its value; returns what went wrong on the way.

    Values that come out are not searched again: a person's text that looks like a token is left alone.
    """
    errors: list[StreamGuardError] = []
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        for place, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(value, dict | list):
                waiting.append(value)
            elif isinstance(value, str) and value.startswith(("sg1.e.", "sg1.d.")):
                try:
                    node[place] = opener(value)
                except tuple(CODES) as error:
                    errors.append(error)
    return errors


def _complain(where: str, error: StreamGuardError) -> None:
    typer.echo(f"{where}: {error}", err=True)


def _as_line(value: Any) -> str:
    if isinstance(value, StreamGuardError):
        return ""
    if isinstance(value, bytes):
        return _bytes_as_text(value)
    # JSON leaves some characters as they are that would drive a terminal.
    text = orjson.dumps(value).decode()
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def _as_object(value: Any) -> str:
    if isinstance(value, StreamGuardError):
        found = {"error": CODES[type(value)], "message": value.message, "remedy": value.remedy}
    elif isinstance(value, bytes):
        found = {"type": "bytes", "value": b64encode(value).decode()}
    else:
        found = {"type": "text" if isinstance(value, str) else "json", "value": value}
    return orjson.dumps(found).decode()


def _bytes_as_text(value: Any) -> str:
    return "base64:" + b64encode(value).decode()
