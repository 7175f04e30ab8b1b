"""Structured logs on stderr, as text or JSON, in which no value of a record can appear.

Our own lines are an *event name* and fields from `FIELDS`, each held against its pattern:

    log = logs.get(__name__)
    log.warning("lane.paused", policy="orders", reason="keys_unavailable")
    log.error("lane.failed", policy="orders", error=exception)

A library's line is another matter: its text and its exceptions may hold the document they are about. Of those only the
logger's name, the level, the place in the code and the exception's class are written (`_foreign`). The same goes for
whatever Python itself would print: uncaught exceptions of every kind, warnings, logging's own errors.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO, get_args

import orjson

from streamguard.errors import StreamGuardError

Style = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_NAME = re.compile(r"[A-Za-z0-9_.:/@#+-]{1,300}")
_ELEMENT = re.compile(r"[^\s|\x00-\x1f\x7f\ud800-\udfff]{1,500}")  # of a policy; by default, topic and path
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,120}")
_PLACE = re.compile(r"[A-Za-z0-9_.<>-]{1,200}:\d{1,7}")
_LONGEST = 4000
_PROSE = re.compile(f"[^\\x00-\\x1f\\x7f\\ud800-\\udfff]{{0,{_LONGEST}}}")

#: Every field a line may have, with what its value must look like. `int` and `float` take numbers (not booleans).
FIELDS: dict[str, re.Pattern[str] | type] = {
    # what it is about, as named in the policy or the service file
    "policy": _NAME, "version": _NAME, "topic": _NAME, "group": _NAME, "slot": _NAME, "file": _PROSE,
    "element": _ELEMENT, "key_id": _NAME, "policies": _NAME, "command": _CODE, "provider": _CODE, "address": _NAME,
    "schema": _NAME,
    # where in Kafka
    "partition": int, "offset": int, "partitions": int,
    # what happened: our own codes
    "state": _CODE, "reason": _CODE, "code": _CODE, "signal": _CODE, "format": _CODE, "setting": _CODE,
    # how much
    "count": int, "records": int, "violations": int, "bytes": int, "limit": int, "attempt": int, "ratio": float,
    "seconds": float, "lag": int, "port": int, "pid": int, "exit_code": int, "processes": int, "replication": int,
    "repeated": int,
    # of errors: the class; the text only where it is our own (StreamGuardError)
    "exception": _NAME, "cause": _NAME, "at": _PLACE, "message": _PROSE, "remedy": _PROSE,
    # of libraries
    "logger": _NAME, "facility": _CODE, "client": _NAME,
}  # fmt: skip

_EVENT = "streamguard_event"
_DATA = "streamguard_fields"
_common: dict[str, Any] = {}


class EventLogger:
    """The logger of one module: the methods take an event's name and its fields, never a message."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """For whoever searches a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something expected, worth a line."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that will need a person if it goes on."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something that needs a person. `error=` takes the exception and writes what `describe` says of it."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            error = fields.pop("error", None)
            if isinstance(error, BaseException):
                fields |= describe(error)
            self._logger.log(level, event, extra={_EVENT: event, _DATA: fields})


def get(name: str) -> EventLogger:
    """The event logger of a module of ours (pass ``__name__``)."""
    return EventLogger(name)


def librdkafka() -> logging.Logger:
    """The logger to hand to every confluent-kafka client; without one librdkafka writes raw lines to stderr."""
    return logging.getLogger("librdkafka")


def bind(**fields: Any) -> None:
    """Fields that every further line of this process carries, such as its slot."""
    _common.update(fields)


def setup(style: Style = "text", level: Level = "info", stream: TextIO | None = None) -> None:
    """Send all logs of the process to `stream` (default stderr) and close every other way out.

    Libraries are heard from `warning` on; with ``level="debug"`` from `debug` on, still without their text.
    """
    if style not in get_args(Style) or level not in get_args(Level):
        raise ValueError("style is text or json; level is debug, info, warning or error")
    chosen = getattr(logging, level.upper())
    heed = chosen if level == "debug" else max(chosen, logging.WARNING)
    handler = _Handler(stream or sys.stderr, style, heed)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(heed)
    logging.getLogger("streamguard").setLevel(chosen)
    logging.raiseExceptions = False  # logging would print the message and arguments that it failed to format
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    sys.unraisablehook = _on_unraisable
    warnings.showwarning = _on_warning


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have what goes wrong unnoticed on an event loop logged our way."""
    loop.set_exception_handler(_on_loop_error)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as fields: class, the innermost place in our code, and the text only of our own errors."""
    fields: dict[str, Any] = {"exception": _class_of(error)}
    if error.__cause__ is not None:
        fields["cause"] = _class_of(error.__cause__)
    if place := _our_place(error.__traceback__):
        fields["at"] = place
    if isinstance(error, StreamGuardError):
        fields |= {"message": _one_line(error.message), "remedy": _one_line(error.remedy)}
    return fields


