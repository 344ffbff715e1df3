"""Runs whose data are not on this machine: opened, looked at, and trained on when they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import checkpoint
from engine.absent import are_absent, data_of, supply
from engine.datasets.mnist import SIZES, Mnist
from engine.datasets.points import Points
from engine.download import DATA_VARIABLE, OFFLINE_VARIABLE
from engine.fetching import needed_by
from engine.probe import View
from engine.registry import build_model, probes
from engine.run import Run
from engine.training import CHUNK
from engine.wire import messages as m

SPEC = m.RunSpec("fvsbn", "mnist", {"batch_size": 8}, {"n_samples": 500}, device="cpu")


def bring(folder: Path) -> None:
    """Draws that stand for the published ones."""
    drawn = np.random.default_rng(0)
    splits = {k: drawn.integers(0, 256, (n, 98), dtype=np.uint8) for k, n in SIZES.items()}
    np.savez(folder / "binarized_mnist.npz", **splits)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    return tmp_path


@pytest.fixture
def saved(folder: Path) -> Path:
    """A run saved in the middle of a chunk of batches; its data are gone."""
    bring(folder)
    run = Run("first", SPEC)
    for _ in range(CHUNK + 3):
        run.advance()
    path = folder / "run.safetensors"
    run.save(str(path))
    (folder / "binarized_mnist.npz").unlink()
    return path


def test_a_run_opens_without_its_data(saved: Path) -> None:
    run = Run.open("a", str(saved), "cpu")
    info = run.info()
    assert info.data.absent.startswith("the pictures of MNIST are not on this machine")
    assert "109.8 MB" in info.data.absent
    assert info.data.notes[0].startswith("The pictures of MNIST")
    assert (info.data.event.shape, info.data.event.levels) == ((1, 28, 28), 2)
    assert (info.data.n_train, info.data.labels) == (0, ())
    assert info.dataset.name == run.log().dataset == "mnist"
    view = View(run.exhibit.replica, run.exhibit.dataset, run.step)
    drawn = list(probes()["pixel_stream"].ask(view, {"n": 2}))[-1]
    assert drawn.final
    (field,) = probes()["receptive_field"].ask(view, {"index": 400, "n": 4})
    assert field.values["n_leaks"] == 0
    assert int(field.values["n_seen"]) == 400
    for name in ("data_examples", "evaluate", "own_samples_nll"):
        with pytest.raises(ValueError, match="are not on this machine; press play to fetch them"):
            list(probes()[name].ask(view, {}))
    with pytest.raises(ValueError, match="are not on this machine"):
        run.advance()
    run.save(str(saved))  # nothing is lost by saving it so


def test_with_its_data_it_goes_on_as_if_they_had_been_there(saved: Path, folder: Path) -> None:
    run = Run.open("a", str(saved), "cpu")
    bring(folder)
    other = Run.open("b", str(saved), "cpu")
    assert not other.dataset.absent
    supply(run)
    assert not run.info().data.absent
    assert run.info().data.n_train == 500
    for _ in range(4):
        run.advance()
        other.advance()
    mine, wanted = run.trainer.capture(), other.trainer.capture()
    assert mine.meta["position"] == wanted.meta["position"] == 7
    for name, value in wanted.tensors.items():
        assert torch.equal(mine.tensors[name], value), name
    assert run.changes.entries == []
    replay = run.replay(run.step - 1)
    while not replay.is_done:
        replay.advance()
    assert replay.trainer.steps_done == run.step - 1


def test_opening_fetches_only_where_it_is_told_to(saved: Path) -> None:
    assert needed_by(m.OpenRun(1, "a", str(saved), fetches=False)) is None
    needed = needed_by(m.OpenRun(1, "a", str(saved)))
    assert needed is not None
    assert needed[0] is Mnist
    assert needed_by(m.StartRun(1, "a", SPEC)) is not None
    assert needed_by(m.StartRun(1, "a", SPEC, keyframe=str(saved))) is None


def test_what_is_here_or_real_is_not_absent(folder: Path) -> None:
    assert are_absent(Mnist, Mnist.Config())
    assert not are_absent(Mnist, Mnist.Config(levels=None))
    assert not are_absent(Points, None)
    bring(folder)
    assert not are_absent(Mnist, Mnist.Config())
    assert are_absent(Mnist, Mnist.Config(levels=17))


def test_labelled_data_keep_the_names_of_their_classes(folder: Path) -> None:
    model_spec = m.RunSpec("fvsbn", "mnist", {}, {"binarisation": "threshold"})
    path = folder / "bare.safetensors"
    model = build_model("fvsbn", event_shape=(1, 28, 28), levels=2)
    checkpoint.save(path, model, spec=model_spec)
    data = data_of(checkpoint.load(path))
    assert data.labels == tuple("0123456789")
    assert data.values == "binary: values from 128 are white"
