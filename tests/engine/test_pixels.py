"""Levels, binarisation and dequantisation of pictures; sprites against moments; MNIST's files."""

from __future__ import annotations

import gzip
import io
import math
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import download
from engine.dataset import as_float
from engine.datasets import cifar10
from engine.datasets.idx import read_idx
from engine.datasets.mnist import read_amat
from engine.datasets.pixels import dequantise, draw_binary
from engine.datasets.sprites import FACTORS, SHAPES, draw_factors, draw_sprites
from engine.registry import build_dataset, datasets
from engine.training import Batches
from engine.wire.fields import make_config
from tests.engine.real_data import real_data

CPU = torch.device("cpu")


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(real_data()))


# --- levels -------------------------------------------------------------------------------------


def test_binary_draws_have_the_grey_level_as_mean() -> None:
    grey = torch.arange(17, dtype=torch.uint8).repeat(20_000, 1)
    drawn = draw_binary(grey, 17, torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.uint8
    assert set(drawn.unique().tolist()) == {0, 1}
    wanted = torch.arange(17) / 16.0
    error = (wanted * (1 - wanted) / len(grey)).sqrt()
    assert bool(((drawn.float().mean(0) - wanted).abs() <= 4.5 * error).all())
    assert not drawn[:, 0].any()
    assert drawn[:, 16].all()


@pytest.mark.parametrize("n_levels", [17, 256])
def test_dequantised_values_stay_within_their_level(n_levels: int) -> None:
    grey = torch.arange(n_levels, dtype=torch.uint8).repeat(5000, 1)
    real = dequantise(grey, n_levels, torch.Generator().manual_seed(2))
    assert real.dtype == torch.float32
    assert float(real.max()) < 1.0
    # Exactly: 24 bits hold level and noise. Multiplying by 17 rounds, so there with a margin.
    back = real.double() * n_levels
    slack = 0.0 if n_levels == 256 else 1e-5
    assert bool((back + slack >= grey).all())
    assert bool((back - slack < grey.double() + 1).all())
    assert float((back - grey).mean()) == pytest.approx(0.5, abs=0.002)
    assert float((back - grey).var()) == pytest.approx(1 / 12, rel=0.01)


@pytest.mark.parametrize("levels", [2, 3, 5, 17, None])
def test_levels_of_sprites(levels: int | None) -> None:
    dataset = build_dataset("sprites", n_samples=100, levels=levels)
    grey = build_dataset("sprites", n_samples=100, levels=17).train
    event = dataset.event
    assert event.shape == (1, 24, 24)
    assert event.axes == ("channel", "row", "column")
    assert (event.support, event.levels) == {
        2: ("binary", 2), 3: ("integer", 3), 5: ("integer", 5), 17: ("integer", 17),
        None: ("real", None),
    }[levels]  # fmt: skip
    if levels is None:
        assert dataset.train.dtype == torch.float32
        assert dataset.dequantised_levels == 17
        assert torch.equal((dataset.train * 17).floor().to(torch.uint8), grey)
        return
    assert dataset.train.dtype == torch.uint8
    assert dataset.dequantised_levels is None
    wanted = np.floor(grey.numpy().astype(float) * levels / 17)
    assert np.array_equal(dataset.train.numpy(), wanted)
    drawn = dataset.sample(5, generator=torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    assert drawn.shape == (5, 1, 24, 24)
    assert float(drawn.max()) == levels - 1


def test_dynamic_batches_are_drawn_anew_and_come_again() -> None:
    dataset = build_dataset("sprites", n_samples=20, binarisation="dynamic", valid_fraction=0.0)
    grey = build_dataset("sprites", n_samples=20, levels=17, valid_fraction=0.0).train
    assert dataset.redraws
    assert dataset.train.unique().tolist() == [0, 1]
    assert "dynamic" in dataset.values
    assert "dynamic" in dataset.info().values

    def batches() -> Batches:
        return Batches(dataset, 400, 3, CPU)

    stream = batches()
    many = torch.cat([stream.next() for _ in range(100)])
    assert many.dtype == torch.float32
    assert many.unique().tolist() == [0.0, 1.0]
    # Over many batches the mean is that of the grey levels; over two of one row it differs.
    error = float((grey / 16 * (1 - grey / 16)).sum()) / grey.numel() / math.sqrt(40_000)
    spread = float((grey / 16).mean((1, 2, 3)).std()) / math.sqrt(40_000)
    assert float(many.mean()) == pytest.approx(
        float(grey.float().mean()) / 16, abs=4.5 * (error + spread)
    )
    halves = many[:200], many[200:400]
    assert not torch.equal(*halves)

    first, again = batches(), batches()
    for _ in range(70):  # beyond one chunk
        assert torch.equal(first.next(), again.next())
    captured = first.capture()
    following = [first.next() for _ in range(3)]
    later = batches()
    later.restore(*captured)
    assert all(torch.equal(later.next(), wanted) for wanted in following)


def test_batches_carry_the_labels_of_their_rows() -> None:
    dataset = build_dataset("digits", levels=17)
    batches = Batches(dataset, 32, 0, CPU)
    rows = {tuple(row.flatten().tolist()): label for row, label in
            zip(dataset.train, dataset.train_labels.tolist(), strict=True)}  # type: ignore[union-attr]  # fmt: skip
    batch = batches.next()
    assert batch.dtype == torch.float32
    assert batches.labels is not None
    wanted = [rows[tuple(int(v) for v in row.flatten().tolist())] for row in batch]
    assert batches.labels.tolist() == wanted


# --- sprites ------------------------------------------------------------------------------------


def moments(picture: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    """Mass, centre and direction of the long axis, in picture sides; the origin at the corner."""
    size = picture.shape[0]
    places = (np.arange(size) + 0.5) / size
    weight = picture / picture.sum()
    x, y = float((weight.sum(0) * places).sum()), float((weight.sum(1) * places).sum())
    dx, dy = places - x, places - y
    xx, yy = (weight.sum(0) * dx**2).sum(), (weight.sum(1) * dy**2).sum()
    xy = float(dy @ weight @ dx)
    return float(picture.sum()) / 16 / size**2, x, y, 0.5 * math.atan2(2 * xy, xx - yy)


@pytest.mark.parametrize("shape", range(3))
def test_moments_give_the_factors_back(shape: int) -> None:
    factors = draw_factors(300, torch.Generator().manual_seed(shape))
    factors[:, 0] = shape
    pictures = draw_sprites(factors, 32).numpy()[:, 0].astype(float)
    found = np.array([moments(picture) for picture in pictures])
    _, scale, rotation, x, y = factors.numpy().astype(float).T
    assert np.abs(np.sqrt(found[:, 0] / np.pi) - scale).max() < 0.003
    assert np.abs(found[:, 1] - x).max() < 0.0035
    assert np.abs(found[:, 2] - y).max() < 0.0035
    if SHAPES[shape] == "ellipse":
        turned = np.angle(np.exp(2j * (found[:, 3] - rotation))) / 2
        assert np.abs(turned).max() < 0.05


def test_a_heart_stands_upright_at_rotation_zero() -> None:
    factors = torch.tensor([[2.0, 0.2, 0.0, 0.5, 0.5], [2.0, 0.2, math.pi, 0.5, 0.5]])
    upright, fallen = draw_sprites(factors, 32)[:, 0].float()
    assert torch.equal(upright, upright.flip(1))
    assert torch.equal(fallen, upright.flip(0).flip(1))
    # Its tip is below: the lowest row is narrow, the widest one above the middle.
    widths = (upright > 8).sum(1)
    filled = widths.nonzero().flatten()
    assert int(widths[filled[-1]]) < int(widths[filled[0]])
    assert int(widths.argmax()) < 16


def test_factors_are_even_and_stand_beside_their_pictures() -> None:
    dataset = build_dataset("sprites", n_samples=6000, levels=17, seed=3)
    assert dataset.factor_names == FACTORS == dataset.info().factors
    assert dataset.labels == SHAPES
    assert [len(s) for s in (dataset.train, dataset.valid, dataset.test)] == [4800, 600, 600]
    factors = dataset.train_factors
    assert factors is not None
    assert torch.equal(draw_sprites(factors[:50], 24), dataset.train[:50])
    assert dataset.train_labels is not None
    assert torch.equal(dataset.train_labels, factors[:, 0].long())
    counts = dataset.train_labels.bincount()
    assert bool(((counts - 1600).abs() < 4.5 * math.sqrt(1600 * 2 / 3)).all())
    for column, (low, high) in enumerate(((0.13, 0.21), (0.0, 2 * math.pi), (0.32, 0.68)), 1):
        values = factors[:, column]
        assert low <= float(values.min()) < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < float(values.max()) <= high
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    between = torch.corrcoef(factors.T) - torch.eye(5)
    assert float(between.abs().max()) < 4.5 / math.sqrt(4800)


def test_whole_sprites_lie_within_the_picture() -> None:
    corners = [
        [shape, 0.21, math.pi * turn / 8, x, y]
        for shape in range(3) for turn in range(16) for x in (0.32, 0.68) for y in (0.32, 0.68)
    ]  # fmt: skip
    pictures = draw_sprites(torch.tensor(corners), 32)
    areas = pictures.sum((1, 2, 3), dtype=torch.float64) / 16 / 32**2
    assert torch.allclose(areas, torch.full_like(areas, math.pi * 0.21**2), atol=0.0025)


# --- files --------------------------------------------------------------------------------------


def idx(values: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_whole_or_in_part(tmp_path: Path, packed: bool) -> None:
    values = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
    path = tmp_path / "some-idx3-ubyte"
    path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    assert np.array_equal(read_idx(path), values)
    assert np.array_equal(read_idx(path, most=2), values[:2])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (idx(np.zeros((4, 3), np.uint8))[:-1], "is truncated"),
        (idx(np.zeros(4, np.uint8), kind=13), "is no IDX file of bytes"),
        (b"PNG", "is no IDX file of bytes"),
        (b"\0\0\x08\x03\0\0", "is truncated"),
        (gzip.compress(idx(np.arange(200, dtype=np.uint8)))[:-30], "is damaged"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"bad-idx1-ubyte {sentence}.*fetch it anew"):
        read_idx(path)


def test_amat_files_are_read(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 784))
    path = tmp_path / "b.amat"
    text = "".join(" ".join(map(str, row)) + " \n" for row in bits).replace(" \n", "\n")
    path.write_text(text)
    assert np.array_equal(read_amat(path), bits)
    path.write_text(text[:-1])
    with pytest.raises(ValueError, match="truncated"):
        read_amat(path)
    path.write_text("7" + text[1:])
    with pytest.raises(ValueError, match="other signs than 0 and 1"):
        read_amat(path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_absent_files_are_named_with_address_and_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    monkeypatch.setenv(download.OFFLINE_VARIABLE, "1")
    kind = datasets()[name]
    config = make_config(kind.Config, {})
    (first, *_) = kind.sources(config)
    with pytest.raises(ValueError, match="could not be fetched from http") as caught:
        build_dataset(name)
    assert first.urls[0] in str(caught.value)
    assert str(tmp_path / first.name) in str(caught.value)
    assert kind.thumbnail() is None
    assert kind.needs_loading(config)
    for file in kind.sources(config):
        assert len(file.sha256) == 64
        assert file.size > 0


def test_mnist_has_its_splits_labels_and_conventions(mnist: None) -> None:
    grey = build_dataset("mnist", levels=256)
    assert [tuple(s.shape) for s in (grey.train, grey.valid, grey.test)] == [
        (50_000, 1, 28, 28), (10_000, 1, 28, 28), (10_000, 1, 28, 28),
    ]  # fmt: skip
    assert grey.train.dtype == torch.uint8
    assert grey.values == "256 grey levels"
    assert grey.train_labels is not None
    assert grey.test_labels is not None
    # The published numbers: the first labels, the counts of the test set, mean and deviation.
    assert grey.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert grey.test_labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    whole = torch.cat([grey.train, grey.valid])
    histogram = whole.flatten().bincount(minlength=256).double() / whole.numel()
    level = torch.arange(256, dtype=torch.float64) / 255
    mean = float(histogram @ level)
    assert mean == pytest.approx(0.1307, abs=5e-5)
    assert math.sqrt(float(histogram @ level**2) - mean**2) == pytest.approx(0.3081, abs=5e-5)
    few = build_dataset("mnist", levels=4, n_samples=30)
    assert torch.equal(few.train, grey.train[:30] // 64)
    assert few.train_labels is not None
    assert len(few.train_labels) == 30


def test_static_mnist_is_the_published_draw(mnist: None) -> None:
    static = build_dataset("mnist")
    assert "static" in static.values
    assert static.event.support == "binary"
    assert not static.redraws
    sizes = [len(split) for split in (static.train, static.valid, static.test)]
    assert sizes == [50_000, 10_000, 10_000]
    assert static.labels == ()
    assert static.train.unique().tolist() == [0, 1]
    grey = build_dataset("mnist", levels=256)
    # White with probability x/255: the mean per pixel agrees, though its rows are shuffled.
    whole = as_float(torch.cat([static.train, static.valid])).flatten(1).mean(0)
    wanted = torch.cat([grey.train, grey.valid]).flatten(1).to(torch.float64).mean(0) / 255
    error = (wanted * (1 - wanted) / 60_000).sqrt() + 1e-6
    assert float(((whole - wanted) / error).square().mean()) < 1.5


def test_dynamic_mnist_differs_from_a_threshold(mnist: None) -> None:
    dynamic = build_dataset("mnist", binarisation="dynamic", n_samples=500)
    cut = build_dataset("mnist", binarisation="threshold", n_samples=500)
    grey = build_dataset("mnist", levels=256, n_samples=500).train
    assert torch.equal(cut.train, (grey >= 128).to(torch.uint8))
    assert torch.equal(dynamic.source, grey)
    stream = Batches(dynamic, 500, 0, CPU)
    mean = torch.stack([stream.next().mean() for _ in range(40)]).mean()
    assert float(mean) == pytest.approx(float(grey.float().mean()) / 255, rel=0.01)
    assert dynamic.labels == cut.labels == tuple("0123456789")


def test_a_thumbnail_is_the_first_picture(mnist: None) -> None:
    small = datasets()["mnist"].thumbnail()
    assert small is not None
    assert torch.equal(small, build_dataset("mnist", levels=256, n_samples=10).train[0, 0] / 255.0)


def cifar_archive(path: Path, rows: int, names: tuple[str, ...] = cifar10.BATCHES) -> torch.Tensor:
    """An archive in CIFAR-10's own layout, of noise; returns its table."""
    generator = np.random.default_rng(5)
    tables = []
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            table = generator.integers(0, 256, (rows, cifar10.ROW), dtype=np.uint8)
            table[:, 0] %= 10
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = table.size
            archive.addfile(info, io.BytesIO(table.tobytes()))
            tables.append(table)
    return torch.from_numpy(np.concatenate(tables))


def test_cifar_is_read_in_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    for name, value in (("N_TRAIN", 45), ("N_VALID", 5), ("N_TEST", 10)):
        monkeypatch.setattr(cifar10, name, value)
    table = cifar_archive(tmp_path / "cifar-10-binary.tar.gz", 10)
    dataset = build_dataset("cifar10", n_samples=45)
    assert dataset.event.shape == (3, 32, 32)
    assert dataset.event.levels == 256
    assert torch.equal(dataset.train.flatten(1), table[:45, 1:])
    assert torch.equal(dataset.test.flatten(1), table[50:, 1:])
    assert dataset.valid_labels is not None
    assert torch.equal(dataset.valid_labels, table[45:50, 0].long())
    assert len(dataset.labels) == 10
    small = datasets()["cifar10"].thumbnail()
    assert small is not None
    assert torch.equal(small, dataset.train[0] / 255.0)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (cifar10.BATCHES[:4], "lacks data_batch_5.bin, test_batch.bin"),
        (cifar10.BATCHES, "holds 12"),
    ],
)
def test_an_incomplete_cifar_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    cifar_archive(tmp_path / "cifar-10-binary.tar.gz", 2, names)
    with pytest.raises(ValueError, match=sentence):
        build_dataset("cifar10")


def test_a_damaged_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"damaged .* fetch it anew"):
        build_dataset("cifar10")
