"""``python -m streamguard.cli``: the same as the command ``streamguard``."""

from streamguard.cli import main

main()
