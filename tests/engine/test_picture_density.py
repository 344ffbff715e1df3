"""Pictures as densities: closed forms, chi-square, orientation, and files that are none."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from engine import checkpoint
from engine.registry import build_dataset, build_model
from engine.wire.messages import RunSpec


def png(grey: Any) -> str:
    """A grey picture as the text of a setting."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(grey, np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(grey: Any, **config: object) -> Any:
    return build_dataset("picture", pixels=png(grey), n_samples=100, **config)


def random_grey(seed: int = 0, height: int = 9, width: int = 14) -> Any:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width))
    grey[grey > 200] = 255
    return grey


def centres(height: int, width: int, extent: float = 4.0) -> torch.Tensor:
    """Middles of the pixels (H, W, 2) of a picture, its first row at the top."""
    scale = 2 * extent / max(height, width)
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2) * scale
    y = (height / 2 - torch.arange(height, dtype=torch.float64) - 0.5) * scale
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


def test_dark_is_likely_and_the_first_row_is_at_the_top() -> None:
    grey = random_grey()
    log_p = picture(grey).log_prob(centres(9, 14).reshape(-1, 2)).reshape(9, 14)
    mass = (255 - grey) / (255 - grey).sum()
    with np.errstate(divide="ignore"):
        wanted = np.log(mass / (8 / 14) ** 2)
    np.testing.assert_allclose(log_p, wanted, atol=1e-5)
    assert bool((log_p[torch.from_numpy(grey == 255)] == -math.inf).all())


@pytest.mark.parametrize("config", [{}, {"invert": True, "gamma": 2.0}, {"blur": 1.5}])
def test_entropy_and_mass_by_the_sum_over_pixels(config: dict[str, Any]) -> None:
    truth = picture(random_grey(1), **config)
    log_p = truth.log_prob(centres(9, 14).reshape(-1, 2))
    p, area = log_p.exp(), (8 / 14) ** 2
    assert float(p.sum()) * area == pytest.approx(1.0, abs=1e-6)
    entropy = -float(torch.special.xlogy(p, p).sum()) * area
    assert truth.entropy() == pytest.approx(entropy, abs=1e-6)


def test_settings_are_those_of_the_formula() -> None:
    grey = random_grey(2)
    middles = centres(9, 14, extent=10.0).reshape(-1, 2)
    log_p = picture(grey, invert=True, gamma=2.0, extent=10.0).log_prob(middles)
    weight = (grey / 255.0) ** 2
    wanted = weight / weight.sum() / (20 / 14) ** 2
    np.testing.assert_allclose(log_p.exp().reshape(9, 14), wanted, atol=1e-6)


def test_blur_moves_mass_as_a_gaussian_does() -> None:
    grey = np.full((41, 41), 255)
    grey[20, 20] = 0
    log_p = picture(grey, blur=2.0).log_prob(centres(41, 41).reshape(-1, 2)).reshape(41, 41)
    bell = np.exp(-0.5 * ((np.arange(41) - 20) / 2.0) ** 2)
    bell[np.abs(np.arange(41) - 20) > 8] = 0.0
    wanted = np.outer(bell, bell) / bell.sum() ** 2 / (8 / 41) ** 2
    np.testing.assert_allclose(log_p.exp(), wanted, atol=1e-5)


def test_large_pictures_are_reduced_by_their_mean() -> None:
    fine = np.random.default_rng(3).integers(0, 255, (64, 32))
    coarse = fine.reshape(16, 4, 8, 4).mean((1, 3))
    log_p = picture(fine, side=16).log_prob(centres(16, 8).reshape(-1, 2)).reshape(16, 8)
    dark = 255.0 - coarse
    np.testing.assert_allclose(log_p.exp(), dark / dark.sum() / 0.25, rtol=1e-4)


