"""Saved runs: bit-exact round trips, and a clear sentence for everything that is wrong."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import container
from engine.checkpoint import CheckpointError, load, save
from engine.container import LONGEST_HEADER
from engine.header import FORMAT, program_version
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model
from engine.training import Trainer
from engine.wire.messages import RunSpec
from tests.engine.choice import POINT_MODELS

MODELS = POINT_MODELS
DATA = {"n_samples": 300, "seed": 2}


def trained(name: str, steps: int = 2) -> Trainer:
    dataset = build_dataset("two_moons", **DATA)
    model = build_model(name, event_shape=(2,), seed=1, dataset=dataset)
    trainer = Trainer(model, dataset, batch_size=16, seed=3, device="cpu")
    for _ in range(steps):
        trainer.step()
    return trainer


def same_state(first: GenerativeModel, second: GenerativeModel) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small saved run."""
    path = tmp_path / "run.safetensors"
    spec = RunSpec("gaussian_mixture", "two_moons", {"n_components": 3}, {"n_samples": 300})
    model = build_model("gaussian_mixture", event_shape=(2,), n_components=3)
    save(path, model, spec=spec, step=7, notes={"title": "α"})
    return path


def edit_header(path: Path, change: dict[str, Any]) -> None:
    """Rewrite the file with fields of the JSON header changed."""
    tensors = load_file(path)
    header = json.loads(container._read_metadata(path)["genscope"]) | change
    save_file(tensors, path, metadata={"genscope": json.dumps(header)})


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_weights_and_training_go_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    trainer = trained(name)
    path = tmp_path / "run.safetensors"
    spec = RunSpec(name, "two_moons", {}, dict(DATA), seed=3, device="cpu")
    save(path, trainer.model, spec=spec, step=2, keyframe=trainer.capture())
    loaded = load(path)
    assert same_state(loaded.model, trainer.model)
    assert not loaded.model.training
    assert loaded.model.config == trainer.model.config
    assert loaded.step == 2
    assert loaded.spec is not None
    assert (loaded.spec.seed, loaded.spec.dataset) == (3, "two_moons")
    resumed = Trainer(loaded.model, loaded.build_dataset(), batch_size=16, seed=9, device="cpu")
    assert loaded.keyframe is not None
    resumed.restore(loaded.keyframe)
    for _ in range(2):
        trainer.step()
        resumed.step()
    assert same_state(resumed.model, trainer.model)
    ours, theirs = resumed.capture(), trainer.capture()
    assert ours.meta == theirs.meta
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[k], theirs.tensors[k]) for k in theirs.tensors)


def test_keyframe_is_kept_exactly_and_costs_no_second_copy(tmp_path: Path) -> None:
    trainer = trained(MODELS[0])
    keyframe = trainer.capture()
    path = tmp_path / "run.safetensors"
    save(path, trainer.model, keyframe=keyframe)
    again = load(path).keyframe
    assert again is not None
    assert again.meta == keyframe.meta
    assert again.tensors.keys() == keyframe.tensors.keys()
    for name, value in keyframe.tensors.items():
        assert again.tensors[name].dtype == value.dtype
        assert torch.equal(again.tensors[name], value)
    assert not [name for name in load_file(path) if name.startswith("keyframe.model.")]


def test_header_holds_what_decides_the_run(saved: Path) -> None:
    loaded = load(saved)
    header = loaded.header
    assert (header.format, header.program) == (FORMAT, program_version())
    assert header.model == "gaussian_mixture"
    assert header.event_shape == (2,)
    assert header.config["n_components"] == 3
    assert header.data is not None
    assert (header.data.name, header.data.config["n_samples"]) == ("two_moons", 300)
    assert header.notes == {"title": "α"}
    assert loaded.step == 7
    assert loaded.keyframe is None
    assert len(loaded.build_dataset().train) == 240


