"""Marginal splines and iterative Gaussianization against scipy, autograd and bookkeeping."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor

from engine.bijections.marginal import Marginal, fit_marginals, identity
from engine.history import put, take
from engine.models.flows.gaussianization import ROTATIONS, Gaussianization
from engine.registry import build_dataset, build_model
from engine.training import Trainer, held_out_nll
from tests.engine.affine_flows import log_det_by_autograd
from tests.engine.toys import Table

DOUBLE = torch.float64


def skewed(n: int, seed: int = 0) -> Tensor:
    """An exponential column and one of two humps, float64."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(n, 2, generator=generator, dtype=DOUBLE)
    humps = torch.sign(u[:, 1] - 0.4) * 1.5 + 0.4 * torch.randn(n, generator=generator).double()
    return torch.stack([-torch.log1p(-u[:, 0]), humps], 1)


def trained(rotation: str, n_sweeps: int, n: int = 1200) -> tuple[Gaussianization, Trainer]:
    data = build_dataset("two_moons", n_samples=n)
    model = build_model("gaussianization", event_shape=(2,), seed=1, rotation=rotation)
    assert isinstance(model, Gaussianization)
    trainer = Trainer(model.double(), data, seed=2, device="cpu")
    for _ in range(n_sweeps):
        trainer.step()
    return model, trainer


def test_marginals_make_unseen_points_normal() -> None:
    splines = fit_marginals(skewed(2000), 32)
    y, _ = splines.forward(skewed(800, seed=7))
    for column in y.T:
        assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > 0.05
    assert stats.kstest(skewed(800, seed=7)[:, 0].numpy(), stats.norm.cdf).pvalue < 1e-6


def test_the_marginal_of_an_exponential_is_the_normal_quantile_of_its_distribution() -> None:
    splines = fit_marginals(skewed(40_000)[:, :1], 64)
    x = torch.linspace(0.1, 3.0, 12, dtype=DOUBLE)[:, None]
    y, log_det = splines.forward(x)
    wanted = stats.norm.ppf(stats.expon.cdf(x[:, 0].numpy()))
    assert y[:, 0].tolist() == pytest.approx(wanted.tolist(), abs=0.03)
    slope = stats.expon.logpdf(x[:, 0].numpy()) - stats.norm.logpdf(wanted)
    assert log_det.tolist() == pytest.approx(slope.tolist(), abs=0.15)


def test_marginals_invert_everywhere_and_their_log_dets_are_autograds() -> None:
    splines = fit_marginals(skewed(500), 16)
    x = torch.cat([skewed(40, seed=3), torch.tensor([[-30.0, 30.0], [50.0, -9.0]])])
    x.requires_grad_()
    y, log_det = splines.forward(x)
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.allclose(slope.log().sum(1), log_det, atol=1e-9)
    back, same = splines.inverse(y.detach())
    assert torch.allclose(back, x, atol=1e-8)
    assert torch.allclose(same, log_det, atol=1e-7)


def test_tails_have_the_mean_excess_of_a_normal() -> None:
    x = skewed(1000)
    splines = fit_marginals(x, 16)
    y, end = splines.forward(x)[0], float(splines.y[0, -1])
    wanted = stats.norm.pdf(end) / stats.norm.sf(end) - end
    for column in y.T:
        assert float((column[column > end] - end).mean()) == pytest.approx(wanted, rel=1e-6)
        assert float((-end - column[column < -end]).mean()) == pytest.approx(wanted, rel=1e-6)


def test_padding_changes_no_curve_and_identity_is_one() -> None:
    splines = fit_marginals(skewed(500), 8)
    x = torch.linspace(-6.0, 9.0, 40, dtype=DOUBLE)[:, None].expand(40, 2)
    for one, other in zip(splines.forward(x), splines.padded(20).forward(x), strict=True):
        assert torch.allclose(one, other, atol=1e-9)
    assert splines.padded(20).x.shape == (2, 21)
    y, log_det = identity(2, 8).forward(x)
    assert torch.allclose(y, x, atol=1e-12)
    assert float(log_det.abs().max()) < 1e-12
    alone = splines.coordinate(1)
    assert isinstance(alone, Marginal)
    assert torch.allclose(alone.forward(x[:, 1:])[0][:, 0], splines.forward(x)[0][:, 1])


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_each_sweep_takes_negentropy_away_and_says_how_much(rotation: str) -> None:
    model, trainer = trained(rotation, 0)
    losses = [trainer.step()["nll"].item() for _ in range(9)]
    falls = [one - other for one, other in pairwise(losses)]
    assert falls == pytest.approx(model.gains[:8].tolist(), abs=1e-9)
    assert float(model.gains.min()) >= -1e-12
    assert float(model.gains[0]) > 0.1
    assert int(model.n_sweeps) == 9
    assert len(model.path(trainer.dataset.test[:3]).names) == 1 + 2 * 9


def test_likelihood_is_the_sum_of_autograds_log_dets() -> None:
    model, trainer = trained("random", 5)
    x = trainer.dataset.test[:6].double()
    path = model.path(x)
    log_det = log_det_by_autograd(model, x)  # type: ignore[arg-type]
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-8)
    wanted = model.base().log_prob(path.states[-1]) + log_det
    assert torch.allclose(model.log_prob(x), wanted, atol=1e-8)
    back = model.path(path.states[-1], inverse=True)
    assert torch.allclose(back.states, path.states, atol=1e-7)


def test_unseen_points_become_normal_and_more_likely() -> None:
    model, trainer = trained("random", 0, n=4000)
    test, scores = trainer.dataset.test, []
    for _ in range(25):
        scores.append(held_out_nll(model, test))
        trainer.step()
    assert scores[-1] < scores[0] - 0.5  # type: ignore[operator]
    assert scores[-1] - trainer.dataset.entropy() < 0.35  # type: ignore[operator]
    z = model.path(test).states[-1].detach()
    angles = torch.linspace(0.0, math.pi, 4, dtype=DOUBLE)[:-1]
    for angle in angles:
        side = z[:, 0] * angle.cos() + z[:, 1] * angle.sin()
        assert stats.kstest(side.numpy(), stats.norm.cdf).pvalue > 0.05


def test_nothing_to_gain_leaves_axes_as_they_are() -> None:
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(3))
    model = build_model("gaussianization", event_shape=(2,), rotation="random")
    trainer = Trainer(model, Table(x), device="cpu")
    for _ in range(5):
        trainer.step()
    assert isinstance(model, Gaussianization)
    assert float(model.gains.abs().max()) < 0.02
    assert float((model.knots_x - model.knots_y).abs().amax((1, 2)).min()) == 0.0


def test_the_past_can_be_shown_and_sweeps_end() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("gaussianization", event_shape=(2,), n_layers=3)
    replica = build_model("gaussianization", event_shape=(2,), n_layers=3)
    trainer = Trainer(model, data, device="cpu")
    snapshots, scores = [], []
    for step in range(5):
        snapshots.append(take(model, step))
        scores.append(held_out_nll(model, data.test))
        trainer.step()
    for snapshot, score in zip(snapshots, scores, strict=True):
        put(snapshot, replica)
        assert held_out_nll(replica, data.test) == score
    assert scores[3] == scores[4]
    assert scores[0] != scores[1]
