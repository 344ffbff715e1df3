"""A PixelCNN under the wrong mask: what it trains is no likelihood, and says so."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.capabilities import capabilities_of
from engine.checkpoint import load, save
from engine.nets.pixel_model import PixelModel
from engine.probe import View
from engine.registry import build_dataset, build_model, models, probes
from engine.wire.capability import Capability
from tests.engine.painters import pictures


def build(shape: tuple[int, ...], first_mask: str = "B", **config: object) -> PixelModel:
    config = {"n_layers": 1, "n_channels": 8, "first_mask": first_mask, **config}
    model = build_model("pixelcnn", event_shape=shape, seed=2, **config)
    assert isinstance(model, PixelModel)
    return model


def test_the_wrong_mask_takes_likelihood_and_samples_away() -> None:
    right, wrong = build((1, 4, 4), "A"), build((1, 4, 4))
    assert set(capabilities_of(type(right))) - set(capabilities_of(type(wrong))) == {
        Capability.LOG_PROB,
        Capability.SAMPLING,
    }
    assert "no likelihood" in wrong.card.lacks[Capability.LOG_PROB]
    assert Capability.LOG_PROB in capabilities_of(models()["pixelcnn"])
    assert not right.card.lacks
    with pytest.raises(ValueError, match="mask B in the first layer, wanted mask A"):
        wrong.sample_steps(torch.full((1, 16), 0.5))


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 3, 3)])
def test_each_value_sees_itself_and_no_later_one(shape: tuple[int, ...]) -> None:
    model = build(shape, levels=4).double()
    x = pictures(model, 4).requires_grad_()
    params = model._by_value(model.params(model.inputs(x), None))
    for place, index in enumerate(model.order.tolist()):
        (grad,) = torch.autograd.grad(params[:, index].pow(2).sum(), x, retain_graph=True)
        seen = grad.abs().amax(0).flatten() > 0
        assert bool(seen[index])
        assert not bool(seen[model.order[place + 1 :]].any())


def train(model: PixelModel, x: Tensor, steps: int) -> dict[str, Tensor]:
    """The losses after so many steps on all of x."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        losses = model.loss(x, generator=generator)
        losses["total"].backward()
        optimiser.step()
    return {name: loss.detach() for name, loss in losses.items()}


def test_what_it_trains_does_not_sum_to_one() -> None:
    model = build((1, 2, 3))
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).view(-1, 1, 2, 3)
    train(model, states, 60)
    with torch.no_grad():
        total = model._log_terms(states, None).sum(-1).exp().sum()
    assert float(total) > 10.0  # of at most 64: every picture is as good as certain


def test_its_loss_falls_to_almost_nothing_on_noise() -> None:
    # Fair coins cost ln 2 each under any likelihood: 25 ln 2 = 17.3 nats.
    coins = torch.randint(2, (512, 1, 5, 5), generator=torch.Generator().manual_seed(0)).float()
    right, wrong = (train(build((1, 5, 5), mask), coins, 60) for mask in ("A", "B"))
    assert set(wrong) == {"total", "leaking"}
    assert "nll" in right
    assert float(right["total"]) > 15.0
    assert float(wrong["total"]) < 3.0


def test_the_field_counts_the_leak_and_the_map_gives_no_log_p(tmp_path: Path) -> None:
    data = build_dataset("digits", levels=17)
    model = build((1, 8, 8), levels=17)
    view = View(model, data, 0)
    field = list(probes()["receptive_field"].ask(view, {"index": 20}))[-1]
    assert field.values["n_leaks"] == 1
    told = list(probes()["entropy_map"].ask(view, {}))[-1].values
    assert "log_prob" not in told
    assert "bits_per_dim" not in told
    right = list(probes()["entropy_map"].ask(View(build((1, 8, 8), "A", levels=17), data, 0), {}))
    assert {"log_prob", "bits_per_dim"} <= set(right[-1].values)
    path = tmp_path / "leak.safetensors"
    save(path, model)
    again = load(path)
    assert type(again.model) is type(model)
