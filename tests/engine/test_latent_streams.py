"""Long work on a code: the β sweep, the scores of disentanglement, the probe with few labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.latents import Latent
from engine.model import GenerativeModel
from engine.models.latent.vae import VAE, VAEConfig
from engine.probe import View
from engine.probes.beta_sweep import beta_sweep
from engine.probes.factor_scores import factor_scores
from engine.probes.label_probe import label_probe
from engine.registry import build_dataset, build_model
from engine.wire.fields import Field
from tests.engine.latent_toys import NormalPosterior
from tests.engine.toys import toy_card


@dataclass(frozen=True)
class WeighedConfig(VAEConfig):
    beta: Annotated[float, Field(0.0, 100.0, help="Weight of the KL.")] = 1.0


class Weighed(VAE):
    """A VAE trained with a weight on its KL."""

    Config = WeighedConfig
    card = toy_card("weighed")

    def loss(self, x: Tensor, **wanted: Any) -> dict[str, Tensor]:
        found = super().loss(x, **wanted)
        return {**found, "total": found["reconstruction"] + self.config.beta * found["kl"]}


class FactorCode(GenerativeModel):
    """Encodes a sprite as its true factors, looked up among the data's own pictures."""

    card = toy_card("factors")
    Config = VAEConfig
    latents = (Latent("z", (5,)),)
    table: dict[bytes, Tensor]

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": x.sum()}

    def prior(self, parents: Any) -> Distribution:
        return Independent(Normal(torch.zeros(5), torch.ones(5)), 1)

    def decode(self, latents: Any, **_: Any) -> Distribution:
        return Independent(Normal(torch.zeros(len(latents["z"]), *self.event_shape), 1.0), 3)

    def encode(self, x: Tensor, **_: Any) -> NormalPosterior:
        mean = torch.stack([self.table[row.byte().numpy().tobytes()] for row in x])
        spread = 0.02 * torch.tensor([2.0, 0.08, 6.28, 0.36, 0.36])
        return NormalPosterior(mean, spread.expand_as(mean))


def test_a_larger_beta_lowers_the_rate() -> None:
    data = build_dataset("two_moons", n_samples=400)
    config = WeighedConfig(hidden_features=(16,), learning_rate=1e-2)
    model = Weighed((2,), config)
    wanted = {"betas": [0.1, 8.0], "steps": 80, "n_test": 40}
    results = list(beta_sweep.ask(View(model, data, 0), wanted))
    whole = [dict(r.values) for r in results if "rate" in r.values]
    assert [w["beta"] for w in whole] == [0.1, 8.0]
    rates: list[Any] = [w["rate"] for w in whole]
    distortions: list[Any] = [w["distortion"] for w in whole]
    assert rates[0] > rates[1] + 0.5
    assert distortions[0] < distortions[1] - 0.5
    residuals: list[Any] = [w["residual"] for w in whole]
    assert max(residuals) < 1e-3
    assert results[-1].final
    assert not any(r.final for r in results[:-1])
    again = [dict(r.values) for r in beta_sweep.ask(View(model, data, 0), wanted)]
    assert [w["rate"] for w in again if "rate" in w] == rates


def test_the_sweep_ends_when_nobody_wants_it() -> None:
    data = build_dataset("two_moons", n_samples=100)
    view = replace(View(Weighed((2,), WeighedConfig()), data, 0), cancelled=lambda: True)
    assert not any("rate" in r.values for r in beta_sweep.ask(view, {}))


def test_a_model_without_beta_is_refused_with_the_reason() -> None:
    data = build_dataset("two_moons", n_samples=100)
    model = build_model("vae", event_shape=(2,))
    with pytest.raises(ValueError, match="VAE has no setting β"):
        list(beta_sweep.ask(View(model, data, 0), {}))
    with pytest.raises(ValueError, match="steps: given 0"):
        list(beta_sweep.ask(View(Weighed((2,), WeighedConfig()), data, 0), {"steps": 0}))


def test_true_factors_score_as_perfect_and_random_weights_do_not() -> None:
    data = build_dataset("sprites", n_samples=1000, size=16, levels=17)
    code = FactorCode(data.event_shape, VAEConfig())
    code.table = {
        row.numpy().tobytes(): factors
        for split in ("train", "valid", "test")
        for row, factors in zip(
            getattr(data, split), getattr(data, f"{split}_factors"), strict=True
        )
    }
    results = list(factor_scores.ask(View(code, data, 0), {"n_seeds": 2, "n": 1000}))
    values: dict[str, Any] = dict(results[-1].values)
    assert values["beta_vae"] == [1.0, 1.0]
    assert values["factor_vae"] == [1.0, 1.0]
    assert min(values["mig"]) > 0.85
    assert min(values["mig_sampled"]) > 0.5
    assert values["factors"] == ["shape", "scale", "rotation", "x", "y"]
    assert values["chance"] == 0.2
    assert len(results) == 3
    assert results[-1].numpy()["information"].shape == (5, 5)
    points = build_dataset("two_moons", n_samples=50)
    with pytest.raises(ValueError, match="have no known factors"):
        list(factor_scores.ask(View(build_model("vae", event_shape=(2,)), points, 0), {}))


def test_few_labels_on_latents_and_on_pixels() -> None:
    data = build_dataset("digits")
    model = build_model("ppca", event_shape=(1, 8, 8), latent_features=8, estimator="closed_form")
    generator = torch.Generator().manual_seed(0)
    model.prepare(data.train, generator=generator)
    model.train_step(data.train, None, generator)  # type: ignore[arg-type]
    wanted = {"counts": [10, 300], "n_seeds": 2}
    results = list(label_probe.ask(View(model, data, 0), wanted))
    arrays = results[-1].numpy()
    assert arrays["counts"].tolist() == [10, 300]
    for name in ("latents", "raw"):
        assert arrays[name].shape == (2, 2)
        assert (arrays[name][1] > arrays[name][0]).all()
        assert arrays[name][1].min() > 0.75
    assert np.isnan(results[1].numpy()["raw"]).sum() == 3
    assert 0.1 <= float(results[-1].values["chance"]) < 0.15  # type: ignore[arg-type]
    targets = build_dataset("eight_gaussians", n_samples=50)
    unlabelled = View(build_model("vae", event_shape=(2,)), targets, 0)
    if targets.train_labels is None:
        with pytest.raises(ValueError, match="have no labels"):
            list(label_probe.ask(unlabelled, {}))
