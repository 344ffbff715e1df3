"""PixelVAE: exact conditionals given z, draws with and without the cache, what depends on what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.estimators.latent_space import mean_of
from engine.models.latent.pixel_vae import PixelVAE
from engine.nets.outputs import icdf
from engine.registry import build_model
from engine.training import fit
from tests.engine.latent_toys import generator
from tests.engine.test_latent_models import built, every_picture
from tests.engine.test_laws import Blots

SHAPES = [(1, 4, 5), (3, 3, 3), (4,)]


def model_of(shape: tuple[int, ...], levels: int | None, **config: Any) -> PixelVAE:
    size = (40, *shape)
    data = torch.randn(size, generator=generator())
    if levels is not None:
        data = torch.randint(levels, size, generator=generator()).float()
    settings = {"levels": levels, "latent_features": 2, **config}
    model = built("pixel_vae", shape, data, **settings)
    assert isinstance(model, PixelVAE)
    return model


def latents(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, 2, generator=generator(seed)).double()


@pytest.mark.parametrize("shape", [(1, 2, 2), (4,), (2, 1, 2)])
@pytest.mark.parametrize("levels", [2, 3])
@torch.no_grad()
def test_probabilities_given_z_sum_to_one(shape: tuple[int, ...], levels: int) -> None:
    model, every = model_of(shape, levels), every_picture(levels, shape)
    decoded = model.decode({"z": latents(3)})
    log_p = decoded.log_prob(every[:, None])
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(3).double())
    assert float((log_p[:, 0] - log_p[:, 1]).abs().max()) > 1e-2, "z says nothing"


@torch.no_grad()
def test_draws_have_these_probabilities() -> None:
    model, every = model_of((1, 2, 2), 2), every_picture(2, (1, 2, 2))
    z = latents(1)
    probs = model.decode({"z": z}).log_prob(every).exp()
    n = 20_000
    drawn = model.given(z[0]).draw(generator(2), (n,)).flatten(1)
    counts = (
        (drawn * torch.tensor([8.0, 4.0, 2.0, 1.0]).double()).sum(1).long().bincount(minlength=16)
    )
    error = (probs * (1.0 - probs) / n).sqrt()
    assert bool(((counts / n - probs).abs() <= 5.0 * error + 1e-9).all())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [2, 5, None])
@torch.no_grad()
def test_drawing_with_a_cache_is_drawing_anew(shape: tuple[int, ...], levels: int | None) -> None:
    model, z = model_of(shape, levels, n_layers=2, first_kernel=5), latents(3)
    events = model.given(z)
    network, reading = events._conditionals, events._reading
    size = model.event_size
    noise = torch.rand(3, size, generator=generator(4), dtype=torch.float64)
    x = torch.zeros(3, size, dtype=torch.float64)
    code = network.code(z)
    for index in network.order.tolist():
        out = network.params(reading.inputs(x), code)[:, :, index : index + 1]
        value = icdf(reading.at(index).distribution(out), noise[:, index : index + 1])
        x[:, index] = value[:, 0]
    torch.testing.assert_close(events._paint(z, noise).flatten(1), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_value_sees_earlier_ones_and_z_alone(shape: tuple[int, ...]) -> None:
    model = model_of(shape, None)
    events = model.given(latents(1))
    network = events._conditionals
    u = torch.randn(1, model.event_size, generator=generator(6)).double()

    def centres(values: Tensor, z: Tensor) -> Tensor:
        return network.params(values, network.code(z))[0, 0]

    by_values, by_z = torch.autograd.functional.jacobian(centres, (u, latents(1)))
    order = network.order
    seen = by_values[:, 0][order][:, order]
    assert torch.equal(seen, seen.tril(-1))
    assert bool((by_z.abs().sum((1, 2)) > 0).all())


@pytest.mark.parametrize("levels", [2, None])
@torch.no_grad()
def test_training_and_decoding_agree(levels: int | None) -> None:
    model = model_of((1, 3, 4), levels)
    g = generator(3)
    x = torch.randn(6, 1, 3, 4, generator=g).double()
    if levels is not None:
        x = (x > 0).double()
    z = torch.randn(5, 6, 2, generator=g).double()
    given = model.log_prob_given(model.values(x), {"z": z})
    torch.testing.assert_close(model.decode({"z": z}).log_prob(x), given)
    alone = torch.stack([model.decode({"z": z[k, 2]}).log_prob(x[2]) for k in range(5)])
    torch.testing.assert_close(alone, given[:, 2])


@pytest.mark.parametrize("levels", [2, None])
@torch.no_grad()
def test_common_draws_differ_by_z_alone(levels: int | None) -> None:
    model = model_of((1, 4, 4), levels)
    z = latents(5)
    drawn = mean_of(model.decode({"z": z}))
    torch.testing.assert_close(mean_of(model.decode({"z": z[3:4]})), drawn[3:4])
    same = mean_of(model.decode({"z": z[:1].expand(4, -1)}))
    torch.testing.assert_close(same, drawn[:1].expand(4, -1, -1, -1))
    if levels is not None:
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_a_decoder_that_sees_nothing_is_that_of_a_vae() -> None:
    """With kernels of one pixel no value depends on another."""
    model = model_of((1, 3, 3), 2, first_kernel=1, n_layers=0)
    network = model.given(latents(1))._conditionals
    u = torch.zeros(1, 9).double()
    code = network.code(latents(1))
    jacobian = torch.autograd.functional.jacobian(lambda v: network.params(v, code), u)
    assert float(jacobian.abs().max()) == 0.0


def test_parameters_without_values_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted the earlier values"):
        model_of((4,), 2).params({"z": latents(1)})


def test_it_learns_pictures() -> None:
    data = Blots()
    model = build_model(
        "pixel_vae", event_shape=data.event_shape, dataset=data, hidden_features=(16,)
    )
    losses = fit(model, data, steps=60, batch_size=64, device="cpu", record_every=1).losses["nll"]
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 1.0
    assert set(model.sample(20, generator=generator()).unique().tolist()) <= {0.0, 1.0}
