"""Hierarchies: the joint by quadrature, the KL of each level, the ladder's merge, depths."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from engine.nets.batch_norm import BatchNorm, normalise_layers
from engine.nets.coders import make_decoder, make_encoder
from engine.nets.diagonal import DiagonalPosterior
from engine.nets.gaussian_product import merged
from engine.nets.hierarchy import HierarchyModel
from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit
from tests.engine.toys import Table

HIERARCHIES = [("hvae", {"inference": "bottom_up"}), ("hvae", {"inference": "top_down"}),
               ("ladder_vae", {})]  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(name: str, shape: tuple[int, ...] = (2,), **config: Any) -> Any:
    """Untrained, in float64 and eval mode, on data of odd units."""
    small = {"hidden_features": (12,), **config}
    if name != "vlae":
        small = {"level_features": (8,), **small}
    model = build_model(name, event_shape=shape, **small)
    model.prepare(
        3.0 + 2.0 * torch.randn(200, *shape, generator=generator(7)), generator=generator()
    )
    return model.double().eval()


def points(model: Any, n: int = 6, seed: int = 1) -> Tensor:
    noise = torch.randn(n, model.event_size, generator=generator(seed), dtype=torch.float64)
    return model.unstandardise(noise)


def log_joint(model: Any, x: Tensor, latents: dict[str, Tensor]) -> Tensor:
    """log p(x given z) Σ log p(z_l given those above), by the public distributions."""
    total, known = model.decode(latents).log_prob(x), dict[str, Tensor]()
    for latent in model.latents:
        total = total + model.prior(known).log_prob(latents[latent.name])
        known[latent.name] = latents[latent.name]
    return total


# --- the joint ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "config"), [*HIERARCHIES, ("vlae", {"hidden_features": (6, 5)})])
def test_weights_and_terms_are_those_of_the_distributions(
    name: str, config: dict[str, Any]
) -> None:
    """Log-weights by decode and prior alone; the KLs of all levels sum to the total."""
    model = build(name, **config)
    x = points(model)
    elbo = model.elbo(x, n_draws=3, generator=generator(2))
    latents, log_q = model.encode(x).sample(3, generator(2))
    torch.testing.assert_close(elbo.log_weights, log_joint(model, x, latents) - log_q)
    assert list(elbo.kl_terms) == [latent.name for latent in model.latents]
    summed = torch.stack(list(elbo.kl_terms.values())).sum(0)
    torch.testing.assert_close(elbo.total, elbo.reconstruction - summed)
    losses = model.loss(x, generator=generator(3))
    each = [losses[f"kl_{latent.name}"] for latent in model.latents]
    torch.testing.assert_close(torch.stack(each).sum(), losses["kl"])
    one = model.elbo(x, generator=generator(3))
    torch.testing.assert_close(losses["nll"], -one.total.mean())


@pytest.mark.parametrize(("name", "config"), HIERARCHIES)
def test_the_bound_lies_below_the_integral_over_two_levels(
    name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """log ∫∫ p(x given z_1) p(z_1 given z_2) p(z_2) on a grid; many draws come close to it."""
    # An untrained posterior is too narrow to cover the prior.
    monkeypatch.setattr("engine.nets.diagonal.LOG_SCALE_START", 0.7)
    model = build(name, n_layers=2, latent_features=1, decoder_scale="per_dimension", **config)
    with torch.no_grad():
        model.log_scale.fill_(0.0)
        for layer in model.down.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(1.5)
        x = points(model, 4)
        axis = torch.linspace(-9.0, 9.0, 400, dtype=torch.float64)[:, None]
        above = axis.repeat_interleave(400, 0)
        below = axis.repeat(400, 1)
        grid = log_joint(model, x[:, None], {"z_2": above, "z_1": below})
        truth = torch.logsumexp(grid, 1) + 2.0 * math.log(18.0 / 399)
        weights = model.elbo(x, n_draws=30_000, generator=generator(4)).log_weights
    assert bool((weights.mean(0) < truth).all())
    bound = torch.logsumexp(weights, 0) - math.log(len(weights))
    error = weights.softmax(0).square().sum(0).sqrt()
    assert bool(((bound - truth).abs() < 6.0 * error + 1e-3).all())
    assert float(error.max()) < 0.05


@pytest.mark.parametrize("inference", ["bottom_up", "top_down"])
def test_draws_climb_in_the_order_of_inference(inference: str) -> None:
    """A level moves with the one that it is drawn given, and with no other."""
    model = build("hvae", n_layers=3, inference=inference)
    x = points(model, 1)
    levels = model.climb(model.inputs(model.values(x)), 2, generator())
    means = {name: level.q.mean for name, level in levels.items()}
    first, others = (
        ("z_1", ("z_2", "z_3")) if inference == "bottom_up" else ("z_3", ("z_2", "z_1"))
    )
    assert means[first].dim() == 2  # of the data alone, the same for all draws
    for name in others:
        assert float((means[name][0] - means[name][1]).abs().detach().min()) > 0.0
    assert model.kl_is_shared == (inference == "bottom_up")


@pytest.mark.parametrize(("name", "config"), HIERARCHIES)
def test_closed_forms_agree_with_draws(name: str, config: dict[str, Any]) -> None:
    """Each level's KL is the mean of log q − log p of its draws."""
    model = build(name, n_layers=3, **config)
    x = points(model, 2)
    with torch.no_grad():
        drawn = model.infer(model.inputs(model.values(x)), 20_000, generator(5))
        for name_, level in drawn.posterior.items():
            p = DiagonalPosterior(torch.zeros(2).double(), torch.zeros(2).double())
            p = p if level.p is None else level.p
            ratio = level.log_q - p.distribution.log_prob(level.value)
            error = ratio.std(0) / len(ratio) ** 0.5
            assert bool(((ratio.mean(0) - level.kl).abs() <= 5.0 * error + 1e-9).all()), name_


