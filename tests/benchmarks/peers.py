"""The other libraries' flows and their README's training loops, built to match ours in size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import normflows as nf
import torch
import zuko
from torch import Tensor

HIDDEN = (64, 64)
#: Our CNF with zuko's nonlinearity and tolerances. Ours hold for the places of the worst point;
#: zuko's for every value, those of the log-determinant being a hundred times wider.
ZUKO_CNF = {"activation": "elu", "rtol": 1e-5, "atol": 1e-6}


def zuko_realnvp(n_layers: int = 8) -> torch.nn.Module:
    """zuko: one ``transform`` is one coupling."""
    return zuko.flows.RealNVP(2, transforms=n_layers, hidden_features=HIDDEN)


def zuko_maf(n_layers: int = 5) -> torch.nn.Module:
    """zuko: one ``transform`` is one autoregressive layer, orders reversed in turn."""
    return zuko.flows.MAF(2, transforms=n_layers, hidden_features=HIDDEN)


def zuko_nsf(n_layers: int = 5) -> torch.nn.Module:
    """zuko: autoregressive layers with splines of 8 bins within ±5."""
    return zuko.flows.NSF(2, transforms=n_layers, hidden_features=HIDDEN)


def zuko_cnf() -> torch.nn.Module:
    """zuko: ELUs, three frequencies of time, exact trace, its own tolerances."""
    return zuko.flows.CNF(2, hidden_features=HIDDEN)


def normflows_realnvp(n_layers: int = 8) -> torch.nn.Module:
    """normflows' README: affine couplings with a swap between; the base has no parameters."""
    flows: list[torch.nn.Module] = []
    for _ in range(n_layers):
        param_map = nf.nets.MLP([1, *HIDDEN, 2], init_zeros=True)
        flows += [nf.flows.AffineCouplingBlock(param_map), nf.flows.Permute(2, mode="swap")]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), flows)


def normflows_nice(n_layers: int = 8) -> torch.nn.Module:
    """normflows: additive couplings, and a scale next to the base, which is a normal."""
    flows: list[torch.nn.Module] = [nf.flows.AffineConstFlow(2, shift=False)]
    for _ in range(n_layers):
        param_map = nf.nets.MLP([1, *HIDDEN, 1], init_zeros=True)
        coupling = nf.flows.AffineCouplingBlock(param_map, scale=False)
        flows += [coupling, nf.flows.Permute(2, mode="swap")]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), flows)


def zuko_loop(flow: Any, optimiser: torch.optim.Optimizer, batches: Iterable[Tensor]) -> None:
    """The loop of zuko's README."""
    for x in batches:
        loss = -flow().log_prob(x).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def normflows_loop(flow: Any, optimiser: torch.optim.Optimizer, batches: Iterable[Tensor]) -> None:
    """The loop of normflows' README, with its look at the loss before each step."""
    for x in batches:
        optimiser.zero_grad()
        loss = flow.forward_kld(x)
        if ~(torch.isnan(loss) | torch.isinf(loss)):
            loss.backward()
            optimiser.step()


Loop = Callable[[Any, torch.optim.Optimizer, Iterable[Tensor]], None]


def n_parameters(module: torch.nn.Module) -> int:
    """Trained values, as every library counts them: masked weights included."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
