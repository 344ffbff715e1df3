"""Probes that give points: data, samples, draws, warped grids, responsibilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, Distribution, MultivariateNormal

from engine.dataset import Dataset
from engine.latents import Latent
from engine.model import GenerativeModel
from engine.probe import Result
from engine.registry import probes
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    LinearToy,
    QuadraticToy,
    toy_card,
    view,
)


class ChainToy(QuadraticToy):
    """A quadratic energy with an exact autoregressive chain, x ← ½ x + √¾ ε."""

    card = toy_card("chain")

    @property
    def kernels(self) -> tuple[str, ...]:
        return ("gibbs",)

    def init(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"x": torch.full((n, self.event_size), 10.0, dtype=torch.float64)}

    def step(
        self, state: dict[str, Tensor], kernel: str, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        noise = torch.randn(state["x"].shape, generator=generator, dtype=torch.float64)
        return {"x": 0.5 * state["x"] + 0.75**0.5 * noise}, {}


class MixtureToy(GaussianToy):
    """Two Gaussians with a category as their latent."""

    card = toy_card("mixture")
    mixing = (0.3, 0.7)

    @property
    def latents(self) -> tuple[Latent, ...]:
        return (Latent("k", (), "category", 2),)

    def prior(self, parents: Any) -> Distribution:
        return Categorical(torch.tensor(self.mixing, dtype=torch.float64))

    def decode(self, latents: Any, **_: Any) -> Distribution:
        means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
        covariances = torch.tensor(
            [[[1.0, 0.3], [0.3, 0.5]], [[0.4, 0.0], [0.0, 0.9]]], dtype=torch.float64
        )
        return MultivariateNormal(means[latents["k"]], covariances[latents["k"]])

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        k = torch.arange(2)
        joint = self.prior({}).log_prob(k) + self.decode({"k": k}).log_prob(x.unsqueeze(1))
        return joint.logsumexp(1)


def ask(name: str, model: GenerativeModel, dataset: Dataset, **arguments: Any) -> Result:
    return list(probes()[name].ask(view(model, dataset), arguments))[-1]


def test_data_points_are_those_of_the_split() -> None:
    data = GaussianData()
    result = ask("data_points", GaussianToy(2), data, split="test")
    assert np.array_equal(result.numpy()["points"], data.test.numpy())
    assert set(result.numpy()["labels"].tolist()) == {-1}
    assert result.values["low"] == pytest.approx(list(data.info().low))
    assert (result.values["x_name"], result.values["y_name"]) == ("x", "y")


def test_data_points_are_a_fixed_choice_of_many() -> None:
    data = GaussianData()
    data.train_labels = torch.arange(len(data.train))
    first = ask("data_points", GaussianToy(2), data, n=50).numpy()
    again = ask("data_points", GaussianToy(2), data, n=50).numpy()
    assert np.array_equal(first["points"], again["points"])
    assert len(set(first["labels"].tolist())) == 50
    assert np.array_equal(first["points"], data.train.numpy()[first["labels"]])


def test_data_points_of_one_axis() -> None:
    result = ask("data_points", GaussianToy(1), GaussianData((1.0,)))
    assert result.numpy()["points"].shape == (320, 1)
    assert (len(result.values["low"]), result.values["y_name"]) == (1, "")  # type: ignore[arg-type]


def test_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="given 'all', wanted one of train, valid, test"):
        ask("data_points", GaussianToy(2), GaussianData(), split="all")


def test_samples_follow_the_model_and_the_seed() -> None:
    model = GaussianToy(2, mean=1.0, sigma=(1.0, 0.5))
    result = ask("samples", model, GaussianData(), n=4000, seed=1)
    points = result.numpy()["points"]
    assert result.values["kind"] == "exact"
    assert stats.kstest(points[:, 1], stats.norm(1.0, 0.5).cdf).pvalue > 1e-3
    again = ask("samples", model, GaussianData(), n=4000, seed=1).numpy()["points"]
    other = ask("samples", model, GaussianData(), n=4000, seed=2).numpy()["points"]
    assert np.array_equal(points, again)
    assert not np.array_equal(points, other)


def test_chain_samples_say_so() -> None:
    result = ask("samples", ChainToy(2), GaussianData(), n=4000, chain_steps=30)
    assert result.values["kind"] == "chain"
    assert result.values["label"] == "30 Gibbs steps from a fresh start, not exact"
    assert stats.kstest(result.numpy()["points"][:, 0], stats.norm.cdf).pvalue > 1e-3
    none = ask("samples", ChainToy(2), GaussianData(), n=5, chain_steps=0)
    assert none.numpy()["points"] == pytest.approx(10.0)


def test_samples_of_neither_are_refused() -> None:
    with pytest.raises(ValueError, match="Quadratic has neither"):
        ask("samples", QuadraticToy(2), GaussianData())
    with pytest.raises(ValueError, match="n: given 0"):
        ask("samples", GaussianToy(2), GaussianData(), n=0)


def test_draws_are_events_in_data_units() -> None:
    model, data = GaussianToy(3, mean=2.0), GaussianData((1.0, 1.0, 1.0))
    result = ask("draw", model, data, n=64, seed=7)
    generator = view(model, data).generator(7)
    assert np.array_equal(result.numpy()["samples"], model.sample(64, generator=generator).numpy())


def test_draw_can_be_cancelled() -> None:
    shown = view(ChainToy(2), GaussianData(), cancelled=lambda: True)
    assert list(probes()["draw"].ask(shown, {"n": 3})) == []


def test_warped_grid_of_a_linear_generator() -> None:
    model = ImplicitToy(2, mean=1.0, sigma=(2.0, 0.5))
    result = ask("warped_grid", model, GaussianData(), lines=5, points=11, extent=2.0)
    lines = result.numpy()["lines"]
    assert lines.shape == (10, 11, 2)
    assert lines[0, :, 0] == pytest.approx(1 + 2 * np.linspace(-2, 2, 11))
    assert lines[0, :, 1] == pytest.approx(1 - 2 * 0.5)
    assert lines[5, :, 0] == pytest.approx(1 - 2 * 2)
    assert lines[5, :, 1] == pytest.approx(1 + 0.5 * np.linspace(-2, 2, 11))


def test_warped_grid_of_one_latent_dimension_is_a_line() -> None:
    model = LinearToy(1)
    model.latents = (Latent("z", (1,)),)  # type: ignore[assignment]
    model.prior = lambda parents: None  # type: ignore[assignment]
    kind = type("Decoding", (LinearToy,), {"latents": model.latents, "prior": model.prior})
    result = ask("warped_grid", kind(1), GaussianData((1.0,)), points=5, extent=1.0)
    assert result.numpy()["lines"].shape == (1, 5, 1)
    assert result.numpy()["lines"][0, :, 0] == pytest.approx(1.5 * np.linspace(-1, 1, 5))


def test_warped_grid_needs_a_real_latent() -> None:
    with pytest.raises(ValueError, match="is a category, wanted a real one"):
        ask("warped_grid", MixtureToy(2), GaussianData())
    with pytest.raises(ValueError, match="needs a latent space to decode"):
        ask("warped_grid", GaussianToy(2), GaussianData())
    with pytest.raises(ValueError, match="lines: given 0"):
        ask("warped_grid", ImplicitToy(2), GaussianData(), lines=0)


def test_responsibilities_are_bayes_rule() -> None:
    data = GaussianData()
    arrays = ask("responsibilities", MixtureToy(2), data, n=100).numpy()
    parts = MixtureToy(2).decode({"k": torch.arange(2)})
    joint = np.stack(
        [
            w * stats.multivariate_normal(m, c).pdf(arrays["points"])
            for w, m, c in zip(
                MixtureToy.mixing,
                parts.mean.numpy(),
                parts.covariance_matrix.numpy(),  # type: ignore[attr-defined]
                strict=True,
            )
        ],
        1,
    )
    expected = joint / joint.sum(1, keepdims=True)
    assert arrays["responsibilities"] == pytest.approx(expected, abs=1e-5)
    assert arrays["weights"] == pytest.approx(list(MixtureToy.mixing))
    assert arrays["means"] == pytest.approx(parts.mean.numpy())
    assert arrays["covariances"].shape == (2, 2, 2)


def test_responsibilities_need_a_mixture() -> None:
    with pytest.raises(ValueError, match="responsibilities need a mixture; Implicit is none"):
        ask("responsibilities", ImplicitToy(2), GaussianData())
