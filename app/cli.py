"""Where arguments go: no argument or a file opens the window, a word runs a command.

Nothing slow is imported before it is known which of the two is wanted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

COMMANDS = ("list", "train", "evaluate", "sample", "render", "script", "doctor", "tour", "shots")
#: Exit codes: bad input, and what a shell expects after Ctrl+C.
BAD_INPUT = 2
INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Carry out one call of the program.

    Args:
        arguments: What stands behind ``main.py``.

    Returns:
        The exit code: 0, 1 where a check failed, 2 for bad input, 130 after Ctrl+C.
    """
    try:
        if not arguments or not (arguments[0].startswith("-") or arguments[0] in COMMANDS):
            return open_window(arguments)
        from app.shell import run_command

        return run_command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def open_window(arguments: Sequence[str]) -> int:
    """Open the window, on a saved run if one is given; without a display render a tour."""
    path = arguments[0] if arguments else None
    if len(arguments) > 1:
        return complain(f"given {len(arguments)} files, wanted one: {' '.join(arguments)}")
    if path is not None and not Path(path).is_file():
        return complain(
            f"given '{path}', wanted a file that exists or one of: {', '.join(COMMANDS)}"
        )
    if not has_display():
        from app.tour import run_tour

        sys.stderr.write("genscope: there is no display: rendering every panel into tour/\n")
        return run_tour(path)
    from app.bootstrap import run_window

    return run_window(path)


def has_display() -> bool:
    """Whether a window can be seen (or an off-screen platform was asked for by name)."""
    if sys.platform != "linux":
        return True
    return any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def complain(sentence: str) -> int:
    """Say on stderr what is wrong; returns the exit code."""
    sys.stderr.write(f"genscope: {sentence}\n")
    return BAD_INPUT
