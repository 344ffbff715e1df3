r"""Ways from one latent to another: straight, on a sphere, and the shortest in the data space.

The decoder's mean g pulls the metric of the data space back onto the latents, M(z) = JᵀJ with
J = ∂g/∂z; a curve z_0 … z_T has the discrete energy and length

.. math::
    E = \sum_i \lVert g(z_{i+1}) - g(z_i) \rVert^2, \qquad
    L = \sum_i \lVert g(z_{i+1}) - g(z_i) \rVert, \qquad L^2 \le T\,E

and a geodesic is a curve of least energy between its ends, which moves at constant speed in the
data space. It is searched for from the straight line and never has more energy than that.

References:
    Shoemake, *Animating Rotation with Quaternion Curves*, SIGGRAPH 1985 (the spherical path).
    Shao, Kumar and Fletcher, *The Riemannian Geometry of Deep Generative Models*, CVPR workshops
    2018; Arvanitidis, Hansen and Hauberg, *Latent Space Oddity*, ICLR 2018 (the geodesic).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

#: Angles (radians) nearer than this to 0 or to π leave a spherical path undefined.
SMALLEST_ANGLE = 1e-4
#: Steps of L-BFGS in one round, and most rounds.
STEPS, ROUNDS = 10, 12
#: A round that gains less than this share is the last.
SETTLED = 1e-4


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 − t) a + t b of ends (Z,) at t (T,), (T, Z)."""
    return a + t[:, None] * (b - a)


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    r"""Shoemake's path of ends (Z,) at t (T,), (T, Z).

    .. math::
        \frac{\sin((1-t)\theta)}{\sin\theta} a + \frac{\sin(t\theta)}{\sin\theta} b, \qquad
        \cos\theta = \frac{a \cdot b}{\lVert a \rVert \lVert b \rVert}

    Where the ends lie on one line through the origin it is undefined; the straight path is given.
    """
    norms = torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)
    if float(norms) == 0.0:
        return linear(a, b, t)
    theta = torch.arccos((a @ b / norms).clamp(-1.0, 1.0))
    if not SMALLEST_ANGLE < float(theta) < torch.pi - SMALLEST_ANGLE:
        return linear(a, b, t)
    near, far = ((1.0 - t) * theta).sin(), (t * theta).sin()
    path: Tensor = (near[:, None] * a + far[:, None] * b) / theta.sin()
    return path


def through(keys: Tensor, kind: str, frames: int) -> Tensor:
    """A path through keyframes (K, Z), ``"spherical"`` or straight, each keyframe once.

    Returns:
        ((K − 1) · frames + 1, Z).
    """
    t = torch.linspace(0.0, 1.0, frames + 1, dtype=keys.dtype).to(keys.device)
    way = spherical if kind == "spherical" else linear
    pieces = [way(a, b, t)[:-1] for a, b in pairwise(keys)]
    return torch.cat([*pieces, keys[-1:]])


def curve_energy(x: Tensor) -> Tensor:
    """Σ |x_{i+1} − x_i|² of points (T + 1, D), in squared units of the data."""
    return (x[1:] - x[:-1]).square().sum()


def curve_length(x: Tensor) -> Tensor:
    """Σ |x_{i+1} − x_i| of points (T + 1, D), in units of the data."""
    steps: Tensor = torch.linalg.vector_norm(x[1:] - x[:-1], dim=-1)
    return steps.sum()


def geodesics(decode: Callable[[Tensor], Tensor], start: Tensor) -> Iterator[Tensor]:
    """Better and better curves (T + 1, Z) from one whose ends stay; the first is the one given.

    Args:
        decode: g, (T + 1, Z) → (T + 1, D), differentiable.
        start: The curve to begin with, such as a straight line.

    Yields:
        A curve with no more energy than the one before it.
    """
    best, least = start, _energy(decode, start)
    yield best
    if len(start) < 3:
        return
    scale = max(least, 1e-30)
    inner = start[1:-1].clone().requires_grad_()
    optimiser = torch.optim.LBFGS([inner], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        with torch.enable_grad():
            energy = curve_energy(decode(torch.cat([start[:1], inner, start[-1:]]))) / scale
        (inner.grad,) = torch.autograd.grad(energy, inner)
        return energy.detach()

    for _ in range(ROUNDS):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        curve = torch.cat([start[:1], inner.detach(), start[-1:]])
        energy = _energy(decode, curve)
        if not energy < least:
            return
        settled = least - energy < SETTLED * least
        best, least = curve.clone(), energy
        yield best
        if settled:
            return


@torch.no_grad()
def _energy(decode: Callable[[Tensor], Tensor], curve: Tensor) -> float:
    return float(curve_energy(decode(curve)))
