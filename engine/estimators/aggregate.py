r"""Where a model puts its latents: prior and aggregate posterior on a plane of them.

.. math:: q(z) = \frac1N \sum_n q(z \mid x_n)

The plane's coordinates are a = B (z − c) with orthonormal rows B (d, Z): everything drawn on it is
a *marginal*, and marginals of Gaussians are Gaussians, so both densities stay exact however many
latents there are. What is no Gaussian is drawn, and its density is a kernel estimate that says so.

References:
    Hoffman and Johnson, *ELBO surgery*, NIPS workshop 2016 (the aggregate posterior). Scott,
    *Multivariate Density Estimation*, 1992 (the kernel's width).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.estimators.density import CancellationError
from engine.estimators.grid import Grid
from engine.estimators.latent_space import (
    LOG_TWO_PI,
    Cancelled,
    Codes,
    never,
    prior_draws,
    prior_of,
    size_of,
)
from engine.latents import Latent
from engine.model import GenerativeModel

#: Values of Gaussians times pixels at once.
PIECE = 2**21
#: A covariance is upright where its correlation is below this.
UPRIGHT = 1e-5
#: Draws for a kernel estimate.
N_KERNEL = 4000


@dataclass(frozen=True)
class PlaneOf:
    """A plane (or axis) of flat latents: centre (Z,), orthonormal rows (d, Z), float64."""

    centre: Tensor
    basis: Tensor

    @property
    def dims(self) -> int:
        """d, 1 or 2."""
        return len(self.basis)

    def project(self, z: Tensor) -> Tensor:
        """(…, Z) → (…, d), float64."""
        return (z.cpu().to(torch.float64) - self.centre) @ self.basis.T

    def lift(self, points: Tensor) -> Tensor:
        """(P, d) → (P, Z), float64: the coordinates off the plane are the centre's."""
        return self.centre + points.to(torch.float64) @ self.basis


def plane_of(centre: Tensor, basis: Tensor, latent: Latent) -> PlaneOf:
    """Check a plane's parts.

    Raises:
        ValueError: They do not fit the latent, or the rows are not orthonormal.
    """
    size = size_of(latent)
    basis = basis.to(torch.float64).reshape(-1, size) if basis.numel() % size == 0 else basis
    if basis.dim() != 2 or basis.shape[1] != size or not 1 <= len(basis) <= 2:
        raise ValueError(f"basis: given {list(basis.shape)}, wanted one or two rows of {size}")
    if centre.shape != (size,):
        raise ValueError(f"centre: given {list(centre.shape)}, wanted {size} values")
    if not torch.allclose(basis @ basis.T, torch.eye(len(basis)).to(basis), atol=1e-4):
        raise ValueError("basis: given rows that are not orthonormal")
    return PlaneOf(centre.to(torch.float64), basis)


@dataclass(frozen=True)
class Shade:
    """A log-density at the pixels: (n_points,) float64, nats, and what kind of number it is.

    ``mass`` is the share in the window where that is known exactly.
    """

    log_density: Tensor
    kind: str
    label: str
    mass: float | None = None


@torch.no_grad()
def aggregate_on(codes: Codes, plane: PlaneOf, grid: Grid, cancelled: Cancelled = never) -> Shade:
    """The aggregate posterior of N codes on a plane.

    Raises:
        CancellationError: ``cancelled()`` was true.
    """
    n = len(codes.mean)
    if codes.draws is not None:
        drawn = plane.project(codes.draws.flatten(0, 1))
        return kernel_shade(drawn, grid, f"kernel estimate of {n} q's draws")
    basis = plane.basis.to(codes.mean)
    means = plane.project(codes.mean)
    covariances = codes.covariances(basis).cpu().to(torch.float64)
    log_density = mixture_on(means, covariances, grid, cancelled)
    marginal = "" if plane.basis.shape[0] == plane.basis.shape[1] else ", marginal"
    mass = mass_within(means, covariances, *_ends(grid))
    return Shade(log_density, "exact", f"exact mixture of {n} q's{marginal}", mass)


@torch.no_grad()
def prior_on(
    model: GenerativeModel, latent: Latent, plane: PlaneOf, grid: Grid, generator: torch.Generator
) -> Shade:
    """The latent's prior on a plane; of one with parents its marginal, by draws."""
    prior = prior_of(model, latent)
    gaussian = None if prior is None else moments_of(prior)
    if gaussian is not None:
        mean, covariance = gaussian
        wide = plane.basis @ covariance @ plane.basis.T
        middle = plane.project(mean[None])
        mass = mass_within(middle, wide[None], *_ends(grid))
        return Shade(mixture_on(middle, wide[None], grid), "exact", "exact", mass)
    if prior is not None and size_of(latent) == plane.dims:
        z = plane.lift(grid.points).to(model.location.dtype).to(model.device)
        scores = prior.log_prob(z.reshape(-1, *latent.shape))
        return Shade(scores.cpu().to(torch.float64), "exact", "exact")
    drawn = plane.project(prior_draws(model, latent, N_KERNEL, generator))
    return kernel_shade(drawn, grid, f"kernel estimate of {N_KERNEL} draws")


def moments_of(distribution: Distribution) -> tuple[Tensor, Tensor] | None:
    """Mean (Z,) and covariance (Z, Z), float64, of a normal; None of anything else."""
    if isinstance(distribution, MultivariateNormal):
        mean, covariance = distribution.mean, distribution.covariance_matrix
    elif isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        mean = distribution.mean.flatten()
        covariance = torch.diag(distribution.variance.flatten())
    else:
        return None
    return mean.cpu().to(torch.float64), covariance.cpu().to(torch.float64)