def test_each_level_reaches_the_data_through_those_below() -> None:
    model = build("hvae", n_layers=3)
    z = {name: torch.randn(4, 2, generator=generator(), dtype=torch.float64) for name in
         ("z_3", "z_2", "z_1")}  # fmt: skip
    moved = model.decode({**z, "z_3": z["z_3"] + 1.0, "z_2": z["z_2"] + 1.0}).mean
    torch.testing.assert_close(moved, model.decode(z).mean)
    assert float((model.prior({"z_3": z["z_3"] + 1.0}).mean - model.prior({"z_3": z["z_3"]}).mean)
                 .detach().abs().min()) > 0.0  # fmt: skip
    given = {"z_3": z["z_3"], "z_2": z["z_2"]}
    moved = model.prior({**given, "z_3": z["z_3"] + 1.0}).mean
    torch.testing.assert_close(moved, model.prior(given).mean)
    with pytest.raises(ValueError, match=r"given z_2, wanted those above one of z_3, z_2, z_1"):
        model.prior({"z_2": z["z_2"]})
    with pytest.raises(ValueError, match="wanted those above"):
        model.prior(z)


def test_levels_taper_and_one_level_is_a_vae() -> None:
    model = build("hvae", (1, 3, 3), latent_features=8, taper=0.5, n_layers=5)
    assert model.level_sizes == (8, 4, 2, 1, 1)
    alone = build("hvae", n_layers=1)
    x = points(alone)
    elbo = alone.elbo(x, generator=generator())
    assert list(elbo.kl_terms) == ["z_1"]
    assert bool((elbo.kl_terms["z_1"] > 0.0).all())
    assert not alone.kl_is_shared


