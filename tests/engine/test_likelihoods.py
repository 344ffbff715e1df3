"""Likelihoods and networks of latent-variable models, and the binned draws they rest on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from engine.drawing import draw
from engine.nets.coders import (
    ConvDecoder,
    ConvEncoder,
    halvings,
    make_decoder,
    make_encoder,
    start_weights,
)
from engine.nets.diagonal import normal_kl
from engine.nets.likelihoods import LogisticLikelihood, make_likelihood
from engine.nets.outputs import BinnedMixture, level_probs

LEVELS = [None, 2, 5, 256]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def values_of(levels: int | None, *shape: int) -> Tensor:
    if levels is None:
        return normal(*shape, seed=5)
    return torch.randint(levels, shape, generator=generator(5)).double()


@pytest.mark.parametrize("levels", LEVELS)
def test_log_prob_is_that_of_the_distribution(levels: int | None) -> None:
    """Of three draws of the latents, four events of six values, whose units are odd."""
    likelihood = make_likelihood(levels)
    params = tuple(normal(3, 4, 6, seed=s) for s in range(likelihood.n_params))
    location, scale = normal(6, seed=8), normal(6, seed=9).exp()
    values = values_of(levels, 4, 6)
    x = values if levels is not None else values * scale + location
    wanted = likelihood.distribution(params, location, scale).log_prob(x).sum(-1)
    log_det = 0.0 if levels is not None else -scale.log().sum()
    torch.testing.assert_close(likelihood.log_prob(params, values) + log_det, wanted)


def test_a_bernoulli_keeps_its_digits_where_probabilities_round_to_one() -> None:
    likelihood = make_likelihood(2)
    logits = torch.tensor([[80.0, -80.0, 80.0]])
    x = torch.tensor([[0.0, 0.0, 1.0]])
    torch.testing.assert_close(likelihood.log_prob((logits,), x), torch.tensor([-80.0]))


@pytest.mark.parametrize("levels", [3, 17, 256])
@pytest.mark.parametrize("centre", [-3.0, 0.1, 1.0])
@pytest.mark.parametrize("log_width", [-7.0, -2.0, 2.0])
def test_a_discretised_logistic_sums_to_one(levels: int, centre: float, log_width: float) -> None:
    params = tuple(torch.tensor([n], dtype=torch.float64) for n in (centre, log_width))
    unit = torch.ones(1).double()
    d = LogisticLikelihood(levels).distribution(params, unit, unit)
    probs = level_probs(d)
    torch.testing.assert_close(probs.sum(-1), unit, rtol=0.0, atol=1e-12)
    every = torch.arange(levels).double()
    edges = torch.arange(1, levels).double() - 0.5
    at = (centre + 1.0) * (levels - 1) / 2.0
    width = math.exp(log_width) * (levels - 1) / 2.0
    below = torch.sigmoid((edges - at) / width)
    ends = torch.tensor([0.0, 1.0]).double()
    wanted = torch.cat([ends[:1], below, ends[1:]]).diff()
    torch.testing.assert_close(probs[0], wanted, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(d.mean[0], (every * probs[0]).sum())
    variance = (every.square() * probs[0]).sum() - d.mean[0].square()
    torch.testing.assert_close(d.variance[0], variance, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("curves", ["logistic", "normal"])
def test_draws_of_binned_curves_have_their_probabilities(curves: str) -> None:
    logits = torch.tensor([0.3, -0.4]).double()
    means, widths = torch.tensor([-0.5, 4.2]).double(), torch.tensor([1.5, 0.4]).double()
    d = BinnedMixture(logits, means, widths, 6, normal=curves == "normal")
    n = 40_000
    shares = draw(d, generator(), (n,)).long().bincount(minlength=6) / n
    probs = level_probs(d)
    error = (probs * (1.0 - probs) / n).sqrt()
    assert bool(((shares - probs).abs() <= 5.0 * error + 1e-9).all())


def test_two_levels_are_the_least() -> None:
    with pytest.raises(ValueError, match="levels: given 1, wanted 2 or more"):
        make_likelihood(1)


def test_the_kl_of_two_gaussians_is_that_of_torch() -> None:
    q = (normal(5, 3), normal(5, 3, seed=1))
    p = (normal(5, 3, seed=2), normal(5, 3, seed=3))
    first, second = (Independent(Normal(m, s.exp()), 1) for m, s in (q, p))
    torch.testing.assert_close(normal_kl(*q, *p).sum(-1), kl_divergence(first, second))


# --- networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["dense", "convolutional"])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 13), (1, 4, 3), (1, 1, 1)]
)
def test_any_picture_goes_in_and_comes_out(network: str, shape: tuple[int, int, int]) -> None:
    hidden, size = (6, 5, 4, 3), shape[0] * shape[1] * shape[2]
    encoder = make_encoder(network, shape, hidden, 7, activation="relu")
    decoder = make_decoder(network, shape, hidden, 3, 2, activation="relu")
    code = encoder(torch.rand(2, size, generator=generator()))
    assert code.shape == (2, 7)
    z = torch.randn(4, 2, 3, generator=generator())
    together = decoder(z)
    assert together.shape == (4, 2, 2 * size)
    torch.testing.assert_close(decoder(z[2, 1]), together[2, 1])


def test_convolutions_see_every_pixel_and_reach_every_one() -> None:
    """Odd sides are rounded down on the way in, but no row or column is lost."""
    encoder = ConvEncoder((1, 15, 11), (4, 4), 3, activation="tanh")
    x = torch.rand(1, 165, generator=generator(), requires_grad=True)
    encoder(x).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0.0).all())
    decoder = ConvDecoder((1, 15, 11), (4, 4), 3, 1, activation="tanh")
    z = torch.randn(2, 3, generator=generator())
    first, second = decoder(z)
    assert bool((first != second).all())


def test_sides_are_halved_down_to_a_few_pixels() -> None:
    assert halvings((28, 28), 5) == [(28, 28), (14, 14), (7, 7), (3, 3), (3, 3), (3, 3)]
    assert halvings((8, 20), 3) == [(8, 20), (4, 10), (2, 5), (2, 5)]


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_no_signal_fades_with_depth(network: str) -> None:
    """Six layers lose less than a factor of ten, most of it to padding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = make_decoder(network, (1, 16, 16), (64,) * 6, 8, 1, activation="relu")
        start_weights(decoder)
    sizes: list[float] = []
    for module in decoder.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.ConvTranspose2d)):
            module.register_forward_hook(
                lambda _, __, out: sizes.append(float(out.detach().std()))
            )
    decoder(torch.randn(50, 8, generator=generator()))
    assert len(sizes) == 7
    assert max(sizes[:-1]) / min(sizes[:-1]) < 10.0


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"convolutional for events of shape \(2,\), wanted dense"
    ):
        make_encoder("convolutional", (2,), (8,), 4, activation="relu")
    with pytest.raises(ValueError, match="given 'deep', wanted one of dense, convolutional"):
        make_decoder("deep", (1, 8, 8), (8,), 4, 1, activation="relu")
