"""Rough affine flows for tests: weights enlarged, data far from standard."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bijections.affine_flow import AffineFlow
from engine.registry import build_model


def rough(name: str, shape: tuple[int, ...] = (2,), **config: object) -> AffineFlow:
    """A small float64 flow with strong dependences, standardised on shifted data."""
    settings = {"n_layers": 3, "hidden_features": (16, 16), **config}
    model = build_model(name, event_shape=shape, seed=3, **settings)
    assert isinstance(model, AffineFlow)
    with torch.no_grad():
        model.theta.mul_(1.5)
    model.double()
    model.prepare(some(shape, 64), generator=torch.Generator())
    return model


def some(shape: tuple[int, ...] = (2,), n: int = 6, seed: int = 1) -> Tensor:
    """Points around 5 with spread 2, float64."""
    generator = torch.Generator().manual_seed(seed)
    return 5.0 + 2.0 * torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def log_det_by_autograd(model: AffineFlow, x: Tensor) -> Tensor:
    """log abs det of data → base at each row of (B, *E), from the autograd Jacobian."""

    def flat_path(flat: Tensor) -> Tensor:
        return model.path(flat.reshape(1, *model.event_shape)).states[-1, 0]

    rows = [torch.autograd.functional.jacobian(flat_path, row.flatten()) for row in x]
    return torch.stack([torch.linalg.slogdet(jacobian)[1] for jacobian in rows])


def mass_on_grid(model: AffineFlow, half_width: float, n: int = 400) -> float:
    """∫ p over a square around the data's mean, by the midpoint rule."""
    line = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2.0 - 1.0) * half_width
    points = torch.cartesian_prod(line, line) + model.location
    with torch.no_grad():
        density = model.log_prob(points).exp()
    return float(density.sum()) * (2.0 * half_width / n) ** 2