def mixture_on(
    means: Tensor, covariances: Tensor, grid: Grid, cancelled: Cancelled = never
) -> Tensor:
    """log of an even mixture of N Gaussians (N, d), (N, d, d) at a grid's points, float64.

    Upright Gaussians are products of one factor per axis, so that a grid of H × W costs H + W
    exponentials each; tilted ones are summed pixel by pixel.
    """
    if means.shape[1] == 1:
        return _along(means[:, 0], covariances[:, 0, 0], grid)
    root = (covariances[:, 0, 0] * covariances[:, 1, 1]).sqrt().clamp_min(1e-300)
    if bool((covariances[:, 0, 1].abs() <= UPRIGHT * root).all()):
        return _upright(means, covariances, grid, cancelled)
    return _tilted(means, covariances, grid, cancelled)


def _along(means: Tensor, variances: Tensor, grid: Grid) -> Tensor:
    pieces = zip(torch.split(means, 4096), torch.split(variances, 4096), strict=True)
    sums = [torch.logsumexp(_log_normal(grid.points[:, 0], m, v), 1) for m, v in pieces]
    return torch.logsumexp(torch.stack(sums), 0) - _log_count(means)


def _upright(means: Tensor, covariances: Tensor, grid: Grid, cancelled: Cancelled) -> Tensor:
    x, y = (axis.nodes for axis in grid.axes)
    total = torch.zeros(len(y), len(x), dtype=torch.float64)
    rows = max(1, PIECE // (len(x) + len(y)))
    for piece, wide in zip(torch.split(means, rows), torch.split(covariances, rows), strict=True):
        if cancelled():
            raise CancellationError
        along_x = _log_normal(x, piece[:, 0], wide[:, 0, 0]).exp()  # (W, n)
        along_y = _log_normal(y, piece[:, 1], wide[:, 1, 1]).exp()
        total += along_y @ along_x.T
    return total.log().flatten() - _log_count(means)


def _tilted(means: Tensor, covariances: Tensor, grid: Grid, cancelled: Cancelled) -> Tensor:
    precision = torch.linalg.inv(covariances)
    log_scale = -0.5 * torch.logdet(covariances) - LOG_TWO_PI
    total = torch.full((len(grid.points),), -torch.inf, dtype=torch.float64)
    rows = max(1, PIECE // len(grid.points))
    for piece, sharp, high in zip(
        *(torch.split(value, rows) for value in (means, precision, log_scale)), strict=True
    ):
        if cancelled():
            raise CancellationError
        away = grid.points[:, None] - piece  # (P, n, 2)
        square = torch.einsum("pni,nij,pnj->pn", away, sharp, away)
        total = torch.logaddexp(total, torch.logsumexp(high - 0.5 * square, 1))
    return total - _log_count(means)


def mass_within(means: Tensor, covariances: Tensor, low: Tensor, high: Tensor) -> float | None:
    """The share of an even mixture of upright Gaussians in a box, exactly; None of tilted ones.

    A grid's own sum would be wrong where the Gaussians are narrower than its cells.
    """
    if means.shape[1] == 2:
        root = (covariances[:, 0, 0] * covariances[:, 1, 1]).sqrt().clamp_min(1e-300)
        if bool((covariances[:, 0, 1].abs() > UPRIGHT * root).any()):
            return None
    scale = covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    ends = [torch.special.ndtr((end - means) / scale) for end in (low, high)]
    return float((ends[1] - ends[0]).prod(1).mean())


def kernel_shade(drawn: Tensor, grid: Grid, label: str) -> Shade:
    """A Gaussian kernel estimate of draws (M, d), upright, with Scott's width."""
    width = drawn.std(0).clamp_min(1e-9) * len(drawn) ** (-1.0 / (drawn.shape[1] + 4))
    covariance = torch.diag(width.square()).expand(len(drawn), -1, -1)
    mass = mass_within(drawn, covariance, *_ends(grid))
    return Shade(mixture_on(drawn, covariance, grid), "estimate", label, mass)


def aggregate_at(codes: Codes, z: Tensor, cancelled: Cancelled = never) -> Tensor:
    """log q(z) of z (M, Z) under the mixture of N codes, (M,) float64, nats; −inf far away.

    Raises:
        ValueError: q is known by draws only.
    """
    scores = []
    for row in z:
        if cancelled():
            raise CancellationError
        log_q = codes.log_prob(row[None].to(codes.mean))[0].cpu().to(torch.float64)
        scores.append(torch.logsumexp(log_q, 0) - _log_count(codes.mean))
    return torch.stack(scores)


def _ends(grid: Grid) -> tuple[Tensor, Tensor]:
    """Low and high ends (d,) of a grid's cells."""
    widths = torch.stack([axis.weights[0] for axis in grid.axes])
    first = torch.stack([axis.nodes[0] for axis in grid.axes])
    last = torch.stack([axis.nodes[-1] for axis in grid.axes])
    return first - widths / 2, last + widths / 2


def _log_normal(x: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """log N(x; μ_n, σ²_n) of (P,), (P, N)."""
    away = (x[:, None] - means).square() / variances
    return -0.5 * (away + variances.log() + LOG_TWO_PI)


def _log_count(values: Tensor) -> Tensor:
    return torch.tensor(float(len(values)), dtype=torch.float64).log()
