"""The past on disk: what is written when, at what cost, and that it is what was kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine import shelving
from engine.beside import data_file, read_beside
from engine.changes import Change, Changes
from engine.checkpoint import CheckpointError, load, save
from engine.container import TYPES, read_container, write_container
from engine.history import Milestone, take
from engine.run import Run
from engine.shelf import Log, Shelf, coarse_to_fine, load_past
from engine.shelving import Shelving, Shown
from engine.splice import Splice, rows_of, splice, text_of
from engine.wire.messages import RunSpec
from engine.wire.painting import encode_dabs

SMALL = {"n_samples": 200}


def make(model: str = "gaussian_mixture", data: str = "two_moons", **config: object) -> Run:
    return Run("run", RunSpec(model, data, {}, {**SMALL, **config}, seed=1, device="cpu"))  # type: ignore[dict-item]


def train(run: Run, until: int) -> Run:
    run.play(until)
    while run.is_training:
        run.advance()
    return run


# --- the container ----------------------------------------------------------------------------


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    tensors = {f"some.{i}": torch.ones(2, 3 + i).to(kind) for i, kind in enumerate(TYPES)}
    tensors |= {"nothing": torch.empty(0, 4), "one": torch.tensor(2.5, dtype=torch.float64)}
    whole = torch.arange(12.0).reshape(3, 4)
    tensors |= {"turned": whole.T, "part": whole[1:, 2], "same": whole}
    path = tmp_path / "all.safetensors"
    write_container(path, tensors, {"a": "α"})
    ours, theirs = read_container(path), load_file(path)
    assert ours[0] == {"a": "α"}
    for name, value in tensors.items():
        for found in (ours[1][name], theirs[name]):
            assert found.dtype == value.dtype
            assert torch.equal(found, value)


def test_a_number_type_that_the_format_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"z holds torch\.complex64"):
        write_container(tmp_path / "x", {"z": torch.ones(2, dtype=torch.complex64)}, {})
    assert not list(tmp_path.iterdir())


# --- the shelf --------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.safetensors")}


def test_keyframes_come_back_with_every_tensor_as_it_was(tmp_path: Path) -> None:
    run = train(make("gan"), 4)
    run.history.add_keyframe(Milestone(run.trainer.capture(), 0))
    Shelf(tmp_path).sync(*run.past())
    again = load_past(tmp_path, run.exhibit.replica).history.keyframes.entries
    for mine, theirs in zip(run.history.keyframes.entries, again, strict=True):
        assert mine.keyframe.meta == theirs.keyframe.meta
        assert list(mine.keyframe.tensors) != []
        assert mine.keyframe.tensors.keys() == theirs.keyframe.tensors.keys()
        for name, value in mine.keyframe.tensors.items():
            assert theirs.keyframe.tensors[name].shape == value.shape
            assert torch.equal(theirs.keyframe.tensors[name], value), name


def test_a_snapshot_tells_whether_all_its_weights_are_finite() -> None:
    model = make("vae").trainer.model
    assert take(model, 1).is_finite()
    with torch.no_grad():
        [*model.parameters()][-1].view(-1)[-1] = torch.inf
    assert not take(model, 1).is_finite()


def test_without_time_nothing_but_the_log_is_written_and_later_the_rest(tmp_path: Path) -> None:
    run, shelf = train(make(), 40), Shelf(tmp_path)
    shelf.sync(*run.past(), seconds=0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["changes.msgpack"]
    shelf.sync(*run.past(), seconds=1e-9)
    assert len(names(tmp_path)) <= 1
    shelf.sync(*run.past())
    assert len(names(tmp_path)) == len(run.history.steps) + len(run.history.keyframes.steps)


def test_few_steps_that_are_far_apart_come_first() -> None:
    order = coarse_to_fine(range(100))
    assert sorted(order) == list(range(100))
    assert order[0] == 99
    gaps = np.diff(sorted(order[:13]))
    assert gaps.max() <= 16
    assert gaps.min() >= 8


def test_entries_of_another_shelf_are_not_written_twice(tmp_path: Path) -> None:
    run = train(make(), 30)
    first, second = Shelf(tmp_path / "a"), Shelf(tmp_path / "b")
    first.sync(*run.past())
    second.sync(*run.past(), others=[first])
    assert names(tmp_path / "a") == names(tmp_path / "b")
    for name in names(tmp_path / "a"):
        assert os.path.samefile(tmp_path / "a" / name, tmp_path / "b" / name)
    first.clear()
    assert load_past(tmp_path / "b", run.exhibit.replica).history.steps == run.history.steps


def test_an_entry_that_the_other_shelf_lost_is_written(tmp_path: Path) -> None:
    run = train(make(), 30)
    first = Shelf(tmp_path / "a")
    first.sync(*run.past())
    (tmp_path / "a" / "s-000000000003.safetensors").unlink()
    Shelf(tmp_path / "b").sync(*run.past(), others=[first])
    assert load_past(tmp_path / "b", run.exhibit.replica).history.steps == run.history.steps


def test_a_cleared_shelf_writes_no_more(tmp_path: Path) -> None:
    run, shelf = train(make(), 5), Shelf(tmp_path / "a")
    shelf.sync(*run.past())
    shelf.clear()
    shelf.sync(*run.past())
    assert not (tmp_path / "a").exists()


class Disk:
    """A shelving whose visits are made by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Shelving, "_start", lambda _: None)
        self.shelving = Shelving(str(folder), lambda failed: pytest.fail(failed.message))

    def visit(self, run: Run, worked: float | None) -> None:
        shown = Shown(run.name, run.past, worked)
        self.shelving.show([shown])
        self.shelving._visit(shown)


