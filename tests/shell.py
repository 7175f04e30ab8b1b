"""Lines of a page, typed into bash."""

import os
import subprocess
import sys
from pathlib import Path


def in_bash(lines: str, folder: Path, **environment: str) -> str:
    """Run them in a folder, with this environment's programs first; bash has to like each. Gives what they printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", lines],
        cwd=folder,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
