"""Genscope: arguments in, ``app.cli`` out."""

import sys


def main() -> int:
    """Open the window or run a command; returns the exit code."""
    from app.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