def test_bare_model_has_no_data_set(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save(path, build_model("gaussian_mixture", event_shape=(5,)))
    loaded = load(path)
    assert loaded.spec is None
    assert loaded.model.event_shape == (5,)
    with pytest.raises(ValueError, match="without its data set"):
        loaded.build_dataset()


def test_double_precision_is_kept(tmp_path: Path) -> None:
    model = build_model("gaussian_mixture", event_shape=(2,)).double()
    model.location.fill_(1 / 3)
    save(tmp_path / "m.safetensors", model)
    assert same_state(load(tmp_path / "m.safetensors").model, model)


# --- the user's own points --------------------------------------------------------------------


def own_points(folder: Path) -> tuple[Path, RunSpec]:
    table = folder / "own.csv"
    rows = np.random.default_rng(0).normal(size=(60, 2))
    lines = [f"{a},{b},{'uv'[i % 2]}" for i, (a, b) in enumerate(rows)]
    table.write_text("height,weight,class\n" + "\n".join(lines), encoding="utf-8")
    config: dict[str, Any] = {"path": str(table), "label_column": "class", "seed": 4}
    return table, RunSpec("gaussian_mixture", "points", {}, config)


@pytest.mark.parametrize("given", [True, False])
def test_own_points_travel_with_the_run(given: bool, tmp_path: Path) -> None:
    table, spec = own_points(tmp_path)
    dataset = build_dataset("points", **spec.dataset_config)
    model = build_model("gaussian_mixture", event_shape=(2,))
    path = tmp_path / "run.safetensors"
    save(path, model, spec=spec, dataset=dataset if given else None)
    table.unlink()
    loaded = load(path)
    assert loaded.spec is not None
    for again in (
        loaded.build_dataset(),
        build_dataset("points", **loaded.spec.dataset_config),
    ):
        for split in ("train", "valid", "test", "train_labels", "test_labels"):
            assert torch.equal(getattr(again, split), getattr(dataset, split))
        assert again.event == dataset.event
        assert again.labels == ("u", "v")
    save(tmp_path / "again.safetensors", model, spec=loaded.spec)
    assert load(tmp_path / "again.safetensors").dataset is not None


def test_points_that_are_gone_before_saving_are_told_in_the_notes(tmp_path: Path) -> None:
    table, spec = own_points(tmp_path)
    table.unlink()
    save(tmp_path / "run.safetensors", build_model("ppca", event_shape=(2,)), spec=spec)
    loaded = load(tmp_path / "run.safetensors")
    assert "there is no file" in loaded.header.notes["data"]
    with pytest.raises(ValueError, match="there is no file"):
        loaded.build_dataset()


def test_damaged_points_are_refused(tmp_path: Path) -> None:
    _, spec = own_points(tmp_path)
    path = tmp_path / "run.safetensors"
    save(path, build_model("gaussian_mixture", event_shape=(2,)), spec=spec)
    tensors = load_file(path)
    del tensors["data.train"]
    metadata = container._read_metadata(path)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"the data in run\.safetensors are damaged"):
        load(path)


# --- what is refused --------------------------------------------------------------------------


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path)
    assert isinstance(caught.value, ValueError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    refused(tmp_path / "pipe.safetensors", "is no ordinary file")


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(f"{tmp_path}/a\0b", build_model("ppca", event_shape=(2,)))
    with pytest.raises(CheckpointError, match="there is no file"):
        load(f"{tmp_path}/a\0b")


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_others_may_read_what_is_saved(saved: Path) -> None:
    fresh = saved.with_name("fresh")
    fresh.touch()
    assert saved.stat().st_mode == fresh.stat().st_mode


def test_whole_numbers_are_no_weights(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["model.location"] = tensors["model.location"].long()
    metadata = container._read_metadata(saved)
    save_file(tensors, saved, metadata=metadata)
    refused(saved, "of type torch.int64, wanted real numbers")


@pytest.mark.parametrize(
    "change",
    [{"step": "x"}, {"step": -1}, {"position": None}, {"position": 1000}, {"batch_size": 0}],
)
def test_damaged_keyframe(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trainer = trained("ppca")
    spec = RunSpec("ppca", "two_moons", {}, dict(DATA))
    save(path, trainer.model, spec=spec, step=2, keyframe=trainer.capture())
    header = json.loads(container._read_metadata(path)["genscope"])
    frame = header["keyframe"]
    edit_header(path, {"keyframe": {**frame, "meta": {**frame["meta"], **change}}})
    refused(path, "is damaged: its keyframe: ")
    edit_header(path, {"keyframe": {**frame, "meta": {}}})
    refused(path, "is damaged: its keyframe: ")


@pytest.mark.parametrize("lost", ["random.noise", "random.batches"])
def test_a_keyframe_that_lacks_something_is_not_restored(lost: str) -> None:
    trainer = trained("vae")
    keyframe = trainer.capture()
    del keyframe.tensors[lost]
    with pytest.raises(ValueError, match=f"state of training is damaged: .*{lost}"):
        trainer.restore(keyframe)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "there is no file")
    refused(tmp_path, "is a folder")


def test_every_truncation_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in sorted({0, 1, 7, 8, 9, 40, *range(100, len(whole), 97), len(whole) - 1}):
        saved.write_bytes(whole[:length])
        refused(saved, "is empty" if not length else "is truncated")


def test_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    refused(path, "of another program")
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "of another program")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_pickle_is_never_run(protocol: int, tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.safetensors", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Bomb(mark), protocol=protocol))
    refused(path, "not a safetensors file" if protocol < 2 else "never runs code")
    assert not mark.exists()


def test_torch_file_and_zip_are_never_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "mark"
    torch.save({"weights": Bomb(mark)}, path)
    refused(path, "zip archive.*never runs code")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb(mark)))
    refused(path, "zip archive")
    assert not mark.exists()


