"""Session files without an engine: written, cut, damaged, forged; and what autosave keeps."""

from __future__ import annotations

import itertools
import os
import random
import time
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from app.autosave import LOCK, Autosave, FolderLock, leftovers
from app.session_file import (
    RECORD,
    RUNS,
    RunRecord,
    SessionError,
    SessionRecord,
    View,
    encode_figures,
    encode_record,
    entry_of,
    new_folder,
    program_version,
    write_session,
)
from app.session_load import FoundPast, FoundRun, Plan, load
from app.session_source import FileSource, FolderSource, open_source
from app.sessions import renamed
from app.shell_engine import ShellError
from app.shell_inputs import readable_file
from app.shell_sessions import choose_run
from engine.wire.messages import Metrics, RunSpec
from widgets.metrics_table import MetricsTable

SPEC = RunSpec("toy", "points", {"learning_rate": 0.1}, {"dabs": "AAAA"}, seed=3)
RUN_IDS = ("run-1", "run-2", "run-3")
N_STEPS, N_KEYFRAMES = 5, 2


def figures(run: str) -> Metrics:
    return Metrics(run, ("loss", "held out"), np.arange(4.0), np.arange(8.0).reshape(4, 2))


def record(**more: object) -> SessionRecord:
    runs = tuple(
        RunRecord(run, SPEC, place, f"Toy {place}", step=40) for place, run in enumerate(RUN_IDS)
    )
    view = View("window", "docks", {"density": {"run": "run-2", "zoom": 2.0}})
    known = SessionRecord(
        program="0.1.0", runs=runs, current="run-2", cursor=12, view=view, when=time.time()
    )
    return msgspec.structs.replace(known, **more)


def fill(folder: Path) -> Path:
    """A session folder whose runs are bytes that only this test understands."""
    for run in RUN_IDS:
        past = folder / RUNS / f"{run}.history"
        past.mkdir(parents=True)
        (folder / RUNS / f"{run}.safetensors").write_bytes(f"weights of {run}".encode() * 9)
        (folder / RUNS / f"{run}.metrics").write_bytes(encode_figures(figures(run)))
        (past / "changes.msgpack").write_bytes(b"changes")
        for step in range(N_STEPS):
            (past / f"s-{step:012d}.safetensors").write_bytes(f"{run} step {step} ".encode() * 5)
        for step in range(N_KEYFRAMES):
            (past / f"k-{step:012d}.safetensors").write_bytes(f"{run} key {step} ".encode() * 5)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "three.genscope"
    write_session(path, fill(tmp_path / "written"), record())
    return path


def opened(path: Path, folder: Path, keep: bool = False) -> tuple[Plan, list[FoundRun]]:
    ids = itertools.count(10)
    source = open_source(path)
    try:
        plan, *runs = load(source, folder, lambda: f"run-{next(ids)}", keep)
    finally:
        source.close()
    assert isinstance(plan, Plan)
    return plan, [found.of for found in runs if isinstance(found, FoundPast)]


def lost(plan: Plan, runs: list[FoundRun]) -> list[str]:
    return plan.lost + [words for run in runs for words in run.lost]


def content(folder: Path, run: str) -> dict[str, bytes]:
    """All that lies in a folder of a run, by its name after the run's."""
    root = folder / RUNS
    found = [p for p in root.rglob("*") if p.is_file() and p.relative_to(root).parts]
    mine = [p for p in found if p.relative_to(root).parts[0].split(".")[0] == run]
    return {p.relative_to(root).as_posix().replace(run, "*"): p.read_bytes() for p in mine}


# --- whole files ------------------------------------------------------------------------------


def test_round_trip(file: Path, tmp_path: Path) -> None:
    plan, runs = opened(file, tmp_path / "new")
    assert lost(plan, runs) == []
    assert [run.record.run for run in runs] == ["run-2", "run-1", "run-3"], "in view comes first"
    assert plan.ids == {"run-2": "run-10", "run-1": "run-11", "run-3": "run-12"}
    assert (plan.record.cursor, plan.record.current) == (12, "run-2")
    assert [run.record.n_steps for run in runs] == [N_STEPS] * 3
    for run in runs:
        assert run.record.spec == SPEC
        assert content(tmp_path / "new", run.run) == content(tmp_path / "written", run.record.run)
        assert run.figures is not None
        assert np.array_equal(run.figures.table, figures("").table)