@pytest.mark.parametrize("name", ["hvae", "ladder_vae"])
def test_warm_up_changes_the_loss_and_not_the_bound(name: str) -> None:
    model = build(name, warm_up_steps=10)
    x = points(model)
    bounds = []
    for step, beta in ((0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0)):
        model.steps_taken = step
        losses = model.loss(x, generator=generator())
        wanted = losses["reconstruction"] + beta * losses["kl"]
        torch.testing.assert_close(losses["total"], wanted)
        torch.testing.assert_close(losses["nll"], losses["reconstruction"] + losses["kl"])
        bounds.append(model.elbo(x, generator=generator()).total)
    assert all(torch.equal(bound, bounds[0]) for bound in bounds)


# --- the ladder ---------------------------------------------------------------------------------


def test_the_merge_is_the_normalised_product_of_two_gaussians() -> None:
    """By quadrature of N(z; q) N(z; p): mean and variance of what is left, per coordinate."""

    def random(seed: int) -> Tensor:
        return torch.randn(5, generator=generator(seed), dtype=torch.float64)

    q = DiagonalPosterior(random(0), 0.5 * random(1), "z")
    p = DiagonalPosterior(random(2), 0.5 * random(3), "z")
    found = merged(q, p)
    z = torch.linspace(-25.0, 25.0, 20_001, dtype=torch.float64)[:, None]
    product = (Normal(q.mean, q.scale).log_prob(z) + Normal(p.mean, p.scale).log_prob(z)).exp()
    product = product / product.sum(0)
    mean = (product * z).sum(0)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.scale.square(), (product * (z - mean).square()).sum(0))
    precision = q.scale**-2 + p.scale**-2
    torch.testing.assert_close(found.scale**-2, precision)
    torch.testing.assert_close(
        found.mean, (q.mean * q.scale**-2 + p.mean * p.scale**-2) / precision
    )


def test_a_merge_of_extremes_stays_finite() -> None:
    sure = DiagonalPosterior(torch.tensor([5.0]), torch.tensor([-60.0]))
    unsure = DiagonalPosterior(torch.tensor([-5.0]), torch.tensor([60.0]))
    for found in (merged(sure, unsure), merged(unsure, sure)):
        torch.testing.assert_close(found.mean, sure.mean)
        torch.testing.assert_close(found.log_scale, sure.log_scale)


def test_the_ladder_draws_from_the_merge() -> None:
    """Each level below the top: the opinion of x times the prior given the draw above."""
    model = build("ladder_vae", n_layers=3)
    x = points(model, 4)
    inputs = model.inputs(model.values(x))
    levels = model.climb(inputs, 2, generator())
    features = model.encoder(inputs)
    for level in range(3):
        out = model.opinions[level](features)
        mean, log_scale = out.chunk(2, -1)
        scale = (log_scale + math.log(0.1)).exp()
        found = levels[f"z_{level + 1}"].q
        if level < 2:
            features = model.up[level](features)
            above = {f"z_{n}": levels[f"z_{n}"].value for n in range(level + 2, 4)}
            p = model.prior(above)
            precision = scale**-2 + p.stddev**-2
            mean = (mean * scale**-2 + p.mean * p.stddev**-2) / precision
            scale = precision**-0.5
        torch.testing.assert_close(found.mean, mean)
        torch.testing.assert_close(found.scale, scale)


# --- batch normalisation ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(50, 3), (5, 10, 3)])
def test_batch_norm_is_that_of_torch(shape: tuple[int, ...]) -> None:
    ours, theirs = BatchNorm(3), torch.nn.BatchNorm1d(3)
    h = torch.randn(shape, generator=generator()) * 3.0 + 1.0
    for _ in range(3):
        torch.testing.assert_close(ours(h), theirs(h.reshape(-1, 3)).reshape(shape))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(h), theirs(h.reshape(-1, 3)).reshape(shape))


def test_averages_move_only_where_a_gradient_is_taken() -> None:
    norm = BatchNorm(2)
    before = norm.running_mean.clone()
    with torch.no_grad():
        norm(torch.ones(8, 2))
    norm(torch.ones(1, 2))
    norm.eval()(torch.ones(8, 2))
    assert torch.equal(norm.running_mean, before)
    norm.train()(torch.ones(8, 2))
    assert not torch.equal(norm.running_mean, before)