def test_disk_takes_a_share_of_the_training_time_and_all_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("engine.shelving.time.thread_time", lambda: next(clock))
    run, disk = train(make(), 60), Disk(tmp_path, monkeypatch)
    folder = tmp_path / "run.history"
    disk.visit(run, 10 / shelving.SHARE)  # every look at the clock takes a second of this thread
    some = len(names(folder))
    assert 0 < some <= 12
    disk.visit(run, 10 / shelving.SHARE)
    assert len(names(folder)) == some
    disk.visit(run, None)
    assert len(names(folder)) == len(run.history.steps) + len(run.history.keyframes.steps)


def test_a_keyframe_is_written_later_as_the_run_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, disk = train(make("vae"), 5), Disk(tmp_path, monkeypatch)
    then = take(run.trainer.model, 5).tensors
    done = threading.Event()
    disk.shelving.keep("run", run.draft(), done.set)
    train(run, 9)
    assert not done.is_set()
    disk.shelving._write_drafts()
    assert done.is_set()
    loaded = load(disk.shelving.keyframe_path("run"))
    assert loaded.step == 5
    assert loaded.keyframe is not None
    values = list(loaded.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(then, values, strict=True))
    resumed = train(Run("again", run.spec, loaded.keyframe), 9)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            take(run.trainer.model, 9).tensors, take(resumed.trainer.model, 9).tensors, strict=True
        )
    )


def test_a_keyframe_at_once_takes_the_place_of_one_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, disk = train(make(), 3), Disk(tmp_path, monkeypatch)
    disk.shelving.keep("run", run.draft(), lambda: pytest.fail("the older one was written"))
    train(run, 5)
    disk.shelving.keep_now("run", run.draft())
    disk.shelving._write_drafts()
    assert load(disk.shelving.keyframe_path("run")).step == 5


# --- the user's own data ----------------------------------------------------------------------


def picture(folder: Path, value: int) -> str:
    grey = np.full((12, 16), 255, np.uint8)
    grey[3:9, 2 : 2 + value] = value
    path = folder / f"grey-{value}.png"
    Image.fromarray(grey).save(path)
    return str(path)


