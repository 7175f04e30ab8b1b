"""Logs say what happened and never what was in a record, whoever writes the line."""

from __future__ import annotations

import ast
import asyncio
import io
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from streamguard import logs
from streamguard.errors import ConfigError

CANARY = "ana.kanarienvogel@example.org"
PACKAGE = Path(logs.__file__).parent


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging as it was before the test, for the tests after it."""
    import threading
    import warnings

    root, ours = logging.getLogger(), logging.getLogger("streamguard")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)
    yield
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    logs._common.clear()


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    stream = io.StringIO()
    logs.setup("json", "debug", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def run(code: str, level: str = "debug") -> subprocess.CompletedProcess[str]:
    """A process of its own with our logs set up: what it prints on either stream is what a person would see."""
    prelude = f"from streamguard import logs\nlogs.setup('text', {level!r})\nCANARY = {CANARY!r}\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code)], check=False, capture_output=True, text=True,
        timeout=60, env={**os.environ, "PYTHONWARNINGS": "always"},
    )  # fmt: skip


def test_an_event_has_its_name_and_its_fields(stream: io.StringIO) -> None:
    logs.get("streamguard.test").info("lane.started", policy="orders", partitions=6, seconds=0.12345)
    (line,) = lines(stream)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "event": "lane.started",
        "policy": "orders",
        "partitions": 6,
        "seconds": 0.123,
    }


def test_text_is_one_line_that_a_person_reads(restored: None) -> None:
    stream = io.StringIO()
    logs.setup("text", "info", stream)
    logs.bind(slot="a-0")
    logs.get("streamguard.test").error(
        "reload.refused", error=ConfigError("Two policies use a topic.", "Name it once.")
    )
    when, rest = stream.getvalue().split(" ", 1)
    assert when.endswith("Z")
    assert rest == (
        "error   reload.refused slot=a-0 exception=streamguard.errors.ConfigError "
        'message="Two policies use a topic." remedy="Name it once."\n'
    )


def test_a_field_nobody_declared_is_left_out(stream: io.StringIO) -> None:
    logs.get("streamguard.test").info("lane.started", email=CANARY, document={"a": CANARY})
    assert lines(stream)[0].keys() == {"time", "level", "event"}


@pytest.mark.parametrize("value", ["line\nbreak", "a b", CANARY * 40, "", "\ud800"])
def test_a_value_that_is_not_what_its_field_holds_is_withheld(stream: io.StringIO, value: str) -> None:
    logs.get("streamguard.test").info("lane.started", policy=value)
    assert lines(stream)[0]["policy"] == "(withheld)"


@pytest.mark.parametrize("element", ["email", "orders.$key", "orders.items[*].gift_note", "orders.straße"])
def test_an_element_is_shown_as_the_policy_writes_it(stream: io.StringIO, element: str) -> None:
    logs.get("streamguard.test").info("key.minted", element=element)
    assert lines(stream)[0]["element"] == element


def test_an_event_is_a_name(stream: io.StringIO) -> None:
    logs.get("streamguard.test").info(f"seen {CANARY}")
    assert lines(stream)[0]["event"] == "(withheld)"


def test_a_list_of_problems_is_one_line_and_not_endless(stream: io.StringIO) -> None:
    error = ConfigError("The file has problems:\n  line 1\n  line 2" + " and more" * 1000, "Mend it.")
    logs.get("streamguard.test").error("start.refused", error=error)
    message = str(lines(stream)[0]["message"])
    assert message.startswith("The file has problems: line 1 line 2 and more")
    assert message.endswith("…")


@pytest.mark.parametrize("value", ["12", True, [1], None])
def test_a_number_field_takes_numbers_only(stream: io.StringIO, value: object) -> None:
    logs.get("streamguard.test").info("lane.started", offset=value)
    assert "offset" not in lines(stream)[0]


def test_levels_keep_libraries_quiet(restored: None) -> None:
    stream = io.StringIO()
    logs.setup("text", "info", stream)
    logging.getLogger("aiokafka").info("joined")
    logging.getLogger("streamguard.streams.app").info("as mode names the loggers of its services")
    logs.get("streamguard.test").debug("lane.step")
    assert stream.getvalue() == ""
    logging.getLogger("aiokafka").warning("left")
    assert "library logger=aiokafka" in stream.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "faust.app.base",
        "mode.worker",
        "aiokafka",
        "kafka",
        "sqlalchemy.engine",
        "asyncio",
        "root",
        "streamguard.x",
    ],
)
def test_of_a_library_nothing_but_who_where_and_which_exception(stream: io.StringIO, name: str) -> None:
    logger = logging.getLogger(None if name == "root" else name)
    logger.error("record %s", CANARY)
    logger.info(f"record {CANARY}", extra={"data": CANARY})  # noqa: G004 - as libraries do
    try:
        raise ValueError(CANARY) from KeyError(CANARY)  # noqa: TRY301
    except ValueError as error:
        error.add_note(CANARY)
        logger.exception("failed %r", error)  # noqa: TRY401 - as libraries do
    assert CANARY not in stream.getvalue()
    *_, last = lines(stream)
    assert last["logger"] == name
    assert last["exception"] == "ValueError"
    assert last["cause"] == "KeyError"
    assert str(last["at"]).startswith("test_logs:")


def test_a_library_that_repeats_itself_is_heard_now_and_then(stream: io.StringIO) -> None:
    logger, clock = logging.getLogger("aiokafka"), 1_000_000.0
    for tick in range(250):  # 25 seconds of ten lines a second
        record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, "attempt %d", (tick,), None)
        record.created = clock + tick / 10
        logger.handle(record)
    assert [line.get("repeated", 0) for line in lines(stream)] == [0, 99, 99]


def test_our_own_lines_are_never_held_back(stream: io.StringIO) -> None:
    for _ in range(5):
        logs.get("streamguard.test").warning("lane.paused", policy="orders")
    assert len(lines(stream)) == 5


def test_librdkafka_says_facility_state_and_reason(stream: io.StringIO) -> None:
    text = (
        "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: "
        f"Connection refused (after 0ms in state CONNECT) {CANARY}"
    )
    logs.librdkafka().error("%s [%s] %s", "FAIL", "rdkafka#consumer-1", text)
    (line,) = lines(stream)
    del line["time"]
    assert line == {
        "level": "error", "event": "librdkafka", "facility": "FAIL", "client": "rdkafka#consumer-1",
        "state": "CONNECT", "reason": "connection_refused",
    }  # fmt: skip


def test_a_real_client_logs_through_us(stream: io.StringIO) -> None:
    from confluent_kafka import Consumer

    settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "client.id": "streamguard"}
    consumer = Consumer(settings, logger=logs.librdkafka())
    for _ in range(50):
        consumer.poll(0.1)
        if any(line.get("reason") == "connection_refused" for line in lines(stream)):
            break
    else:
        pytest.fail("librdkafka's complaint did not arrive")
    consumer.close()
    assert "127.0.0.1" not in stream.getvalue()


def test_uncaught_exceptions_say_class_and_our_place_only() -> None:
    done = run("raise ValueError(CANARY)")
    assert done.returncode == 1
    assert "python.uncaught exception=ValueError" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_our_place_is_the_innermost_frame_of_ours(stream: io.StringIO) -> None:
    from streamguard.policy.paths import parse_path

    try:
        parse_path("a..b")
    except ValueError as error:
        logs.get("streamguard.test").error("lane.failed", error=error)
    assert str(lines(stream)[0]["at"]).startswith("streamguard.policy.paths:")


def test_nothing_python_prints_by_itself_gets_out() -> None:
    done = run(
        """
        import asyncio, gc, logging, sys, threading, warnings

        def boom():
            raise RuntimeError(CANARY)

        thread = threading.Thread(target=boom); thread.start(); thread.join()

        class Clumsy:
            def __del__(self): raise OSError(CANARY)
        Clumsy(); gc.collect()

        warnings.warn(CANARY)
        warnings.warn(CANARY, DeprecationWarning)
        logging.warning("%d", CANARY)                       # a format that fails
        logging.getLogger("lib").warning("%s %s", CANARY)   # too few arguments

        async def main():
            logs.watch(asyncio.get_running_loop())
            async def fail(): raise LookupError(CANARY)
            task = asyncio.create_task(fail()); await asyncio.sleep(0.01)
            del task; gc.collect()
            asyncio.get_running_loop().call_soon(boom)
            await asyncio.sleep(0.01)
        asyncio.run(main())
        """
    )
    assert done.returncode == 0
    assert done.stdout == ""
    assert CANARY not in done.stderr
    assert "Traceback" not in done.stderr
    for expected in (
        "python.uncaught_in_thread exception=RuntimeError", "python.unraisable exception=OSError",
        "python.warning exception=UserWarning", "python.warning exception=DeprecationWarning",
        "python.unhandled_in_loop exception=LookupError", "python.unhandled_in_loop exception=RuntimeError",
        "library logger=root", "library logger=lib",
    ):  # fmt: skip
        assert expected in done.stderr


def test_faust_and_mode_say_nothing_of_their_own() -> None:
    """A Faust app that crashes with a document in the exception, run by mode's worker with logging left to us."""
    done = run(
        """
        import asyncio, faust, mode, sys

        app = faust.App("canary-app", broker="kafka://127.0.0.1:1", web_enabled=False, datadir="unused")

        class Failing(mode.Service):
            async def on_start(self): self.log.error("document %s", CANARY)
            @mode.Service.task
            async def work(self): raise ValueError(CANARY)

        class Worker(faust.Worker):
            def on_init_dependencies(self): return [Failing()]

        async def main():
            worker = Worker(app, override_logging=False, redirect_stdouts=False, quiet=True)
            worker.spinner = None
            try:
                await worker.start()
            finally:
                await worker.stop()
        asyncio.run(main())
        """
    )
    assert CANARY not in done.stdout + done.stderr
    assert "exception=ValueError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stream_that_fails_does_not_end_the_service(restored: None) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logs.setup("text", "info", Full())
    logs.get("streamguard.test").info("lane.started")


def test_loops_are_watched(stream: io.StringIO) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        logs.watch(loop)
        loop.call_exception_handler({"message": CANARY, "exception": ValueError(CANARY)})

    asyncio.run(main())
    assert "python.unhandled_in_loop" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def calls_to_event_loggers() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("debug", "info", "warning", "error")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "_log")
            ):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_line_of_ours_has_an_event_and_declared_fields() -> None:
    calls = list(calls_to_event_loggers())
    assert calls
    for place, call in calls:
        (event,) = call.args
        assert isinstance(event, ast.Constant), place
        assert isinstance(event.value, str), place
        assert logs._CODE.fullmatch(event.value), place
        fields = {keyword.arg for keyword in call.keywords}
        assert fields <= logs.FIELDS.keys() | {"error"}, f"{place}: {fields}"