@pytest.mark.parametrize(("network", "shape"), [("dense", (3,)), ("convolutional", (1, 8, 8))])
def test_every_nonlinearity_is_normalised(network: str, shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    encoder = make_encoder(network, shape, (4, 5), 6, activation="relu")
    decoder = make_decoder(network, shape, (4, 5), 6, 1, activation="relu")
    for net, n_in in ((encoder, size), (decoder, 6)):
        net = normalise_layers(net)
        found = [layer for layer in net.modules() if isinstance(layer, BatchNorm)]
        assert len(found) == sum(isinstance(m, torch.nn.ReLU) for m in net.modules()) == 2
        net(torch.randn(7, n_in, generator=generator())).sum().backward()
        assert all(float(norm.running_mean.abs().max()) > 0.0 for norm in found)


def test_a_keyframe_carries_the_averages() -> None:
    """Going on from a keyframe gives the same weights and averages bit for bit."""
    data = Table(torch.randn(200, 2, generator=generator()))

    def trainer() -> Trainer:
        model = build_model("ladder_vae", event_shape=(2,), hidden_features=(8,), n_layers=2)
        return Trainer(model, data, seed=0, batch_size=16, device="cpu")

    first, second = trainer(), trainer()
    for _ in range(3):
        first.step()
    keyframe = first.capture()
    assert any(name.endswith("running_mean") for name in keyframe.tensors)
    second.restore(keyframe)
    first.step(), second.step()
    states = zip(first.model.state_dict().items(), second.model.state_dict().values(), strict=True)
    assert all(torch.equal(mine, other) for (_, mine), other in states)


@pytest.mark.parametrize(("name", "config"), HIERARCHIES)
def test_the_kl_of_units_adds_up_to_that_of_their_level(name: str, config: dict[str, Any]) -> None:
    model = build(name, n_layers=3, **config)
    x = points(model)
    levels = model.climb(model.inputs(model.values(x)), 5, generator())
    for level in levels.values():
        torch.testing.assert_close(level.unit_kl.sum(-1), level.kl)
        if level.p is not None and level.is_given_above:
            mine, prior = (Normal(d.mean, d.scale) for d in (level.q, level.p))
            torch.testing.assert_close(level.unit_kl, kl_divergence(mine, prior).mean(0))
    told = model.encode(x).unit_kl
    drawn = model.kl_terms(model.infer(model.inputs(model.values(x)), 16, generator()))
    for latent in model.latents:
        assert told[latent.name].shape == (6, *latent.shape)
        torch.testing.assert_close(told[latent.name].sum(-1), drawn[latent.name])


@pytest.mark.parametrize(
    ("name", "config", "first"),
    [
        ("hvae", {"inference": "bottom_up"}, "z_1"),
        ("hvae", {"inference": "top_down"}, "z_3"),
        ("ladder_vae", {}, "z_3"),
    ],
)
def test_the_level_that_is_drawn_first_has_a_q_of_its_own(
    name: str, config: dict[str, Any], first: str
) -> None:
    model = build(name, n_layers=3, **config)
    x = points(model)
    posterior = model.encode(x)
    drawn = posterior.sample(4000, generator())[0][first]
    own = posterior.part(first)
    error = own.scale / 4000**0.5
    assert bool(((drawn.mean(0) - own.mean).abs() < 6.0 * error).all())
    torch.testing.assert_close(drawn.std(0), own.scale, rtol=0.1, atol=0.0)
    others = [latent.name for latent in model.latents if latent.name != first]
    assert [posterior.part(other) for other in [*others, "z_9"]] == [None] * 3


# --- VLAE ---------------------------------------------------------------------------------------


def test_the_flat_prior_knows_no_parents() -> None:
    model = build("vlae", hidden_features=(6, 5, 4))
    assert [latent.name for latent in model.latents] == ["z_3", "z_2", "z_1"]
    zeros = torch.zeros(2).double()
    known: dict[str, Tensor] = {}
    for latent in model.latents:
        for size in (0.0, 50.0):
            prior = model.prior({name: value * size for name, value in known.items()})
            assert isinstance(prior, Independent)
            torch.testing.assert_close(prior.mean, zeros)
            torch.testing.assert_close(prior.stddev, zeros + 1.0)
            assert prior.batch_shape == ()
        known[latent.name] = torch.ones(3, 2).double()
    with pytest.raises(ValueError, match="wanted one left out"):
        model.prior(known)


def test_levels_of_the_posterior_do_not_move_each_other() -> None:
    """L11: no ladder: the joint log q is the sum of three that know only x."""
    model = build("vlae", hidden_features=(6, 5, 4))
    x = points(model, 3)
    posterior = model.encode(x)
    latents, log_q = posterior.sample(4, generator())
    each = {level.name: level.distribution.log_prob(latents[level.name]) for level in
            posterior.levels}  # fmt: skip
    torch.testing.assert_close(log_q, torch.stack(list(each.values())).sum(0))
    assert all(level.mean.shape == (3, 2) for level in posterior.levels)
    for level in posterior.levels:
        wanted = kl_divergence(Normal(level.mean, level.scale), Normal(0.0, 1.0))
        torch.testing.assert_close(posterior.unit_kl[level.name], wanted)
    assert posterior.part("z_4") is None


@pytest.mark.parametrize(
    ("network", "shape"),
    [("dense", (2,)), ("convolutional", (1, 8, 8)), ("convolutional", (1, 5, 3))],
)
def test_each_level_enters_at_its_own_depth(network: str, shape: tuple[int, ...]) -> None:
    """Counting the hidden layers that a level moves: z_l moves those at and after its entry."""
    model = build("vlae", shape, network=network, hidden_features=(6, 5, 4))
    x = points(model, 2)
    depths = dict[str, int]()
    z = model.encode(x).sample(1, generator())[0]
    for name in model.names:
        outs: list[list[Tensor]] = []
        for latents in (z, {**z, name: z[name] + 1.0}):
            seen: list[Tensor] = []
            hooks = [layer.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
                     for layer in model.decoder.layers]  # fmt: skip
            model.decode(latents)
            for hook in hooks:
                hook.remove()
            outs.append(seen)
        moved = [bool((a != b).any()) for a, b in zip(*outs, strict=True)]
        depths[name] = sum(moved)
    assert depths == {"z_1": 1, "z_2": 2, "z_3": 2}
    # Two joins: z_2 is joined to z_3 at the first, z_1 at the last.
    join = model.decoder.layers[1]
    assert (getattr(join, "in_features", None) or join.in_channels) == 4 + 5
    used = []
    for out in model.encoder(model.inputs(model.values(x))).chunk(3, -1):
        weights = [layer.weight for layer in model.encoder.layers]
        found = torch.autograd.grad(out.sum(), weights, retain_graph=True)
        used.append(sum(bool((gradient != 0.0).any()) for gradient in found))
    assert used == [1, 2, 3]


def test_without_hidden_layers_it_has_no_levels() -> None:
    with pytest.raises(ValueError, match="hidden_features: given none"):
        build_model("vlae", event_shape=(2,), hidden_features=())


# --- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "config"), [*HIERARCHIES, ("vlae", {})])
def test_training_raises_the_bound(name: str, config: dict[str, Any]) -> None:
    data = build_dataset("digits", levels=2)
    small = {"hidden_features": (32, 32), "learning_rate": 5e-3, **config}
    model = build_model(name, event_shape=data.event_shape, dataset=data, seed=0, **small)
    if isinstance(model, HierarchyModel):
        model.set_live({"warm_up_steps": 20})
    x = data.test.float()
    before = float(model.eval().elbo(x, generator=generator()).total.mean().detach())
    fit(model, data, steps=120, batch_size=64, seed=0, device="cpu")
    after = float(model.elbo(x, generator=generator()).total.mean().detach())
    assert after > before + 10.0
    assert -after < 30.0