def test_own_data_lie_once_beside_the_keyframes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    run = make(data="picture", path=picture(tmp_path, 4))
    disk = Disk(kept, monkeypatch)
    disk.shelving.keep_now("run", run.draft())
    (data,) = kept.glob("run.data-*")
    before = data.stat().st_mtime_ns
    train(run, 3)
    disk.shelving.keep_now("run", run.draft())
    assert [*kept.glob("run.data-*")] == [data]
    assert data.stat().st_mtime_ns == before
    _, tensors = read_container(disk.shelving.keyframe_path("run"))
    assert not [name for name in tensors if name.startswith("data.")]
    (tmp_path / "grey-4.png").unlink()
    again = load(disk.shelving.keyframe_path("run")).build_dataset()
    assert torch.equal(again.train, run.dataset.train)
    run.set_data("picture", {**SMALL, "path": picture(tmp_path, 7)})
    disk.shelving.keep_now("run", run.draft())
    (other,) = kept.glob("run.data-*")
    assert other != data
    disk.shelving.drop("run")
    assert not [*kept.iterdir()]


def test_missing_or_changed_data_beside_a_keyframe_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(data="picture", path=picture(tmp_path, 5))
    disk = Disk(tmp_path, monkeypatch)
    disk.shelving.keep_now("run", run.draft())
    path = disk.shelving.keyframe_path("run")
    (data,) = tmp_path.glob("run.data-*")
    write_container(data, {"grey": torch.zeros(3, 3, dtype=torch.uint8)}, {})
    with pytest.raises(CheckpointError, match="is not what was written"):
        load(path)
    data.unlink()
    with pytest.raises(CheckpointError, match="there is no file"):
        load(path)
    whole = tmp_path / "whole.safetensors"
    run.save(str(whole))
    assert load(whole).dataset is not None


def test_a_digest_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it names data"):
        read_beside(tmp_path / "run.safetensors", "../../secret")
    assert data_file(Path("a/run.safetensors"), "0f") == Path("a/run.data-0f.safetensors")


# --- paintings as differences -----------------------------------------------------------------


