"""Our affine flows against zuko's with the same weights, and their sizes against every peer's."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.bijections.affine import LOG_SCALE_BOUND
from engine.bijections.affine_flow import AffineFlow
from engine.bijections.continuous_flow import ContinuousFlow
from engine.registry import build_model

zuko = pytest.importorskip("zuko")

HIDDEN = (12, 11)


def zuko_flow(kind: str, size: int) -> Any:
    """A zuko flow with our bound on the log-scale."""
    torch.manual_seed(5)
    affine = partial(zuko.transforms.MonotonicAffineTransform, slope=math.exp(-LOG_SCALE_BOUND))
    make = {"realnvp": zuko.flows.RealNVP, "maf": zuko.flows.MAF}[kind]
    flow = make(size, transforms=4, hidden_features=HIDDEN, univariate=affine)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1.5)
    return flow.double()


def in_our_form(weight: Tensor, bias: Tensor, *, last: bool) -> Tensor:
    """(out, in), (out,) → (in + 1, out); zuko's last layer alternates shifts and log-scales."""
    matrix = torch.cat([weight.t(), bias[None]])
    return torch.cat([matrix[:, 1::2], matrix[:, 0::2]], 1) if last else matrix


def copy_weights(flow: Any, model: AffineFlow) -> None:
    """θ and the masks from zuko's layers."""
    values, masks = [], []
    for transform in flow.transform.transforms:
        layers = [layer for layer in transform.hyper if hasattr(layer, "weight")]
        for layer in layers:
            last = layer is layers[-1]
            values.append(in_our_form(layer.weight, layer.bias, last=last).flatten())
            if len(model.mask):
                mask = layer.mask.to(torch.float64)
                masks.append(in_our_form(mask, torch.ones(len(mask)), last=last).flatten())
    with torch.no_grad():
        model.theta.copy_(torch.cat(values))
        if masks:
            model.mask.copy_(torch.cat(masks))


@pytest.mark.parametrize("kind", ["realnvp", "maf"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_same_weights_give_the_density_of_zuko(kind: str, size: int) -> None:
    flow = zuko_flow(kind, size)
    model = build_model(kind, event_shape=(size,), n_layers=4, hidden_features=HIDDEN)
    assert isinstance(model, AffineFlow)
    model.double()
    copy_weights(flow, model)
    x = torch.randn(50, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = flow().log_prob(x)
    assert torch.allclose(model.log_prob(x), wanted, atol=1e-10)
    assert torch.allclose(model.nll_and_gradient(x)[0], -wanted.mean(), atol=1e-10)


@pytest.mark.parametrize("size", [2, 3])
def test_the_same_weights_give_the_density_of_zukos_cnf(size: int) -> None:
    torch.manual_seed(5)
    flow = zuko.flows.CNF(size, hidden_features=HIDDEN, atol=1e-8, rtol=1e-8).double()
    model = build_model("cnf", event_shape=(size,), hidden_features=HIDDEN, activation="elu")
    assert isinstance(model, ContinuousFlow)
    model.double()
    theirs = [layer for layer in flow.transform.ode if hasattr(layer, "weight")]
    with torch.no_grad():
        for index, (layer, own) in enumerate(zip(theirs, model.network.layers, strict=True)):
            layer.weight.mul_(1.5)
            # zuko's network is given time first, then the point.
            time = 6 if index == 0 else 0
            own.weight.copy_(torch.cat([layer.weight[:, time:], layer.weight[:, :time]], 1))
            own.bias.copy_(layer.bias)
        # Not by a factor of ours in float32.
        model.network.frequencies.copy_(flow.transform.freqs.repeat(2))
        model.network.phases[:3] = 0.5 * math.pi
        x = torch.randn(20, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        wanted = flow.eval()().log_prob(x)
        assert torch.allclose(model.log_prob(x), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "settings", "peer"),
    [
        ("realnvp", {"n_layers": 8}, "zuko_realnvp"),
        ("maf", {"n_layers": 5}, "zuko_maf"),
        ("realnvp", {"n_layers": 8}, "normflows_realnvp"),
        ("nice", {"n_layers": 8}, "normflows_nice"),
        ("nsf", {"n_layers": 5}, "zuko_nsf"),
        ("cnf", {}, "zuko_cnf"),
    ],
)
def test_the_peers_have_as_many_parameters(ours: str, settings: dict[str, int], peer: str) -> None:
    pytest.importorskip("normflows")
    from tests.benchmarks import peers

    model = build_model(ours, event_shape=(2,), **settings)
    assert model.n_parameters == peers.n_parameters(getattr(peers, peer)())
