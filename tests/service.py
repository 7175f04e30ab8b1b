"""The real service in tests: `streamguard run` and its sister commands, in a folder of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.setup import open_keyring
from streamguard.policy.loader import load_policy
from streamguard.policy.service import load_service
from tests.waiting import until

STREAMGUARD = Path(sys.executable).with_name("streamguard")
_LISTENING = re.compile(r"web\.listening\b.*?\bport\W+(\d+)")


class Folder:
    """A service's folder: service file, policy with its schema, master key, store, temporary files and logs.

    `policies` are texts by file name; `settings` are the sections of the service file beside ``kafka``.
    """

    def __init__(
        self,
        path: Path,
        bootstrap: str,
        policies: dict[str, str],
        schemas: dict[str, Any],
        kafka: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.path = path
        self.config = path / "streamguard.yaml"
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap.servers": bootstrap, **(kafka or {})},
            "web": {"port": 0},
            **settings,
        }
        self._runs = 0
        for folder in ("policies", "schemas", "temporary", "logs"):
            (path / folder).mkdir(parents=True)
        for name, text in policies.items():
            (path / "policies" / name).write_text(text)
        for name, document in schemas.items():
            (path / "schemas" / name).write_text(json.dumps(document))
        self.configure()
        self.streamguard("keys", "init", "-c", str(self.config))

    def configure(self, **settings: Any) -> None:
        """Write the service file, with other sections than before."""
        self.settings |= settings
        self.config.write_text(json.dumps(self.settings, indent=2))  # JSON is YAML

    @contextmanager
    def configured(self, **settings: Any) -> Iterator[None]:
        """The service file with other sections, for a while."""
        before = dict(self.settings)
        self.configure(**settings)
        try:
            yield
        finally:
            self.settings = before
            self.configure()

    def streamguard(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, here."""
        done = subprocess.run(
            [str(STREAMGUARD), *arguments],
            cwd=self.path,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    @contextmanager
    def running(
        self,
        *options: str,
        wait: bool = True,
        within: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> Iterator["Running"]:
        """`streamguard run` with these options, ended with all its children when the context ends.

        `within` is a command that runs the service in surroundings of its own, such as ``unshare``.
        """
        running = self.start(*options, within=within, environment=environment)
        try:
            if wait:
                running.until_ready()
            yield running
        finally:
            running.kill()

    def start(
        self, *options: str, within: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> "Running":
        """The same for those who see to its end themselves."""
        self._runs += 1
        log = self.path / "logs" / f"{self._runs}.log"
        command = [*within, str(STREAMGUARD), "run", "-c", str(self.config), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                env={**self._environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, log)

    def keyring(self) -> Keyring:
        """The service's own keyring, to read what it protected."""
        service = load_service(self.config)
        return open_keyring(service.keys, service.store.url.get_secret_value(), create=False)

    def policy_stamp(self, name: str) -> str:
        """What ``sg-policy`` says of a policy: ``name@version``."""
        loaded = load_policy(self.path / "policies" / f"{name}.yaml")
        return f"{loaded.policy.name}@{loaded.policy.version}"

    def install(self, name: str, module: str, **transforms: str) -> None:
        """A third party's package, of one module, with transforms by verb: ``name.Class``."""
        packages = self.path / "packages"
        about = packages / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (packages / f"{name}.py").write_text(module)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entries = "".join(f"{verb} = {name}:{kind}\n" for verb, kind in transforms.items())
        (about / "entry_points.txt").write_text(f"[streamguard.transforms]\n{entries}")

    def _environment(self) -> dict[str, str]:
        python = [str(self.path / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "TMPDIR": str(self.path / "temporary"),
            "PYTHONPATH": os.pathsep.join(python),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }


class Running:
    """A service that runs, or ran."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """Everything that parent and children wrote so far."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """The end of what it said, for whoever has to find out what went wrong."""
        return f"it said:\n{self.said()[-3000:]}"

    def children(self) -> list[int]:
        """The processes with lanes, as the kernel knows them."""
        try:
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in found if b"--lifeline" in _command(int(pid))]

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a request to the service's web address."""
        found = _LISTENING.search(self.said())
        assert found, f"it does not listen; {self.last_words()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    @property
    def is_ready(self) -> bool:
        try:
            return bool(_LISTENING.search(self.said())) and self.get("/health/ready")[0] == 200
        except OSError:
            return False

    def until_ready(self, within: float = 60.0) -> None:
        """Wait until every lane runs. Fails when the service ends before."""

        def ready() -> bool:
            assert self.process.poll() is None, (
                f"it ended with {self.process.returncode}; {self.last_words()}"
            )
            return self.is_ready

        until(ready, within=within, what=lambda: f"the service becomes ready; {self.last_words()}")

    def ended(self, within: float) -> int:
        """Wait for its end by itself; returns the exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on after {within:.0f} s; {self.last_words()}") from None

    def assert_refused(self, *words: str, within: float = 90.0) -> None:
        """It ends by itself, not well; it says these words, what happened and what to do, and nothing else."""
        code, said = self.ended(within), self.said()
        assert code == 1, said
        for word in words:
            assert word in said, f"'{word}' is not in:\n{said}"
        assert "Traceback" not in said, said
        assert "Exception" not in said, said
        # Problems of a file have a line each; librdkafka may say what it met before we do.
        assert len(said.splitlines()) <= 4, said

    def stop(self, within: float = 20.0) -> int:
        """SIGTERM, and its end; returns the exit code."""
        self.process.terminate()
        return self.ended(within)

    def kill(self) -> None:
        """SIGKILL to the parent, and the end of everything that hangs on it."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        for pid in children:
            until(lambda pid=pid: not is_alive(pid), what=f"child {pid} dies with its parent")


def is_alive(pid: int) -> bool:
    """True while there is such a process that is more than the memory of one."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def send(pid: int, number: signal.Signals) -> None:
    """A signal, to a process of ours."""
    os.kill(pid, number)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