def test_draws_follow_the_pixels_by_chi_square_and_none_falls_on_white() -> None:
    grey = random_grey(4)
    truth = picture(grey)
    n = 50_000
    draws = truth.sample(n, generator=torch.Generator().manual_seed(1))
    assert bool(truth.log_prob(draws).isfinite().all())
    x = ((draws[:, 0].double() + 4) / 8 * 14).long().clamp(0, 13)
    y = 8 - ((draws[:, 1].double() * 14 / 8 + 4.5).floor().long().clamp(0, 8))
    counts = torch.bincount(y * 14 + x, minlength=126).numpy()
    expected = n * ((255 - grey) / (255 - grey).sum()).ravel()
    full = expected > 5
    statistic = ((counts[full] - expected[full]) ** 2 / expected[full]).sum()
    assert scipy.stats.chi2.sf(statistic, int(full.sum()) - 1) > 1e-3


def test_no_draw_is_rounded_onto_the_next_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.where(np.indices((15, 11)).sum(0) % 2 == 0, 0, 255)
    truth = picture(grey)
    highest = {torch.float32: 1.0 - 2.0**-24, torch.float64: 0.5}
    monkeypatch.setattr(
        torch, "rand",
        lambda *shape, dtype=torch.float32, **_: torch.full(shape, highest[dtype], dtype=dtype),
    )  # fmt: skip
    draws = truth.sample(50, generator=torch.Generator())
    assert bool(truth.log_prob(draws).isfinite().all())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "I;16", "1"])
def test_files_of_every_mode_are_read_alike(mode: str, tmp_path: Path) -> None:
    grey = np.where(np.indices((6, 8)).sum(0) % 2 == 0, 0, 255).astype(np.uint8)
    if mode == "I;16":
        made = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        made = Image.fromarray(grey).convert(mode)
    made.save(tmp_path / "own.png")
    truth: Any = build_dataset("picture", path=str(tmp_path / "own.png"))
    points = centres(6, 8).reshape(-1, 2)
    torch.testing.assert_close(truth.log_prob(points), picture(grey).log_prob(points))


def test_transparent_is_white_and_cameras_may_be_turned(tmp_path: Path) -> None:
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[0, 0, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    truth: Any = build_dataset("picture", path=str(tmp_path / "clear.png"))
    assert truth.entropy() == pytest.approx(math.log((8 / 6) ** 2), abs=1e-6)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to the right
    Image.fromarray(np.full((4, 6), 60, np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    turned: Any = build_dataset("picture", path=str(tmp_path / "turned.jpg"))
    assert float(turned.log_prob(torch.tensor([[0.0, 3.9]]))) > -math.inf
    assert float(turned.log_prob(torch.tensor([[3.9, 0.0]]))) == -math.inf


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"path": "no/such.png"}, "which is no file"),
        ({"pixels": "!!"}, "no base64"),
        ({"pixels": "AAAA"}, "no picture that can be read"),
        ({"pixels": png(np.full((3, 3), 255))}, "white all over"),
        ({"pixels": png(np.zeros((3, 3))), "invert": True}, "black all over"),
    ],
)
def test_bad_pictures_are_refused_in_one_sentence(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_dataset("picture", **config)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    file.write_bytes(base64.b64decode(png(random_grey(5, 60, 60)))[:200])
    with pytest.raises(ValueError, match=r"cut\.png is no picture that can be read"):
        build_dataset("picture", path=str(file))


def test_a_saved_run_needs_no_picture_file(tmp_path: Path) -> None:
    file = tmp_path / "own.png"
    Image.fromarray(random_grey(6).astype(np.uint8)).save(file)
    spec = RunSpec("gaussian_mixture", "picture", dataset_config={"path": str(file)})
    before = build_dataset("picture", path=str(file))
    model = build_model("gaussian_mixture", event_shape=(2,))
    checkpoint.save(tmp_path / "run.safetensors", model, spec=spec, step=0)
    file.unlink()
    loaded = checkpoint.load(tmp_path / "run.safetensors").build_dataset()
    assert torch.equal(loaded.train, before.train)
    again = build_dataset("picture", path=str(file))
    assert torch.equal(again.train, before.train)