def _one_line(text: str) -> str:
    """A text of ours for a line of a log: a list of problems has several lines and may be long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _class_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _our_place(traceback: TracebackType | None) -> str | None:
    """``streamguard.guard.protect:88`` for the innermost frame that is ours, ``None`` when there is none."""
    place = None
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] == "streamguard":
            place = f"{name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


# Where Python itself would print a traceback or a message.

_log = get("streamguard.python")


def _on_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _log.error("python.uncaught", error=error.with_traceback(traceback))


def _on_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit | asyncio.CancelledError):
        _log.error("python.uncaught_in_thread", error=args.exc_value)


def _on_unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        _log.warning("python.unraisable", error=args.exc_value)


def _on_warning(
    message: Warning | str,  # noqa: ARG001 - it may quote what it is about
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    _log.debug("python.warning", exception=category.__qualname__, at=f"{Path(filename).stem}:{lineno}")


def _on_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.warning("python.unhandled_in_loop", error=context.get("exception"))


# Rendering.


class _Handler(logging.Handler):
    """Writes one line per record; never raises and never prints anything else."""

    def __init__(self, stream: TextIO, style: Style, heed: int) -> None:
        super().__init__()
        self._stream = stream
        self._heed = heed  # the level from which libraries are heard
        self._render = _as_json if style == "json" else _as_text
        self._echoes = _Echoes()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if hasattr(record, _EVENT):
                event, fields = _own(record)
            elif record.levelno < self._heed:
                return
            else:
                event, fields = _foreign(record)
                repeated = self._echoes.since_last(record.created, tuple(sorted(fields.items())))
                if repeated is None:
                    return
                if repeated:
                    fields["repeated"] = repeated
            self._stream.write(self._render(record, event, fields) + "\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001, S110 - a line that cannot be written must not end the service
            pass


class _Echoes:
    """Lets each line of a library through once per `_QUIET` seconds: without its text it says the same each time.

    aiokafka writes about 60 lines a second for as long as a broker is away (measured).
    """

    _QUIET = 10.0
    _MOST = 500

    def __init__(self) -> None:
        self._seen: dict[object, tuple[float, int]] = {}

    def since_last(self, now: float, line: object) -> int | None:
        """How often `line` was held back since it was last written; ``None`` to hold it back now."""
        last, held_back = self._seen.get(line, (float("-inf"), 0))
        if now - last < self._QUIET:
            self._seen[line] = (last, held_back + 1)
            return None
        if len(self._seen) >= self._MOST:
            self._seen.clear()
        self._seen[line] = (now, 0)
        return held_back


def _own(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    event = str(getattr(record, _EVENT))
    return event if _CODE.fullmatch(event) else "(withheld)", _admitted(_common | getattr(record, _DATA))


def _admitted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fit for name, value in fields.items() if (fit := _admit(name, value)) is not None}


def _admit(name: str, value: Any) -> Any:
    """The value as it may be written; ``None`` to leave the field out."""
    wanted = FIELDS.get(name)
    if wanted is None or value is None:
        return None
    if isinstance(wanted, re.Pattern):
        return text if wanted.fullmatch(text := str(value)) else "(withheld)"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(float(value), 3) if wanted is float else int(value)


_LIBRDKAFKA_STATE = re.compile(r"in state ([A-Z_]{2,20})\b")
_LIBRDKAFKA_REASONS = {
    "refused": "connection_refused", "Disconnected": "disconnected", "timed out": "timed_out",
    "Authentication failed": "authentication_failed", "authentication failure": "authentication_failed",
    "SSL handshake failed": "tls_handshake_failed", "Failed to resolve": "name_not_resolved",
    "fenced": "fenced", "reset by peer": "connection_reset",
}  # fmt: skip


def _foreign(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """What may be said of a library's line: who, where, which class of exception; nothing of its text."""
    fields: dict[str, Any] = dict(_common)
    if record.name == "librdkafka" and isinstance(record.args, tuple) and len(record.args) == 3:
        facility, client, text = (str(arg) for arg in record.args)
        fields |= {"facility": facility, "client": client}
        if state := _LIBRDKAFKA_STATE.search(text):
            fields["state"] = state[1]
        fields["reason"] = next((code for words, code in _LIBRDKAFKA_REASONS.items() if words in text), None)
        event = "librdkafka"
    else:
        fields |= {"logger": record.name, "at": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= describe(record.exc_info[1]) | {"at": fields["at"], "message": None, "remedy": None}
        event = "library"
    return event, _admitted(fields)


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _as_json(record: logging.LogRecord, event: str, fields: dict[str, Any]) -> str:
    line = {"time": _moment(record), "level": record.levelname.lower(), "event": event, **fields}
    return orjson.dumps(line).decode()


def _as_text(record: logging.LogRecord, event: str, fields: dict[str, Any]) -> str:
    parts = [_moment(record), f"{record.levelname.lower():<7}", event]
    parts += [f"{name}={_quote(value)}" for name, value in fields.items()]
    return " ".join(parts)


def _quote(value: Any) -> str:
    text = str(value)
    return orjson.dumps(text).decode() if not text or " " in text or '"' in text else text
