"""`streamguard filter` as people run it: a process between pipes and files."""

import os
import resource
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import orjson
import pytest

from streamguard.demo.sample import Orders

ROOT = Path(__file__).parents[3]
POLICY = ROOT / "policies" / "orders.yaml"
COMMAND = [sys.executable, "-P", "-m", "streamguard.cli", "filter"]


def run(*arguments, cwd, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, timeout=100, check=False, **options
    )


def documents(data):
    return [orjson.loads(line) for line in data.splitlines()]


@pytest.fixture
def orders(tmp_path):
    """A file of 500 orders, among them 56 bad ones, and the bad ones' count."""
    samples = [sample for sample in islice(Orders(seed=3, faults=0.1), 500) if sample.value]
    (tmp_path / "orders.ndjson").write_bytes(b"".join(sample.value + b"\n" for sample in samples))
    bad = sum(bool(sample.fault) for sample in samples)
    assert bad > 30
    return tmp_path / "orders.ndjson", len(samples) - bad, bad


def test_clean_records_go_to_stdout_and_violations_to_stderr(tmp_path, orders):
    file, good, bad = orders
    done = run(POLICY, file, "--ephemeral-keys", cwd=tmp_path)
    assert done.returncode == 1
    clean, violations = documents(done.stdout), documents(done.stderr)
    assert (len(clean), len(violations)) == (good, bad)
    assert all(
        order["customer"]["name"].startswith("sg1.e.") for order in clean if "name" in order["customer"]
    )
    assert {violation["policy"]["name"] for violation in violations} == {"orders"}
    assert all(violation["original"] == "omitted" for violation in violations)
    assert b"@example" not in done.stdout + done.stderr


def test_stdin_is_read_where_no_file_is_named(tmp_path, orders):
    file, good, _ = orders
    for name in ([], ["-"]):
        done = run(POLICY, *name, "--ephemeral-keys", cwd=tmp_path, input=file.read_bytes())
        assert len(documents(done.stdout)) == good


def test_violations_go_to_a_file(tmp_path, orders):
    file, good, bad = orders
    done = run(POLICY, file, "--ephemeral-keys", "--violations", "bad.ndjson", cwd=tmp_path)
    assert done.returncode == 1
    assert (len(documents(done.stdout)), done.stderr) == (good, b"")
    assert len(documents((tmp_path / "bad.ndjson").read_bytes())) == bad


def test_the_exit_code_says_whether_there_were_violations(tmp_path, orders):
    file, _, _ = orders
    assert run(POLICY, file, "--ephemeral-keys", "--ok-with-violations", cwd=tmp_path).returncode == 0
    good = b"".join(sample.value + b"\n" for sample in islice(Orders(faults=0), 10))
    assert run(POLICY, "--ephemeral-keys", cwd=tmp_path, input=good).returncode == 0
    assert run(POLICY, "--ephemeral-keys", cwd=tmp_path, input=b"").returncode == 0


