"""ICA and FastICA on planted sources, against scipy's laws and closed forms."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from engine.bijections.bases import Sources
from engine.bijections.linear import Linear
from engine.bijections.unmixing import UnmixingFlow
from engine.estimators.fast_ica import fixed_point, orthogonalised, random_rotation, whitening
from engine.registry import build_model
from engine.training import fit
from tests.engine.toys import Table

DOUBLE = torch.float64
MIXING = torch.tensor([[1.0, 0.8, -0.3], [-0.5, 1.0, 0.6], [0.4, -0.7, 1.2]], dtype=DOUBLE)


def planted(n: int = 3000, *, peaked_only: bool = False) -> tuple[Tensor, Tensor]:
    """Three independent sources (N, 3), and their mixtures in odd units."""
    generator = torch.Generator().manual_seed(5)
    u = torch.rand(n, 3, generator=generator, dtype=DOUBLE)
    laplace = -torch.sign(u - 0.5) * torch.log1p(-2.0 * (u - 0.5).abs())
    sources = laplace.clone()
    if not peaked_only:
        sources[:, 1] = u[:, 1] * 3.0
        sources[:, 2] = torch.sin(torch.arange(n, dtype=DOUBLE) / 9.0)
    return sources, sources @ MIXING.T * torch.tensor([1.0, 20.0, 0.1]) + 7.0


def fitted(name: str, mixtures: Tensor, steps: int, **config: object) -> UnmixingFlow:
    model = build_model(name, event_shape=(3,), seed=1, **config)
    fit(model, Table(mixtures.float()), steps=steps, device="cpu")
    assert isinstance(model, UnmixingFlow)
    return model.double()


def worst_correlation(found: Tensor, wanted: Tensor) -> float:
    """The least |correlation| under the best assignment of outputs to sources."""
    n = wanted.shape[1]
    table = torch.corrcoef(torch.cat([found.detach().T, wanted.T]))[:n, n:].abs()
    return max(min(float(table[p[i], i]) for i in range(n)) for p in permutations(range(n)))


@pytest.mark.parametrize("contrast", ["log cosh", "kurtosis", "bell"])
def test_fast_ica_recovers_planted_sources(contrast: str) -> None:
    sources, mixtures = planted()
    model = fitted("fast_ica", mixtures, 12, contrast=contrast)
    found = model.sources(mixtures)
    assert worst_correlation(found, sources) >= 0.99
    assert worst_correlation(mixtures, sources) < 0.9, "there was nothing to unmix"
    seen = model.sources(Table(mixtures).train).detach()
    assert torch.allclose(seen.T @ seen / len(seen), torch.eye(3, dtype=DOUBLE), atol=1e-4)
    assert int(model.flat.sum()) == 2  # type: ignore[operator]


def test_maximum_likelihood_recovers_peaked_sources() -> None:
    sources, mixtures = planted(1000, peaked_only=True)
    for source in ("logistic", "sech"):
        model = fitted("ica", mixtures, 80, source=source, batch_size=500, learning_rate=0.05)
        assert worst_correlation(model.sources(mixtures), sources) >= 0.99


def test_maximum_likelihood_unmixes_what_is_nearly_alike() -> None:
    # Without whitening the ascent is far from there by then.
    sources, _ = planted(1000, peaked_only=True)
    alike = torch.ones(3, 3, dtype=DOUBLE) + 0.05 * MIXING
    assert torch.linalg.cond(alike) > 50
    model = fitted("ica", sources @ alike.T, 120, batch_size=500, learning_rate=0.03)
    assert worst_correlation(model.sources(sources @ alike.T), sources) >= 0.99


def test_the_mixing_matrix_is_that_of_the_sources() -> None:
    _, mixtures = planted()
    model = fitted("fast_ica", mixtures, 12)
    rebuilt = model.sources(mixtures) @ model.mixing.T + model.location
    assert torch.allclose(rebuilt, mixtures, atol=1e-4)
    # One column alone is what one source adds to the mixtures.
    part = model.sources(mixtures)[:, :1] @ model.mixing[:, :1].T
    spread = part.detach().std(0) / mixtures.std(0)
    assert 0.05 < float(spread.max()) <= 1.0


@pytest.mark.parametrize("name", ["ica", "fast_ica"])
def test_the_density_is_that_of_a_linear_map(name: str) -> None:
    _, mixtures = planted(400)
    model = fitted(name, mixtures, 3)
    x = mixtures[:5]
    W = model.unmixing.detach() / model.scale
    s = (x - model.location) @ W.T
    wanted = model.base().log_prob(s) + math.log(abs(float(torch.linalg.det(W))))
    assert torch.allclose(model.log_prob(x), wanted, atol=1e-9)


def test_a_linear_layer_inverts_and_has_its_determinant() -> None:
    W, x = MIXING, torch.randn(4, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    y, log_det = Linear(W).forward(x)
    assert torch.allclose(Linear(W).inverse(y)[0], x, atol=1e-12)
    assert log_det.tolist() == pytest.approx([math.log(abs(float(torch.linalg.det(W))))] * 4)


def test_a_fixed_point_is_a_fixed_point_and_rotations_are_orthogonal() -> None:
    sources, _ = planted()
    z = (sources - sources.mean(0)) / sources.std(0, correction=0)
    white = z @ whitening(z.T @ z / len(z)).T
    eye = torch.eye(3, dtype=DOUBLE)
    assert torch.allclose(white.T @ white / len(z), eye, atol=1e-10)
    rotation = random_rotation(3, torch.Generator().manual_seed(2))
    assert torch.allclose(rotation @ rotation.T, eye, atol=1e-12)
    for _ in range(40):
        rotation = fixed_point(white, rotation, "log cosh")
    again = fixed_point(white, rotation, "log cosh")
    assert torch.allclose((again @ rotation.T).abs(), eye, atol=1e-6)
    m = torch.randn(3, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    values, vectors = torch.linalg.eigh(m @ m.T)
    root = (vectors * values.rsqrt()) @ vectors.T
    assert torch.allclose(orthogonalised(m), root @ m, atol=1e-10)


def test_directions_without_variance_are_left_as_they_are() -> None:
    covariance = torch.diag(torch.tensor([4.0, 0.0], dtype=DOUBLE))
    wanted = torch.diag(torch.tensor([0.5, 1.0], dtype=DOUBLE))
    assert torch.allclose(whitening(covariance), wanted, atol=1e-12)


@pytest.mark.parametrize("flat", [False, True])
def test_sources_are_laws_of_variance_one(flat: bool) -> None:
    base = Sources(torch.zeros(1, dtype=DOUBLE), torch.tensor([flat]))

    def density(z: float) -> float:
        return float(base.log_prob(torch.tensor([z], dtype=DOUBLE)).exp())

    assert integrate.quad(density, -20, 20)[0] == pytest.approx(1.0, abs=1e-8)
    assert integrate.quad(lambda z: z * z * density(z), -20, 20)[0] == pytest.approx(1.0, abs=1e-6)
    for p in (0.01, 0.3, 0.5, 0.9):
        z = float(base.icdf(torch.tensor([p], dtype=DOUBLE)))
        assert integrate.quad(density, -20, z)[0] == pytest.approx(p, abs=1e-7)
    draws = base.draw(torch.Generator().manual_seed(1), (3000,))[:, 0]
    if not flat:
        law = stats.logistic(scale=math.sqrt(3.0) / math.pi)
        assert stats.kstest(draws.numpy(), law.cdf).pvalue > 0.01
    assert float(draws.var()) == pytest.approx(1.0, abs=0.1)