def paintings(n: int, seed: int = 0) -> list[str]:
    """A canvas as it is painted, thinned, erased and undone."""
    random = np.random.default_rng(seed)
    dabs = random.uniform(0.1, 3.0, (400, 4)).astype(np.float32)
    texts = [encode_dabs(dabs)]
    for turn in range(1, n):
        if turn % 4 == 0:
            dabs = np.delete(dabs, random.integers(0, len(dabs), 9), axis=0)
        elif turn % 4 == 1:
            dabs = dabs.copy()
            dabs[random.integers(0, len(dabs), 12), 3] *= 0.5
        else:
            dabs = np.concatenate([dabs, random.uniform(0.1, 3.0, (8, 4)).astype(np.float32)])
        texts.append(encode_dabs(dabs))
    return [*texts, texts[n // 2]]


def logged(texts: list[str]) -> Changes:
    changes = Changes()
    for step, text in enumerate(texts):
        changes.add(Change.of_data(step, "painted", {"dabs": text, "noise": 0.1 * step}))
    return changes


def test_paintings_in_the_log_are_small_and_exact() -> None:
    texts = paintings(60)
    changes = logged(texts)
    for step, (change, text) in enumerate(zip(changes.entries, texts, strict=True)):
        assert change.data_config() == {"dabs": text, "noise": 0.1 * step}
    assert changes.n_bytes < sum(map(len, texts)) / 15
    again = Changes.from_stored([change.stored() for change in changes.entries])
    assert [c.data_config() for c in again.entries] == [c.data_config() for c in changes.entries]


def test_the_last_painting_of_a_step_replaces_the_one_before_it() -> None:
    first, second, third = paintings(3)[:3]
    changes = logged([first])
    changes.add(Change.of_data(5, "painted", {"dabs": second}))
    changes.add(Change.of_data(5, "painted", {"dabs": third}))
    assert [change.step for change in changes.entries] == [0, 5]
    assert changes.entries[-1].data_config() == {"dabs": third}


def test_other_data_and_canvasses_with_nothing_in_common_are_kept_whole() -> None:
    changes = logged([paintings(1, 0)[0], paintings(1, 1)[0]])
    changes.add(Change.of_data(7, "two_moons", {"n_samples": 3}))
    assert [dict(change.splices) for change in changes.entries] == [{}, {}, {}]


@pytest.mark.parametrize("n", [0, 1, 399])
def test_rows_that_repeat_are_told_apart_by_their_bytes(n: int) -> None:
    old = np.ones((400, 4), np.float32)
    new = np.concatenate([old[:n], np.full((2, 4), 2, np.float32), old[n:], old[:5]])
    one, other = rows_of(encode_dabs(old)), rows_of(encode_dabs(new))
    assert one is not None
    assert other is not None
    found = splice(one, other)
    assert found is not None
    assert text_of(found.apply(one)) == encode_dabs(new)


@pytest.mark.parametrize("broken", [
    Splice(b"\0" * 7, b""),
    Splice(np.array([[0, 4000]], "<i4").tobytes(), b""),
    Splice(np.array([[-2, 1]], "<i4").tobytes(), b""),
    Splice(np.array([[-1, 2]], "<i4").tobytes(), b"\0" * 16),
])  # fmt: skip
def test_a_damaged_difference_is_said(tmp_path: Path, broken: Splice) -> None:
    stored = [change.stored() for change in logged(paintings(4)).entries]
    stored[2].splices["dabs"] = broken
    with pytest.raises(ValueError, match="a difference between two paintings"):
        Changes.from_stored(stored)
    run = train(make(), 3)
    Shelf(tmp_path).sync(*run.past()[:2], Log("painted", {}, stored))
    past = load_past(tmp_path, run.exhibit.replica)
    assert past.missing == "could not be read: the list of changed settings"


def test_replay_paints_again_what_was_painted() -> None:
    texts = paintings(5)
    run = make(data="painted", dabs=texts[0])
    for turn, text in enumerate(texts[1:]):
        train(run, 4 * (turn + 1))
        run.set_data("painted", {**SMALL, "dabs": text})
    wanted = take(train(run, 22).trainer.model, 22).tensors
    train(run, 30)
    assert any(change.splices for change in run.changes.entries)
    replay = run.replay(22)
    assert replay.trainer.steps_done == 0
    while not replay.is_done:
        replay.advance()
    assert replay.trainer.dataset.config.dabs == texts[-1]
    ours = take(replay.trainer.model, 22).tensors
    assert all(torch.equal(a, b) for a, b in zip(wanted, ours, strict=True))


def test_save_writes_what_a_draft_would(tmp_path: Path) -> None:
    run = train(make("realnvp"), 4)
    run.save(str(tmp_path / "a.safetensors"))
    model, frame = run.trainer.model, run._capture()
    path = tmp_path / "b.safetensors"
    save(path, model, spec=run.spec, step=4, keyframe=frame, dataset=run.dataset)
    (ours, mine), (theirs, other) = (read_container(tmp_path / f"{n}.safetensors") for n in "ab")
    assert ours == theirs
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


# --- a past that comes later ------------------------------------------------------------------


def test_past_that_comes_later_joins_what_came_since(tmp_path: Path) -> None:
    run = train(make("realnvp"), 20)
    first_rate = run.report().live["learning_rate"]
    run.set_live({"learning_rate": 3e-4})
    train(run, 60)
    run.save(str(tmp_path / "run.safetensors"))
    folder = tmp_path / "run.history"
    Shelf(folder).sync(*run.past())
    again = Run.open("again", str(tmp_path / "run.safetensors"), "cpu")
    assert again.history.steps == (60,)
    train(again, 70)
    again.set_live({"learning_rate": 1e-4})
    train(again, 110)
    again.history.hold(65)
    again.remember(folder)
    assert again.missing == ""
    assert again.exhibit.history is again.history
    assert again.history.steps[: len(run.history.steps)] == run.history.steps
    assert again.history.steps[-1] > 100
    assert again.history.snapshots.held == 65
    assert [change.step for change in again.changes.entries] == [20, 70]
    train(run, 70)
    run.set_live({"learning_rate": 1e-4})
    train(run, 110)
    for start, rate in ((15, first_rate), (65, 3e-4)):
        child = train(again.fork("child", start, {}, playing=True), start + 9)
        assert child.report().live["learning_rate"] == rate
    far = again.replay(105)
    while not far.is_done:
        far.advance()
    wanted = run.replay(105)
    while not wanted.is_done:
        wanted.advance()
    ours, theirs = (r.trainer.model.state_dict().values() for r in (far, wanted))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
