"""Paths, neighbours and levels among the latents, against formulas and brute force."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.estimators.latent_paths import (
    curve_energy,
    curve_length,
    geodesics,
    linear,
    spherical,
)
from engine.latents import Latent
from engine.registry import build_model
from tests.engine.test_latent_probes import Points, ask
from tests.engine.toys import GaussianToy, toy_card, view

T = torch.linspace(0.0, 1.0, 33, dtype=torch.float64)


def test_spherical_paths_are_shoemakes() -> None:
    a, b = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 2.0]).double()
    path = spherical(a, b, T)
    quarter = torch.pi / 2 * T
    torch.testing.assert_close(path, 2 * torch.stack([quarter.cos(), quarter.sin()], 1))
    c = torch.tensor([0.5, 1.5, -1.0]).double()
    d = torch.tensor([-0.3, 0.2, 2.0]).double()
    theta = np.arccos(float(c @ d / (c.norm() * d.norm())))
    t = 0.3
    shoemake = np.sin((1 - t) * theta) / np.sin(theta) * c + np.sin(t * theta) / np.sin(theta) * d
    found = spherical(c, d, torch.tensor([t], dtype=torch.float64))[0]
    torch.testing.assert_close(found, shoemake)
    for opposite in (-a, 0.5 * a, torch.zeros_like(a)):
        torch.testing.assert_close(spherical(a, opposite, T), linear(a, opposite, T))


def polar(z: Tensor) -> Tensor:
    """(angle, radius) → the plane: its geodesics are straight lines of the plane."""
    return torch.stack([z[:, 1] * z[:, 0].cos(), z[:, 1] * z[:, 0].sin()], 1)


def test_a_geodesic_of_polar_coordinates_is_the_chord() -> None:
    start = linear(torch.tensor([0.0, 1.0]).double(), torch.tensor([1.2, 1.0]).double(), T)
    curves = list(geodesics(polar, start))
    energies = [float(curve_energy(polar(curve))) for curve in curves]
    assert all(later < earlier for earlier, later in pairwise(energies))
    chord = 2 * np.sin(0.6)
    length = float(curve_length(polar(curves[-1])))
    assert float(curve_length(polar(start))) == pytest.approx(1.2, rel=1e-3)
    assert length == pytest.approx(chord, rel=1e-4)
    assert energies[-1] == pytest.approx(chord**2 / 32, rel=1e-4)
    assert length**2 <= 32 * energies[-1] + 1e-12
    torch.testing.assert_close(curves[-1][[0, -1]], start[[0, -1]])


@pytest.fixture(scope="module")
def vae() -> Any:
    model = build_model("vae", event_shape=(2,), latent_features=2, hidden_features=(16,), seed=2)
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(points, generator=torch.Generator().manual_seed(0))
    return view(model, Points(points))


KEYS = np.array([[-2.0, 0.5], [1.5, 1.5], [0.0, -2.0]])


def test_paths_go_through_their_keys_and_tell_energy_and_length(vae: Any) -> None:
    found = {
        kind: ask(vae, "latent_path", keys=KEYS, kind=kind, frames=8)
        for kind in ("linear", "spherical", "geodesic")
    }
    for result in found.values():
        z, frames = result.arrays["z"].numpy(), result.arrays["frames"].numpy()
        np.testing.assert_array_equal(result.arrays["keys_at"], [0, 8, 16])
        np.testing.assert_allclose(z[[0, 8, 16]], KEYS, atol=1e-6)
        steps = np.linalg.norm(np.diff(frames.astype(float), axis=0), axis=1)
        assert result.values["energy"] == pytest.approx((steps**2).sum(), rel=1e-6)
        assert result.values["length"] == pytest.approx(steps.sum(), rel=1e-6)
        model = vae.model
        with torch.no_grad():
            expected = model.decode({"z": torch.from_numpy(z).float()}).mean
        np.testing.assert_allclose(frames, expected, atol=1e-5)
    straight = found["linear"].values["energy"]
    assert found["geodesic"].values["energy"] < straight
    assert found["geodesic"].values["linear_energy"] == pytest.approx(straight)
    inner = found["linear"].arrays["z"].numpy()[2]
    np.testing.assert_allclose(inner, KEYS[0] + 0.25 * (KEYS[1] - KEYS[0]), atol=1e-6)


def test_a_loop_returns_and_a_linear_decoder_is_already_geodesic() -> None:
    model = build_model("ppca", event_shape=(3,), latent_features=2)
    shown = view(model, Points(torch.randn(20, 3)))
    found = ask(shown, "latent_path", keys=KEYS, kind="geodesic", frames=4, loop=True)
    assert found.arrays["z"].shape == (13, 2)
    np.testing.assert_allclose(found.arrays["z"][0], found.arrays["z"][-1])
    assert found.values["energy"] == pytest.approx(found.values["linear_energy"], rel=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"keys": KEYS[:1]}, "given 1 latents"), ({"keys": KEYS, "frames": 0}, "frames: given 0")],
)
def test_bad_paths_are_named(vae: Any, given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(vae, "latent_path", **given)


def test_neighbours_are_the_nearest(vae: Any) -> None:
    own = np.array([0.3, -0.4])
    found = ask(vae, "latent_point", x=own, neighbours=5).arrays
    points = vae.dataset.train.numpy()
    away = np.linalg.norm(points - own, axis=1)
    np.testing.assert_array_equal(found["near_pixels_index"], np.argsort(away)[:5])
    np.testing.assert_allclose(found["near_pixels_distance"], np.sort(away)[:5], rtol=1e-5)
    with torch.no_grad():
        means = vae.model.encode(torch.from_numpy(points)).mean.numpy()
        q = vae.model.encode(torch.tensor(own[None]).float())
        rebuilt = vae.model.decode({"z": q.mean}).mean[0]
    among = np.linalg.norm(means - q.mean.numpy(), axis=1)
    np.testing.assert_array_equal(found["near_latent_index"], np.argsort(among)[:5])
    np.testing.assert_allclose(found["near_latent"], points[np.argsort(among)[:5]])
    np.testing.assert_allclose(found["rebuilt"], rebuilt, atol=1e-5)
    np.testing.assert_allclose(found["covariance"], np.diag(q.scale[0].numpy() ** 2), atol=1e-6)


def test_an_observation_has_its_bound(vae: Any) -> None:
    found = ask(vae, "latent_point", index=3)
    x = vae.dataset.train[3:4]
    np.testing.assert_array_equal(found.arrays["x"], x[0])
    with torch.no_grad():
        many = vae.model.elbo(x, n_draws=4000, generator=torch.Generator().manual_seed(0))
    assert found.values["kl"] == pytest.approx(float(many.kl_terms["z"]), rel=1e-5)
    spread = float(many.log_weights.std()) / 64**0.5
    assert found.values["elbo"] == pytest.approx(float(many.total), abs=4 * spread + 1e-3)
    with pytest.raises(ValueError, match="index: given 30"):
        ask(vae, "latent_point", index=30)
    with pytest.raises(ValueError, match="x: given 3 values"):
        ask(vae, "latent_point", x=np.zeros(3))


class Ladder(GaussianToy):
    """top ~ N(0, 1), middle ~ N(2 top, 0.5²), bottom ~ N(−middle, 0.1²), x = all three."""

    card = toy_card("ladder")

    def __init__(self) -> None:
        super().__init__(3)

    @property
    def latents(self) -> tuple[Latent, ...]:
        return tuple(Latent(name, (1,)) for name in ("top", "middle", "bottom"))

    def prior(self, parents: Any) -> Distribution:
        if "top" not in parents:
            mean, scale = torch.zeros(1), 1.0
        elif "middle" not in parents:
            mean, scale = 2 * parents["top"], 0.5
        else:
            mean, scale = -parents["middle"], 0.1
        return Independent(Normal(mean.double(), scale), 1)

    def decode(self, latents: Any, **_: Any) -> Distribution:
        x = torch.cat([latents[n].double() for n in ("top", "middle", "bottom")], -1)
        return Independent(Normal(x, 0.1), 1)


def test_one_level_is_drawn_and_the_others_held() -> None:
    shown = view(Ladder(), Points(torch.randn(10, 3)))
    for level, held in (("top", 0), ("middle", 1), ("bottom", 2)):
        x = ask(shown, "latent_levels", level=level, n=6).arrays["pictures"].double()
        assert (x[:, :held] == x[0, :held]).all()
        assert len(x[:, held].unique()) == 6
        noise = torch.stack([(x[:, 1] - 2 * x[:, 0]) / 0.5, (x[:, 2] + x[:, 1]) / 0.1], 1)
        below = noise[:, held:]
        torch.testing.assert_close(below, below[:1].expand_as(below), atol=1e-4, rtol=0)


def test_a_middle_level_has_a_marginal_prior_by_draws() -> None:
    shown = view(Ladder(), Points(torch.randn(10, 3)))
    found = ask(shown, "latent_density", latent="middle", low=(-8.0,), high=(8.0,), size=80,
                centre=np.zeros(1), basis=np.eye(1))  # fmt: skip
    assert found.values["prior_kind"] == "estimate"
    x = -8.0 + (np.arange(80) + 0.5) * 16 / 80
    truth = np.exp(-(x**2) / (2 * 4.25)) / np.sqrt(2 * np.pi * 4.25)
    np.testing.assert_allclose(np.exp(found.arrays["log_prior"]), truth, atol=0.015)
    decoded = ask(shown, "latent_decode", latent="middle", z=np.array([[1.5]]))
    np.testing.assert_allclose(decoded.arrays["means"], [[0.0, 1.5, -1.5]], atol=1e-6)
