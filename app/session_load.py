"""Bring a session from where it is stored into the folder of a running window, run by run.

Runs in a thread of its own. What is damaged is left out and said; the rest opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from app.session_file import (
    CHANGES,
    DATA,
    FIGURES,
    LONGEST_FIGURES,
    LONGEST_RECORD,
    MOST_RUNS,
    RECORD,
    RUNS,
    WEIGHTS,
    RunRecord,
    SessionError,
    SessionRecord,
    decode_figures,
    decode_record,
    entry_of,
    figures_file,
    past_folder,
    run_file,
)
from app.session_source import DamagedError, Source
from engine.wire.messages import Metrics, RunSpec


@dataclass
class FoundRun:
    """One run of a stored session.

    Attributes:
        record: As it was written, with the old id.
        run: Its new id.
        file: Its own file in the new folder, or None where a run has none yet.
        figures: Its training figures, or None.
        lost: What could not be read of it, in words.
    """

    record: RunRecord
    run: str
    file: Path | None = None
    figures: Metrics | None = None
    lost: list[str] = field(default_factory=list)

    @property
    def past(self) -> Path | None:
        """The folder with its stored steps."""
        return self.file.with_suffix(".history") if self.file is not None else None


@dataclass
class Plan:
    """What a stored session holds, before its runs are brought in.

    Attributes:
        name: The file's name.
        record: As written; empty where it could not be read.
        ids: New ids by old ones, of the runs that can be opened.
        lost: What could not be read, in words.
    """

    name: str
    record: SessionRecord
    ids: dict[str, str]
    lost: list[str]


@dataclass
class FoundPast:
    """The past of a run is in its folder.

    Attributes:
        of: The run, with all that is lost of it.
        lost: What is lost of its past alone.
    """

    of: FoundRun
    lost: list[str]


def load(
    source: Source, folder: Path, new_id: Callable[[], str], keep: bool = False
) -> Iterator[Plan | FoundRun | FoundPast]:
    """First the :class:`Plan`, then all runs, then the past of each; the one in view comes first.

    Args:
        source: The stored session.
        folder: The window's own session folder.
        new_id: Gives an unused run id.
        keep: Whether a run that has no file of its own yet starts anew (after a crash).

    Raises:
        SessionError: It is of a newer program, or not one run of it can be read.
    """
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    record, lost = _record(source)
    entries = _by_run(source)
    found = [
        _begin(source, folder, FoundRun(r, new_id()), entries.get(r.run, {}), keep)
        for r in _in_order(record, entries)
    ]
    good = [run for run in found if run.file is not None or keep]
    lost += [_whole(run) for run in found if run not in good]
    if not good and (found or lost):
        raise SessionError(f"not one run in {source.name} can be read: {'; '.join(lost)}")
    yield Plan(source.name, record, {run.record.run: run.run for run in good}, lost)
    for run in good:
        _bring_figures(source, folder, run)
        yield replace(run, lost=[*run.lost])  # it goes to another thread
    for run in good:
        said = len(run.lost)
        _bring_past(source, folder, run, entries.get(run.record.run, {}))
        yield FoundPast(run, run.lost[said:])


def _whole(run: FoundRun) -> str:
    return f"{run.record.title or run.record.run} could not be read"


def _record(source: Source) -> tuple[SessionRecord, list[str]]:
    if RECORD not in source.names():
        return SessionRecord(), ["the list of runs is missing, so layout and cursor are new"]
    try:
        data = source.read(RECORD, LONGEST_RECORD)
    except DamagedError:
        return SessionRecord(), ["the list of runs was damaged, so layout and cursor are new"]
    return decode_record(source.name, data), []


def _by_run(source: Source) -> dict[str, dict[str, str]]:
    """Names of entries by run and kind."""
    found: dict[str, dict[str, str]] = {}
    for name in source.names():
        entry = entry_of(name)
        if entry is not None:
            found.setdefault(entry[0], {})[entry[1]] = name
    return found


def _in_order(record: SessionRecord, entries: Mapping[str, Mapping[str, str]]) -> list[RunRecord]:
    """The run in view first, then by place; without a record all that have a file."""
    runs = list(record.runs)
    if not runs:
        ids = [run for run, kinds in entries.items() if WEIGHTS in kinds][:MOST_RUNS]
        runs = [RunRecord(run, RunSpec("", ""), place) for place, run in enumerate(ids)]
    return sorted(runs, key=lambda run: (run.run != record.current, run.place))


def _begin(
    source: Source, folder: Path, found: FoundRun, kinds: Mapping[str, str], keep: bool
) -> FoundRun:
    target = run_file(folder, found.run)
    try:
        _extract(source, f"{RUNS}/{found.record.run}{WEIGHTS}", target)
        found.file = target
    except DamagedError:
        if keep and found.record.step > 0:
            found.lost.append(f"its training up to step {found.record.step:,}")
    for kind, name in kinds.items():
        if kind.startswith(DATA):
            with suppress(DamagedError):  # the engine says what it lacks
                _extract(source, name, target.with_name(found.run + kind))
    return found


def _bring_figures(source: Source, folder: Path, run: FoundRun) -> None:
    name = f"{RUNS}/{run.record.run}{FIGURES}"
    if name not in source.names():
        if run.record.step > 0:
            run.lost.append("its training figures")
        return
    try:
        figures = decode_figures(source.read(name, LONGEST_FIGURES))
        run.figures = msgspec.structs.replace(figures, run=run.run)
        _extract(source, name, figures_file(folder, run.run))
    except SessionError:
        run.lost.append("its training figures")


def _bring_past(source: Source, folder: Path, run: FoundRun, kinds: Mapping[str, str]) -> None:
    if run.file is None:
        return
    target = past_folder(folder, run.run)
    target.mkdir(exist_ok=True)
    got = {"s": 0, "k": 0, "c": 0}
    bad = dict(got)
    for kind in sorted(kinds):
        if kind.startswith("."):
            continue
        try:
            _extract(source, kinds[kind], target / kind)
            got[kind[0]] += 1
        except DamagedError:
            bad[kind[0]] += 1
    for letter, said, words in (
        ("s", run.record.n_steps, "stored step"),
        ("k", run.record.n_keyframes, "keyframe"),
    ):
        gone = bad[letter] if said < 0 else max(0, said - got[letter])
        if gone:
            run.lost.append(f"{gone:,} {words}{'s' if gone > 1 else ''}")
    if bad["c"] or (run.record.n_steps > 0 and not got["c"] and CHANGES not in kinds):
        run.lost.append("the list of changed settings")


def _extract(source: Source, name: str, target: Path) -> None:
    try:
        source.extract(name, target)
    except OSError as error:
        raise SessionError(f"{target.parent} cannot be written: {error.strerror}") from None