def test_any_zip_program_reads_it(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == RECORD
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_older_file_stays_when_writing_fails(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    target = tmp_path / "nowhere" / "x.genscope"
    with pytest.raises(SessionError, match=r"x\.genscope cannot be written"):
        write_session(target, tmp_path / "written", record())
    blocked = tmp_path / "written" / RUNS / "run-1.metrics"
    blocked.unlink()
    blocked.symlink_to(tmp_path / "gone")
    write_session(file, tmp_path / "written", record())
    assert file.read_bytes() != before
    assert not list(tmp_path.glob(".genscope-*"))


# --- damage -----------------------------------------------------------------------------------


def test_cut_anywhere_gives_all_that_is_left(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        ends = {
            i.filename: i.header_offset + 30 + len(i.filename) + len(i.extra) + i.file_size
            for i in archive.infolist()
        }
    places = sorted({*ends.values(), *range(0, len(whole), 197)})
    for number, size in enumerate(places):
        cut = tmp_path / "cut.genscope"
        cut.write_bytes(whole[:size])
        there = {name for name, end in ends.items() if end <= size}
        runs_there = {run for run in RUN_IDS if f"{RUNS}/{run}.safetensors" in there}
        folder = tmp_path / f"cut-{number}"
        if not runs_there:
            with pytest.raises(SessionError, match=r"cut\.genscope"):
                opened(cut, folder)
            continue
        plan, runs = opened(cut, folder)
        assert {run.record.run for run in runs} == runs_there, size
        for run in runs:
            mine = {n for n in there if (entry_of(n) or ("", ""))[0] == run.record.run}
            got = content(folder, run.run)
            assert len(got) == len(mine), size
            for name, data in content(tmp_path / "written", run.record.run).items():
                assert got.get(name, data) == data
        if set(ends) - there:
            assert lost(plan, runs), size


def test_every_flipped_bit_costs_one_entry_and_is_said(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    written = {run: content(tmp_path / "written", run) for run in RUN_IDS}
    chance = random.Random(0)
    with zipfile.ZipFile(file) as archive:
        directory = archive.start_dir
    for number in range(150):
        at = chance.randrange(directory)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        path = tmp_path / "flipped.genscope"
        path.write_bytes(bytes(damaged))
        folder = tmp_path / f"flip-{number}"
        plan, runs = opened(path, folder)
        wrong = 0
        for run in RUN_IDS:
            new = plan.ids.get(run)
            got = content(folder, new) if new else {}
            assert all(written[run][name] == data for name, data in got.items()), at
            wrong += len(written[run]) - len(got) if new else 1
        assert wrong <= 1, at
        assert not wrong or lost(plan, runs), at


def test_damage_in_the_directory_at_the_end_costs_nothing(file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        directory = archive.start_dir
    data = bytearray(file.read_bytes())
    data[directory + 20 :] = bytes(len(data) - directory - 20)
    file.write_bytes(bytes(data))
    assert lost(*opened(file, tmp_path / "new")) == []


def test_missing_run_is_named(file: Path, tmp_path: Path) -> None:
    written = tmp_path / "written"
    (written / RUNS / "run-3.safetensors").unlink()
    past = written / RUNS / "run-1.history"
    whole = tmp_path / "four.genscope"
    write_session(whole, written, record())
    plan, runs = opened(whole, tmp_path / "new")
    assert plan.lost == ["Toy 2 could not be read"]
    assert [run.record.run for run in runs] == ["run-2", "run-1"]
    (past / "s-000000000001.safetensors").unlink()
    assert "run-3" not in plan.ids


def test_lost_steps_are_counted(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    for text in (b"run-1 step 1 run-1", b"run-1 step 3 run-1", b"run-1 key 1 run-1"):
        assert data.count(text) >= 1
        data = data.replace(text, text.swapcase())
    file.write_bytes(data)
    plan, runs = opened(file, tmp_path / "new")
    hurt = next(run for run in runs if run.record.run == "run-1")
    assert hurt.lost == ["2 stored steps", "1 keyframe"]
    assert lost(plan, [run for run in runs if run is not hurt]) == []


def test_without_a_record_the_runs_still_open(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes().replace(b'"cursor":12', b'"cursor":13', 1)
    file.write_bytes(data)
    plan, runs = opened(file, tmp_path / "new")
    assert plan.lost == ["the list of runs was damaged, so layout and cursor are new"]
    assert sorted(run.record.run for run in runs) == list(RUN_IDS)


# --- forged and foreign files -----------------------------------------------------------------


def write_zip(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_nothing_is_unpacked_outside_of_its_folder(tmp_path: Path) -> None:
    evil = {
        RECORD: encode_record(record(runs=(RunRecord("run-1", SPEC),))),
        "runs/run-1.safetensors": b"weights",
        "../escaped.safetensors": b"x",
        "runs/../../escaped.safetensors": b"x",
        "/tmp/escaped.safetensors": b"x",
        "runs/run-1.history/../../../escaped.safetensors": b"x",
        "runs/run-1.history/s-1.safetensors": b"x",
        "runs\\run-1.history\\s-000000000001.safetensors": b"x",
        "runs/run-1.history/s-000000000001.safetensors\n": b"x",
    }
    path = write_zip(tmp_path / "evil.genscope", evil)
    folder = tmp_path / "deep" / "folder"
    _, runs = opened(path, folder)
    assert [run.run for run in runs] == ["run-10"]
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["run-10.safetensors"]
    assert not [p for p in tmp_path.rglob("*escaped*") if p.is_file()]


@pytest.mark.parametrize("run", ["../up", "a/b", "", ".", "x" * 65, "ä"])
def test_ids_that_are_paths_name_no_entry(run: str) -> None:
    assert entry_of(f"{RUNS}/{run}.safetensors") is None


def test_compressed_entries_are_not_unpacked(tmp_path: Path) -> None:
    entries = {"runs/run-1.safetensors": bytes(10_000_000)}
    path = write_zip(tmp_path / "bomb.genscope", entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(SessionError, match="zip archive without a session"):
        FileSource(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95junk", "is a pickle; Genscope never runs code"),
        (b"PK", "is truncated"),
        (b"PK\x03\x04\x14\x00", "is truncated"),
        (b"hello, world", "is no session"),
        (bytes(5000), "is no session"),
    ],
)
def test_foreign_files_are_refused_with_a_sentence(
    data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.genscope"
    path.write_bytes(data)
    with pytest.raises(SessionError, match=rf"^x\.genscope {words}"):
        open_source(path)


def test_foreign_archive_missing_file_and_pipe_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "letter.genscope", {"word/document.xml": b"<xml/>"})
    with pytest.raises(SessionError, match="zip archive without a session in it"):
        open_source(path)
    with pytest.raises(SessionError, match="there is no file"):
        open_source(tmp_path / "gone.genscope")
    os.mkfifo(tmp_path / "pipe.genscope")
    with pytest.raises(SessionError, match="no ordinary file"):
        open_source(tmp_path / "pipe.genscope")


def test_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.genscope"
    write_session(path, fill(tmp_path / "written"), record(format=2, program="9.9"))
    with pytest.raises(SessionError, match=r"newer version of Genscope \(9\.9, format 2; this is"):
        opened(path, tmp_path / "new")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"format":1,"runs":3}', b"\xff\xfe", b"[" * 100_000,
     b'{"format":1,"runs":[{"run":"a","spec":{"type":"RunSpec","model":"m","dataset":"d"}},'
     b'{"run":"a","spec":{"type":"RunSpec","model":"m","dataset":"d"}}]}'],
)  # fmt: skip
def test_records_that_are_none_are_refused(text: bytes, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.genscope", {RECORD: text, "runs/a.safetensors": b"w"})
    with pytest.raises(SessionError, match=r"the list of runs in x\.genscope is damaged"):
        opened(path, tmp_path / "new")


def test_figures_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    bad = Metrics("run-1", ("loss",), np.arange(4.0), np.zeros((3, 1)))
    path = write_zip(
        tmp_path / "x.genscope",
        {
            RECORD: encode_record(record(runs=(RunRecord("run-1", SPEC, step=4),))),
            "runs/run-1.safetensors": b"w",
            "runs/run-1.metrics": encode_figures(bad),
        },
    )
    _, (run,) = opened(path, tmp_path / "new")
    assert run.figures is None
    assert run.lost == ["its training figures"]


def test_ids_in_choices_follow_the_runs() -> None:
    choices = {"runs": ["run-1", "run-2"], "by": {"run-1": 0.5}, "word": "run", "n": 1}
    ids = {"run-1": "run-2", "run-2": "run-3"}
    expected = {"runs": ["run-2", "run-3"], "by": {"run-2": 0.5}, "word": "run", "n": 1}
    assert renamed(choices, ids) == expected


# --- autosave ---------------------------------------------------------------------------------


def keep(root: Path, qtbot: object, **more: object) -> Path:
    """What a window that then crashed left behind."""
    folder = new_folder(root)
    table = MetricsTable()
    table.append(figures("run-1"))
    autosave = Autosave(folder, lambda: record(**more), lambda: {"run-1": table})
    autosave.touch()
    qtbot.waitUntil(lambda: (folder / RECORD).is_file())  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: (folder / RUNS / "run-1.metrics").is_file())  # type: ignore[attr-defined]
    autosave.stop()
    return folder


def test_leftovers_of_dead_processes_are_found(tmp_path: Path, qtbot: object) -> None:
    folder = keep(tmp_path, qtbot)
    (tmp_path / "no lock" / RUNS).mkdir(parents=True)
    (found,) = leftovers(tmp_path)
    assert found.folder == folder
    assert "3 runs open: Toy 0 (step 40), Toy 1 (step 40), Toy 2 (step 40)." in found.words()
    assert leftovers(tmp_path) == [], "another window that starts now must not offer it too"
    found.discard()
    assert not folder.exists()


def test_folder_in_use_is_no_leftover(tmp_path: Path, qtbot: object) -> None:
    folder = new_folder(tmp_path)
    autosave = Autosave(folder, record, dict)
    assert leftovers(tmp_path) == []
    autosave.stop()
    assert leftovers(tmp_path) == [], "there was no run in it"
    assert not folder.exists()


def test_recovery_takes_a_run_that_was_never_written(tmp_path: Path, qtbot: object) -> None:
    folder = fill_part(keep(tmp_path / "root", qtbot))
    plan, runs = opened(folder, tmp_path / "new", keep=True)
    assert [run.record.run for run in runs] == ["run-2", "run-1", "run-3"]
    assert [run.file is None for run in runs] == [False, True, False]
    assert runs[1].record.spec.dataset_config == {"dabs": "AAAA"}
    assert runs[1].lost == ["its training up to step 40"]
    assert plan.lost == []


def fill_part(folder: Path) -> Path:
    for run in ("run-2", "run-3"):
        (folder / RUNS / f"{run}.safetensors").write_bytes(b"weights")
        (folder / RUNS / f"{run}.metrics").write_bytes(encode_figures(figures(run)))
    return folder


def test_locks_end_with_their_holder(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    assert (tmp_path / LOCK).read_text().startswith(f"{os.getpid()} ")
    second.release()


def test_folder_source_copies_where_it_cannot_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource(fill(tmp_path / "left"))

    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    source.extract(f"{RUNS}/run-1.safetensors", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"weights of run-1" * 9


def test_program_version_is_that_of_the_project() -> None:
    assert program_version()[0].isdigit()


# --- the shell --------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "run"), [(1, "run-1"), (3, "run-3")])
def test_shell_takes_the_chosen_run_out(number: int, run: str, file: Path) -> None:
    choose_run(number)
    assert Path(readable_file(file)).read_bytes() == f"weights of {run}".encode() * 9
    choose_run(1)


def test_shell_names_the_runs_that_there_are(file: Path, tmp_path: Path) -> None:
    choose_run(4)
    with pytest.raises(ShellError, match=r"given 4; the runs in .* are: 1 Toy 0, 2 Toy 1, 3 Toy"):
        readable_file(file)
    choose_run(1)
    bad = tmp_path / "bad.genscope"
    bad.write_bytes(b"nothing")
    with pytest.raises(ShellError, match=r"bad\.genscope is no session"):
        readable_file(bad)


def test_shell_says_what_is_lost(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = file.read_bytes()
    file.write_bytes(data.replace(b"run-1 step 1 run-1", b"run-1 step 9 run-1", 1))
    readable_file(file)
    assert "Toy 0: 1 stored step lost" in capsys.readouterr().err