def test_text_and_noise(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("x,y\n1,2\n3,4\n", encoding="utf-8")
    refused(path, "not a safetensors file")
    for seed in range(20):
        path.write_bytes(np.random.default_rng(seed).bytes(500))
        refused(path, "safetensors")


@pytest.mark.parametrize("length", [LONGEST_HEADER + 1, 2**40, 2**64 - 1])
def test_absurd_header_length(length: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{" + b" " * 100)
    refused(path, "not a safetensors file")


def test_damaged_container_json(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[20:24] = b"}{}{"
    saved.write_bytes(raw)
    refused(saved, "is damaged")


def test_tensor_that_claims_more_than_its_bytes(saved: Path) -> None:
    text = json.dumps({"model.location": {"dtype": "F32", "shape": [99], "data_offsets": [0, 8]}})
    saved.write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(8))
    refused(saved, "is damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', '{"format": 1}', "[" * 9999])
def test_damaged_header_json(text: str, saved: Path) -> None:
    save_file(load_file(saved), saved, metadata={"genscope": text})
    refused(saved, "header of run.safetensors is damaged")


def test_newer_version(saved: Path) -> None:
    edit_header(saved, {"format": FORMAT + 1, "program": "9.9.9", "config": "of another kind"})
    refused(saved, r"made by a newer version of Genscope \(9.9.9")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "perpetuum_mobile"}, "'perpetuum_mobile' that is not installed; there are: "),
        ({"config": {"n_componentz": 3}}, "no setting 'n_componentz'"),
        ({"config": {"n_components": -1}}, "n_components: given -1, wanted"),
        (
            {"config": {"n_components": 4}},
            r"do not fit Gaussian mixture: \S+ is given \(.*, wanted",
        ),
        ({"event_shape": [3]}, r"do not fit events of shape \(3,\)"),
        ({"event_shape": [10**12]}, "do not fit events of shape"),
        ({"event_shape": []}, "do not fit events of shape"),
        ({"event_shape": [-1, -2]}, "wanted positive whole numbers"),
        ({"keyframe": {"meta": {}, "shared": ["model.gone"]}}, "keyframe lacks model.gone"),
    ],
)
def test_header_that_does_not_fit(change: dict[str, Any], words: str, saved: Path) -> None:
    edit_header(saved, change)
    refused(saved, words)


def test_missing_and_extra_weights(saved: Path) -> None:
    metadata = container._read_metadata(saved)
    tensors = load_file(saved)
    extra = tensors | {"model.extra": torch.zeros(2)}
    save_file(extra, saved, metadata=metadata)
    refused(saved, r"extra is given \(2,\), wanted nothing")
    lost = next(name for name in tensors if name != "model.location")
    save_file({n: v for n, v in tensors.items() if n != lost}, saved, metadata=metadata)
    refused(saved, "is given nothing, wanted")


# --- writing ----------------------------------------------------------------------------------


def test_failed_write_leaves_the_old_file_and_no_rubbish(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        save(saved, build_model("ppca", event_shape=(2,)))
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_writing_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "no" / "x.safetensors", build_model("ppca", event_shape=(2,)))


def test_model_on_another_device_is_refused_by_name(saved: Path) -> None:
    with pytest.raises(ValueError, match="device: given 'toaster'"):
        load(saved, device="toaster")