def test_with_the_service_s_keys_its_tokens_can_be_revealed(tmp_path, orders):
    file, _, _ = orders
    streamguard = [sys.executable, "-P", "-m", "streamguard.cli"]
    subprocess.run(
        [*streamguard, "keys", "init", "--file", "master.key"], cwd=tmp_path, check=True, capture_output=True
    )
    options = ["--keys", "master.key", "--store", "sqlite:///keys.db"]
    done = run(POLICY, file, *options, cwd=tmp_path)
    order = documents(done.stdout)[0]
    revealed = subprocess.run(
        [*streamguard, "reveal", *options, order["customer"]["email"]],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (
        orjson.loads(revealed.stdout) == orjson.loads(file.read_bytes().splitlines()[0])["customer"]["email"]
    )
    again = documents(run(POLICY, file, *options, cwd=tmp_path).stdout)[0]
    assert again["customer"]["email"] == order["customer"]["email"]
    assert again["customer"]["name"] != order["customer"]["name"]
    assert all(violation["original"].startswith("sg1.q.") for violation in documents(done.stderr))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([POLICY, "orders.ndjson"], 2, "no keys"),
        ([POLICY, "orders.ndjson", "--ephemeral-keys", "--keys", "x"], 2, "takes no other keys"),
        ([POLICY, "orders.ndjson", "--keys", "x"], 2, "streamguard.yaml"),
        ([POLICY, "missing.ndjson", "--ephemeral-keys"], 2, "cannot be opened"),
        ([POLICY, ".", "--ephemeral-keys"], 2, "cannot be opened"),
        (
            [POLICY, "orders.ndjson", "--ephemeral-keys", "--violations", "orders.ndjson"],
            2,
            "the input itself",
        ),
        ([POLICY, "orders.ndjson", "--ephemeral-keys", "--violations", "missing/bad"], 2, "cannot be opened"),
        (["missing.yaml", "--ephemeral-keys"], 1, "missing.yaml"),
        (["bad.yaml", "--ephemeral-keys"], 1, "encypt"),
    ],
)
def test_wrong_use_is_told_before_anything_is_read(tmp_path, orders, arguments, code, message):
    (tmp_path / "bad.yaml").write_text("topic: t\nkey: drop\nfields: {a: encypt}\n")
    before = orders[0].read_bytes()
    done = run(*arguments, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert orders[0].read_bytes() == before


def start(cwd, **options):
    return subprocess.Popen(
        [*COMMAND, str(POLICY), "--ephemeral-keys"],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


ORDER = next(Orders(faults=0)).value + b"\n"


def test_a_record_comes_out_while_the_stream_goes_on(tmp_path):
    with start(tmp_path) as process:
        for _ in range(3):
            process.stdin.write(ORDER)
            process.stdin.flush()
            assert orjson.loads(process.stdout.readline())["type"]
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        assert orjson.loads(process.stderr.readline())["code"] == "schema.required"
        process.stdin.close()
        assert process.wait(50) == 1


def test_it_ends_quietly_when_nobody_reads_on(tmp_path):
    with start(tmp_path) as process:
        process.stdout.close()
        try:
            process.stdin.write(ORDER * 1000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(50) == 141
        assert process.stderr.read() == b""


def test_ctrl_c_ends_it_quietly_and_leaves_whole_lines(tmp_path):
    with start(tmp_path) as process:
        process.stdin.write(ORDER)
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(50) == 130
        assert orjson.loads(first)
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_it_reads_no_faster_than_somebody_takes(tmp_path):
    with start(tmp_path) as process:
        os.set_blocking(process.stdin.fileno(), False)
        taken, idle = 0, 0
        block = ORDER * 1000
        while idle < 20:
            written = process.stdin.raw.write(block) if hasattr(process.stdin, "raw") else None
            taken += written or 0
            idle = 0 if written else idle + 1
            time.sleep(0.1)
        # Pipes hold 64 kB each; what is on its way inside is one read of at most 256 kB.
        assert taken < 2_000_000
        process.kill()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_told_in_one_paragraph(tmp_path, orders):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, str(POLICY), str(orders[0]), "--ephemeral-keys"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def peak_kilobytes(cwd, records):
    """The most memory that filtering so many records takes, in a process of its own."""
    source = (
        "import sys\n"
        "from itertools import islice\n"
        "from streamguard.demo.sample import Orders\n"
        "block = b''.join(s.value + b'\\n' for s in islice(Orders(faults=0.05), 1000) if s.value)\n"
        f"for _ in range({records // 1000}): sys.stdout.buffer.write(block)\n"
    )
    producer = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, cwd=cwd)
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(
            [*COMMAND, str(POLICY), "--ephemeral-keys"],
            cwd=cwd,
            stdin=producer.stdout,
            stdout=nowhere,
            stderr=nowhere,
        )
        producer.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
    producer.wait(10)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_input(tmp_path):
    assert resource.RUSAGE_CHILDREN  # ru_maxrss is in kilobytes on Linux
    assert peak_kilobytes(tmp_path, 60_000) < peak_kilobytes(tmp_path, 3_000) + 12_000
