"""The real service, as a process of its own, in a folder that ends with the demo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import orjson

from streamguard.crypto.kms.local import generate, write_file
from streamguard.errors import StreamGuardError
from streamguard.policy.loader import LoadedPolicy, load_policy
from streamguard.policy.service import Service, load_service

GROUP: Final = "demo"

# In a wheel, policy and schema are beside this file; in a clone, at its top.
_PLACES: Final = (Path(__file__).parent, Path(__file__).parents[2])
_POLICY: Final = Path("policies") / "orders.yaml"
_STOPS_WITHIN: Final = 12.0  # seconds; the service itself takes 10 at most
# The service must not outlive us, whatever ends us.
_COMMAND: Final = (
    "import sys; from streamguard.streams.lifeline import die_with_parent; die_with_parent(int(sys.argv.pop(1)));"
    "from streamguard.cli import main; main()"
)


def find_policy() -> LoadedPolicy:
    """The policy of the orders topic that comes with StreamGuard."""
    found = next((place / _POLICY for place in _PLACES if (place / _POLICY).is_file()), None)
    if found is None:
        raise StreamGuardError(
            "The demo's policy, policies/orders.yaml, is missing.", "Install StreamGuard again."
        )
    return load_policy(found)


class DemoService:
    """Its own service file, master key and store; nothing of the user's is touched."""

    def __init__(self, policy: Path, broker: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="streamguard-demo-"))
        self._config = self.folder / "streamguard.yaml"
        settings = {
            "kafka": {"bootstrap.servers": broker},
            "group": GROUP,
            "policies": [str(policy.resolve())],
            "topics": {"create": False},
            "web": {"port": 0},
        }
        self._config.write_bytes(orjson.dumps(settings, option=orjson.OPT_INDENT_2))  # JSON is YAML
        write_file(self.folder / "streamguard.key", generate())
        self._log = self.folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Service:
        """What its service file says."""
        return load_service(self._config)

    def start(self) -> int:
        """``streamguard run -c streamguard.yaml``; returns its process id."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-c", _COMMAND, str(os.getpid()), "run", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us, who end it in good order
            )
        return self._process.pid

    def check(self) -> None:
        """Raise StreamGuardError with the end of its log, which holds no personal data, when it does not run."""
        if self._process is not None and self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").splitlines()
            raise StreamGuardError(
                "The service ended by itself.", "Its log ends with:\n  " + "\n  ".join(lines[-8:])
            )

    def stop(self) -> int | None:
        """End it as an orchestrator would, and remove its folder; returns its exit code."""
        code = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                code = self._process.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code
