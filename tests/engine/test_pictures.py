"""The user's own pictures: folders, arrays, what is broken, and their way in a run's file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import checkpoint
from engine.dataset import Dataset
from engine.datasets import pictures
from engine.download import DownloadCancelledError
from engine.picture_files import Shaping, read_picture
from engine.registry import build_dataset, build_model, datasets
from engine.wire.fields import make_config
from engine.wire.messages import RunSpec


def save(path: Path, pixels: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path)
    return path


def grey(value: int, side: int = 8, wide: int | None = None) -> np.ndarray[Any, Any]:
    return np.full((side, wide or side), value, np.uint8)


def build(path: Path, **config: Any) -> Dataset:
    settings = {"size": None, "valid_fraction": 0.0, "test_fraction": 0.0, **config}
    return build_dataset("pictures", path=str(path), **settings)


def levels_of(dataset: Dataset) -> list[int]:
    """The value of each training picture that is of one value only, sorted."""
    return sorted(dataset.train.flatten(1).amax(1).tolist())


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_becomes_pictures_and_its_folders_classes(tmp_path: Path) -> None:
    for number in range(6):
        name = "cats" if number % 2 else "dogs"
        save(tmp_path / name / f"{number}.png", grey(10 * number))
    (tmp_path / "readme.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture either")
    dataset = build(tmp_path)
    assert dataset.event_shape == (1, 8, 8)
    assert dataset.event.levels == 256
    assert dataset.train.dtype == torch.uint8
    assert levels_of(dataset) == [0, 10, 20, 30, 40, 50]
    assert dataset.labels == ("cats", "dogs")
    assert dataset.train_labels is not None
    odd = (dataset.train[:, 0, 0, 0] // 10) % 2
    assert [dataset.labels[n] for n in dataset.train_labels] == [
        "cats" if o else "dogs" for o in odd
    ]
    assert dataset.notes == ()


def test_order_and_split_are_those_of_the_seed(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number:02}.png", grey(number))
    first, again = (build(tmp_path, valid_fraction=0.2, test_fraction=0.1) for _ in range(2))
    assert torch.equal(first.train, again.train)
    assert [len(s) for s in (first.train, first.valid, first.test)] == [14, 4, 2]
    every = torch.cat([first.train, first.valid, first.test])
    assert sorted(every[:, 0, 0, 0].tolist()) == list(range(20))
    assert every[:, 0, 0, 0].tolist() != list(range(20))
    other = build(tmp_path, valid_fraction=0.2, test_fraction=0.1, seed=1)
    assert not torch.equal(first.train, other.train)


def test_grey_is_rec_601_and_colour_is_kept(tmp_path: Path) -> None:
    colours = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}
    for name, colour in colours.items():
        save(tmp_path / f"{name}.png", np.broadcast_to(np.uint8(colour), (8, 8, 3)))
    assert levels_of(build(tmp_path)) == [29, 76, 150]  # 255 times 0.114, 0.299, 0.587
    dataset = build(tmp_path, colour=True)
    assert dataset.event_shape == (3, 8, 8)
    assert sorted(map(tuple, dataset.train[:, :, 3, 4].tolist())) == sorted(colours.values())
    assert dataset.values == "256 levels of red, green and blue"
    assert levels_of(build(tmp_path, invert=True)) == [255 - 150, 255 - 76, 255 - 29]


@pytest.mark.parametrize(
    ("fit", "corner", "middle"), [("crop", 200, 200), ("stretch", 0, 200), ("pad", 0, 200)]
)
def test_pictures_are_brought_to_a_size(
    tmp_path: Path, fit: str, corner: int, middle: int
) -> None:
    wide = grey(200, 40, 160)
    wide[:, :40] = wide[:, -40:] = 0
    for name in "ab":
        save(tmp_path / f"{name}.png", wide)
    picture = build(tmp_path, size=16, fit=fit).train[0, 0]
    assert tuple(picture.shape) == (16, 16)
    assert int(picture[0, 0]) == corner
    assert abs(int(picture[8, 8]) - middle) <= 2
    assert int(picture[8, 0]) == (200 if fit == "crop" else 0)


def test_shrinking_averages(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)
    save(tmp_path / "a.png", board)
    save(tmp_path / "b.png", board)
    small = build(tmp_path, size=8).train
    assert int((small.int() - 100).abs().max()) <= 3


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.fromarray(np.full((8, 8), 51 * 257, np.uint16)), 51),
        (Image.fromarray(np.full((8, 8), 0.2, np.float32)), 51),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 204)), 51),
        (Image.new("LA", (8, 8), (0, 204)), 51),
        (Image.new("1", (8, 8), 1), 255),
        (Image.new("P", (8, 8), 0), 0),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 204)), 51),
    ],
    ids=["16 bit", "float", "alpha", "grey with alpha", "one bit", "palette", "CMYK"],
)
def test_every_kind_of_picture_becomes_bytes(
    tmp_path: Path, image: Image.Image, wanted: int
) -> None:
    path = tmp_path / ("a.tif" if image.mode in ("F", "CMYK") else "a.png")
    image.save(path)
    pixels = read_picture(path, Shaping())
    assert pixels.shape == (8, 8, 1)
    assert set(pixels.flatten().tolist()) == {wanted}


def test_a_rotated_photograph_stands_upright(tmp_path: Path) -> None:
    tall = grey(0, 8, 4)
    tall[:4] = 255
    image = Image.fromarray(tall)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_picture(tmp_path / "a.png", Shaping())[:, :, 0]
    assert pixels.shape == (4, 8)
    assert np.array_equal(pixels, np.rot90(tall, -1))


def test_broken_files_are_left_out_and_named(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", grey(number))
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.gif").write_bytes(b"")
    dataset = build(tmp_path)
    assert len(dataset.train) == 3
    (note,) = dataset.notes
    assert note.startswith("3 of 6 pictures were left out: ")
    for name in ("cut.png", "text.jpg", "empty.gif"):
        assert name in note


def test_nothing_but_broken_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"none of the 1 pictures in .* a\.png is no picture"):
        build(tmp_path)


def test_unlike_sizes_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", grey(0, 8, 10))
    save(tmp_path / "b.png", grey(0, 9, 10))
    with pytest.raises(ValueError, match=r"a\.png has 10×8 pixels, b\.png 10×9; choose a size"):
        build(tmp_path)
    assert build(tmp_path, size=8).event_shape == (1, 8, 8)


def test_huge_pictures_are_refused_or_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.png", grey(7, 300))
    with pytest.raises(ValueError, match="300×300 pixels, wanted at most 128 a side"):
        build(tmp_path)
    assert levels_of(build(tmp_path, size=32)) == [7, 7]
    monkeypatch.setattr("engine.picture_files.MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match=r"a\.png has 300×300 pixels, wanted at most 10,000"):
        build(tmp_path, size=32)


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.png", grey(7, 32))
    monkeypatch.setattr(pictures, "MOST_BYTES", 2000)
    with pytest.raises(ValueError, match="2 pictures of 32×32 pixels take"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "no folder was given"),
        ("absent", "there is no folder or file"),
        ("folder", "folder holds no pictures; wanted files that end in png"),
        ("text.csv", "text.csv: wanted a folder of pictures"),
        ("a\0b", "no folder was given"),
    ],
)
def test_what_is_no_folder_of_pictures_is_named(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.csv").write_text("1,2")
    with pytest.raises(ValueError, match=sentence):
        build_dataset("pictures", path=str(tmp_path / name) if name else "")


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    save(tmp_path / "a.png", grey(0))
    with pytest.raises(ValueError, match="holds 1 picture, wanted at least 2"):
        build(tmp_path)


def test_reading_is_told_and_can_be_cancelled(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", grey(number))
    kind = datasets()["pictures"]
    config = make_config(kind.Config, {"path": str(tmp_path), "size": 8})
    told: list[tuple[int, int]] = []
    with pytest.raises(DownloadCancelledError):
        kind.load(config, lambda *n: told.append(n), lambda: len(told) == 3)
    assert told == [(0, 5), (1, 5), (2, 5)]
    assert kind.needs_loading(config)
    kind.load(config)
    for path in tmp_path.iterdir():
        path.unlink()
    assert len(kind(config).train) == 5  # what was read is taken, though the files are gone


# --- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "shape", "highest"),
    [
        (np.arange(2 * 64).reshape(2, 8, 8).astype(np.uint8), (1, 8, 8), 127),
        (np.full((2, 8, 9, 3), 255, np.uint8), (3, 8, 9), 255),
        (np.full((2, 3, 8, 9), 255, np.int64), (3, 8, 9), 255),
        (np.full((2, 8, 8, 4), 255, np.uint8), (3, 8, 8), 255),
        (np.full((2, 8, 8, 1), True), (1, 8, 8), 255),
        (np.full((2, 8, 8), 0.2), (1, 8, 8), 51),
        (np.full((2, 8, 8), 65_535, np.uint16), (1, 8, 8), 255),
        (np.full((2, 8, 8), 51.0, np.float32), (1, 8, 8), 51),
    ],
    ids=["grey", "last", "first", "alpha", "bool", "real", "16 bit", "real bytes"],
)
def test_arrays_become_pictures(
    tmp_path: Path, array: np.ndarray[Any, Any], shape: tuple[int, ...], highest: int
) -> None:
    np.save(tmp_path / "a.npy", array)
    dataset = build(tmp_path / "a.npy", colour=shape[0] == 3)
    assert dataset.event_shape == shape
    assert int(dataset.train.max()) == highest
    small = build(tmp_path / "a.npy", colour=shape[0] == 3, size=4)
    assert small.event_shape == (shape[0], 4, 4)


def test_channels_first_and_last_are_the_same_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "last.npy", pixels)
    np.save(tmp_path / "first.npy", np.moveaxis(pixels, 3, 1))
    last, first = (build(tmp_path / f"{n}.npy", colour=True) for n in ("last", "first"))
    assert torch.equal(last.train, first.train)
    rows = {row.tobytes() for row in np.moveaxis(pixels, 3, 1)}
    assert {row.numpy().tobytes() for row in last.train} == rows


def test_white_can_be_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 8, 8), 8, np.uint8))
    assert levels_of(build(tmp_path / "a.npy")) == [8, 8]
    assert levels_of(build(tmp_path / "a.npy", white=16.0)) == [128, 128]
    with pytest.raises(ValueError, match=r"values from 8 to 8; wanted 0 … 4"):
        build(tmp_path / "a.npy", white=4.0)


def test_an_archive_gives_pictures_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    values = np.arange(6, dtype=np.uint8)
    stack = np.broadcast_to(values[:, None, None], (6, 8, 8))
    np.savez(path, info=np.arange(3), pictures=stack, labels=values % 3, other=stack + 100)
    dataset = build(path)
    assert levels_of(dataset) == [0, 1, 2, 3, 4, 5]
    assert dataset.labels == ("0", "1", "2")
    assert dataset.train_labels is not None
    assert torch.equal(dataset.train_labels, dataset.train[:, 0, 0, 0].long() % 3)
    assert levels_of(build(path, key="other")) == [100, 101, 102, 103, 104, 105]
    with pytest.raises(ValueError, match="no array 'lost'; it has: info, pictures, labels, other"):
        build(path, key="lost")
    with pytest.raises(ValueError, match="info has shape"):
        build(path, key="info")


def archive_without_arrays() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    return content.getvalue()


def as_npy(array: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.npz", archive_without_arrays(), "a.npz holds no arrays"),
        ("a.npz", b"PK\x03\x04 cut", "a.npz is damaged or no NumPy file"),
        ("a.npy", b"\x93NUMPY cut", "a.npy is damaged or no NumPy file"),
        ("a.npy", b"a letter, not an array", "a.npy is damaged or no NumPy file"),
        ("a.npy", as_npy(np.zeros((2, 8, 8)))[:-9], "a.npy is damaged or no NumPy file"),
        ("a.npy", as_npy(np.zeros((3, 4))), r"has shape \(3, 4\); wanted pictures as"),
        ("a.npy", as_npy(np.zeros((2, 8, 8, 7))), r"\(2, 8, 8, 7\).*with C = 1, 3 or 4"),
        ("a.npy", as_npy(np.zeros((0, 8, 8))), r"has shape \(0, 8, 8, 1\)"),
        ("a.npy", as_npy(np.full((2, 8, 8), -1.0)), "values from -1 to -1; wanted 0 … 1"),
        ("a.npy", as_npy(np.full((2, 8, 8), 1e6)), "wanted 0 … 65,535 at most"),
        ("a.npy", as_npy(np.full((2, 8, 8), np.nan)), "no finite numbers"),
        ("a.npy", as_npy(np.full((2, 8, 8), "x")), "values of type <U1"),
        (
            "a.npy",
            as_npy(np.full((2, 8, 8), None), allow_pickle=True),
            "never runs code from a file",
        ),
    ],
)
def test_bad_arrays_are_refused_with_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        build(tmp_path / name)


# --- levels and files of runs -------------------------------------------------------------------


def test_own_pictures_can_be_cut_drawn_and_dequantised(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", grey(60 * number))
    assert levels_of(build(tmp_path, levels=4)) == [0, 0, 1, 2]
    assert levels_of(build(tmp_path, levels=2, binarisation="threshold")) == [0, 0, 0, 1]
    dynamic = build(tmp_path, levels=2)
    assert dynamic.redraws
    real = build(tmp_path, levels=None)
    assert real.dequantised_levels == 256
    assert real.train.dtype == torch.float32


@pytest.mark.parametrize("levels", [256, 2, None])
def test_pictures_travel_in_the_file_of_a_run(tmp_path: Path, levels: int | None) -> None:
    for number in range(8):
        save(tmp_path / "own" / "ab"[number % 2] / f"{number}.png", grey(30 * number))
    config = {"path": str(tmp_path / "own"), "size": 8, "levels": levels}
    dataset = build_dataset("pictures", **config)
    model = build_model("ppca", event_shape=dataset.event_shape)
    spec = RunSpec("ppca", "pictures", {}, config)
    checkpoint.save(tmp_path / "run.safetensors", model, spec=spec, dataset=dataset)
    (tmp_path / "own").rename(tmp_path / "gone")
    again = checkpoint.load(tmp_path / "run.safetensors").build_dataset()
    rebuilt = build_dataset("pictures", **config)
    for found in (again, rebuilt):
        assert torch.equal(found.train, dataset.train)
        assert torch.equal(found.test, dataset.test)
        assert found.event == dataset.event
        assert found.labels == dataset.labels == ("a", "b")
        assert found.values == dataset.values
        assert found.train_labels is not None
        assert torch.equal(found.train_labels, dataset.train_labels)  # type: ignore[arg-type]
        assert torch.equal(found.source, dataset.source)
    kind = datasets()["pictures"]
    assert not kind.needs_loading(make_config(kind.Config, config))


def test_damaged_embedded_pictures_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", grey(number))
    dataset = build(tmp_path)
    assert isinstance(dataset, pictures.Pictures)
    tensors, meta = dataset.embedded()
    with pytest.raises(ValueError, match="lack 'valid'"):
        pictures.Pictures.from_embedded(dataset.config, {"train": tensors["train"]}, meta)
    tensors["train"] = tensors["train"].float()
    with pytest.raises(ValueError, match="of bytes"):
        pictures.Pictures.from_embedded(dataset.config, tensors, meta)
