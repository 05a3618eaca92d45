"""Where the `seqloom` script begins: thin, so that Ctrl-C while modules load is one line too."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs `seqloom_cli.main`; exit 130 when interrupted before a command began."""
    try:
        from seqloom_cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
