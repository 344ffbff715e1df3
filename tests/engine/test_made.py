"""MADE against quadrature, torch's own mixtures, autograd and the rule of its masks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from engine.models.autoregressive.made import MADE, Mixture, mixture_log_prob, quantile
from engine.nets.masked import MaskedMLP, make_order
from engine.registry import build_dataset, build_model
from engine.training import fit

SHAPES = [(1,), (2,), (5,), (1, 8, 8)]


def build(shape: tuple[int, ...] = (2,), seed: int = 0, **config: object) -> MADE:
    """A rough model: its weights are enlarged, so that dependences are strong."""
    config = {"hidden_features": (32, 32), "n_components": 3, **config}
    model = build_model("made", event_shape=shape, seed=seed, **config)
    assert isinstance(model, MADE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    model.double()
    generator = torch.Generator().manual_seed(seed)
    data = 5.0 + 2.0 * torch.randn(50, *shape, generator=generator, dtype=torch.float64)
    model.prepare(data, generator=generator)
    return model


def some(shape: tuple[int, ...], n: int = 6, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 5.0 + 2.0 * torch.randn(n, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("order", ["natural", "reversed", "random"])
@pytest.mark.parametrize("hidden", [(7,), (40, 30), (3, 3, 3)])
def test_outputs_depend_on_exactly_the_earlier_inputs(order: str, hidden: tuple[int, ...]) -> None:
    torch.manual_seed(4)
    size, places = 5, make_order(order, 5)
    net = MaskedMLP(places, hidden, 2, activation="tanh").double()
    jacobian = torch.autograd.functional.jacobian(net, torch.randn(size, dtype=torch.float64))
    rank = torch.argsort(places)
    earlier = rank[None, :] < rank[:, None]  # (out, in)
    depends = jacobian.abs().amax(1) > 0
    assert not bool((depends & ~earlier).any())
    if min(hidden) >= size:
        assert torch.equal(depends, earlier)
    for i in range(size):
        x = torch.randn(4, size, dtype=torch.float64)
        assert torch.allclose(net.one(x, i), net(x)[:, i], atol=1e-12)


@pytest.mark.parametrize(("order", "first"), [("natural", 0), ("reversed", 1)])
def test_the_density_integrates_to_one(order: str, first: int) -> None:
    model = build(order=order)
    line = torch.linspace(-200.0, 200.0, 80_001, dtype=torch.float64)
    with torch.no_grad():
        marginal = model.conditionals(torch.zeros(1, 2, dtype=torch.float64))
        p_first = marginal.log_prob(line[:, None].expand(-1, 2))[:, first].exp()
        assert float(torch.trapezoid(p_first, line)) == pytest.approx(1.0, abs=1e-6)
        # Integrating the later coordinate out of the joint leaves the density of the first.
        for place in (38_000, 41_000, 43_000):
            x = torch.stack([line[place].expand_as(line), line], -1)
            joint = model.log_prob(x if first == 0 else x.flip(-1)).exp()
            mass = float(torch.trapezoid(joint, line))
            assert mass == pytest.approx(float(p_first[place]), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["natural", "random"])
def test_log_prob_is_the_sum_of_torchs_mixtures(shape: tuple[int, ...], order: str) -> None:
    model, x = build(shape, order=order), some(shape)
    parts = model.conditionals(x).log_prob(x.flatten(1))
    assert parts.shape == (6, model.event_size)
    assert torch.allclose(parts.sum(-1), model.log_prob(x), atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_come_from_the_steps(shape: tuple[int, ...]) -> None:
    model = build(shape, order="random")
    generator = torch.Generator().manual_seed(5)
    drawn = model.sample(4, generator=generator)
    assert drawn.shape == (4, *shape)
    again = torch.Generator().manual_seed(5)
    noise = torch.rand(4, model.event_size, generator=again, dtype=torch.float64)
    steps = list(model.sample_steps(noise))
    assert [step.index for step in steps] == model.order.tolist()
    assert torch.allclose(steps[-1].x, drawn, atol=1e-9)


def test_noise_becomes_the_mixture() -> None:
    logits = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64)
    means = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    widths = torch.tensor([0.5, 1.0, 0.2], dtype=torch.float64)
    one = Mixture(logits, means, widths.log())
    noise = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn = quantile(Mixture(*(part.expand(20_000, -1) for part in one)), noise)
    weights = torch.softmax(logits, 0).numpy()
    parts = list(zip(weights, means.tolist(), widths.tolist(), strict=True))

    def cdf(x: np.ndarray) -> np.ndarray:
        return sum(w * scipy.stats.norm(m, s).cdf(x) for w, m, s in parts)

    # The noise is an even lattice: the distance is far below that of random draws.
    assert scipy.stats.kstest(drawn.numpy(), cdf).statistic < 3e-4
    x = torch.linspace(-4.0, 5.0, 30, dtype=torch.float64)
    pdf = sum(w * scipy.stats.norm(m, s).pdf(x.numpy()) for w, m, s in parts)
    np.testing.assert_allclose(mixture_log_prob(one, x).exp().numpy(), pdf, rtol=1e-10)


def test_extreme_noise_stays_finite() -> None:
    model = build()
    for value in (0.0, 1.0 - 1e-16, 1.0):
        noise = torch.full((3, 2), value, dtype=torch.float64)
        assert bool(list(model.sample_steps(noise))[-1].x.isfinite().all())


def test_known_values_are_kept_and_seen() -> None:
    model, known = build((5,)), some((5,), 8)
    noise = torch.rand(8, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mask = torch.tensor([True, False, True, False, False])
    x = list(model.sample_steps(noise, known=known, mask=mask))[-1].x
    assert torch.allclose(x[:, mask], known[:, mask], atol=1e-12)
    other = known.clone()
    other[:, 0] += 3.0
    moved = list(model.sample_steps(noise, known=other, mask=mask))[-1].x
    assert bool((moved[:, 1] != x[:, 1]).any())


def test_temperature_scales_the_widths() -> None:
    model = build((2,))
    noise = torch.rand(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plain = next(iter(model.sample_steps(noise))).conditional
    cold = next(iter(model.sample_steps(noise, temperature=0.25))).conditional
    wide = plain.component_distribution.scale
    assert torch.allclose(cold.component_distribution.scale, 0.25 * wide)
    assert torch.allclose(cold.mixture_distribution.probs, plain.mixture_distribution.probs)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"top_p": 0.9}, "top_p: given 0.9, wanted 1"),
        ({"temperature": 0.0}, "temperature: given 0, wanted a number above 0"),
        ({"known": torch.zeros(2, 2)}, "known without mask"),
        ({"mask": torch.zeros(2, 2)}, "mask without known"),
    ],
)
def test_what_cannot_be_is_refused_at_once(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build().sample_steps(torch.full((2, 2), 0.5, dtype=torch.float64), **settings)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"given shape \(2, 3\), wanted \(N, 2\)"):
        build().sample_steps(torch.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="given none"):
        MaskedMLP(torch.arange(3), (), 2)
    with pytest.raises(ValueError, match="given 'spiral'"):
        make_order("spiral", 3)


def test_a_random_order_is_seeded_and_saved() -> None:
    first, second = build((1, 8, 8), 1, order="random"), build((1, 8, 8), 2, order="random")
    assert not torch.equal(first.order, second.order)
    assert torch.equal(first.order, build((1, 8, 8), 1, order="random").order)
    second.load_state_dict(first.state_dict())
    x = some((1, 8, 8))
    assert torch.equal(first.order, second.order)
    assert torch.equal(first.log_prob(x), second.log_prob(x))


@pytest.mark.slow
def test_it_learns_eight_gaussians() -> None:
    data = build_dataset("eight_gaussians", n_samples=2000, fresh=True)
    model = build_model("made", event_shape=(2,), seed=0)
    fit(model, data, steps=1500, schedule="cosine", seed=0, device="cpu")
    x = data.sample(10_000, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        kl = float((data.log_prob(x.double()) - model.log_prob(x)).mean())
    assert kl < 0.05
