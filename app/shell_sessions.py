"""One run of a session file for commands that take a saved run."""

from __future__ import annotations

import atexit
import itertools
import shutil
import sys
import tempfile
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path

from app.session_file import SUFFIX, SessionError
from app.session_load import FoundPast, FoundRun, Plan, load
from app.session_source import open_source
from app.shell_engine import ShellError

#: Which run is meant, counted from 1 in the order of the strip.
_chosen: ContextVar[int] = ContextVar("chosen run", default=1)


def choose_run(number: int) -> int:
    """Remember ``--run`` for the command that follows."""
    _chosen.set(number)
    return number


def is_session(path: Path) -> bool:
    """Whether a file's ending says that it is a session."""
    return path.suffix.lower() == SUFFIX


def run_out_of(path: Path) -> str:
    """The chosen run of a session as a file of its own, which goes with the process.

    Raises:
        ShellError: It is no session, or the run is not in it; the sentence lists what is.
    """
    folder = Path(tempfile.mkdtemp(prefix="genscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ids = itertools.count(1)
    try:
        with closing(open_source(path)) as source:
            found = list(load(source, folder, lambda: f"run-{next(ids)}"))
    except SessionError as error:
        raise ShellError(str(error)) from None
    plan = next(item for item in found if isinstance(item, Plan))
    for words in plan.lost:
        sys.stderr.write(f"genscope: {path.name}: {words}\n")
    return str(_choose(path.name, [item.of for item in found if isinstance(item, FoundPast)]))


def _choose(name: str, runs: list[FoundRun]) -> Path:
    """The file of the chosen run."""
    runs = sorted(runs, key=lambda run: run.record.place)
    number = _chosen.get()
    if number > len(runs):
        there = ", ".join(f"{k} {run.record.title}" for k, run in enumerate(runs, 1))
        raise ShellError(f"--run: given {number}; the runs in {name} are: {there or 'none'}")
    run = runs[number - 1]
    if run.file is None:
        raise ShellError(f"--run: run {number} in {name} was never trained")
    for words in run.lost:
        sys.stderr.write(f"genscope: {name}: {run.record.title}: {words} lost\n")
    return run.file
