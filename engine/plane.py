"""How events of D dimensions are drawn: an axis, the plane itself, or a plane in the space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from engine.dataset import Dataset, box_margin
from engine.estimators.grid import Box
from engine.target import Target

#: Values of the data that give a plane its directions, and that are projected at once.
MOST_VALUES, BLOCK = 2**23, 2**22
#: ``"axes"``: two coordinates of the data; ``"pca"``: the first two principal components.
PlaneKind: TypeAlias = Literal["axes", "pca"]


@dataclass(frozen=True)
class Plane:
    """An affine map between drawn coordinates a and flat events: x = centre + aᵀ basis.

    With D ≤ 2 it is the identity. With ``"axes"`` the drawn numbers are the two coordinates in
    data units and the others rest at the training mean; with ``"pca"`` they are the deviations
    from the mean along the first two principal components.

    Attributes:
        centre: (D,), float64.
        basis: (dims, D), orthonormal rows, float64; ``dims`` is 1 or 2.
        names: One per drawn coordinate.
        is_slice: Whether D > 2, so that a density on the plane is a slice and no marginal.
    """

    centre: Tensor
    basis: Tensor
    names: tuple[str, ...]
    is_slice: bool = False

    @property
    def dims(self) -> int:
        """The number of drawn coordinates."""
        return len(self.basis)

    def lift(self, points: Tensor) -> Tensor:
        """Drawn points (P, dims) → flat events (P, D), float64."""
        return self.centre + points.to(torch.float64) @ self.basis

    def project(self, x: Tensor) -> Tensor:
        """Events (N, *E) → drawn points (N, dims), float64 on the CPU."""
        flat = x.detach().cpu().reshape(len(x), -1)
        rows = max(1, BLOCK // max(flat.shape[1], 1))
        blocks = torch.split(flat, rows)
        return torch.cat([(b.to(torch.float64) - self.centre) @ self.basis.T for b in blocks])

    def project_covariances(self, covariances: Tensor) -> Tensor:
        """(K, D, D) → (K, dims, dims): the covariances of the projected events."""
        wide = covariances.detach().cpu().to(torch.float64)
        return self.basis @ wide @ self.basis.T


def make_plane(dataset: Dataset, plane: PlaneKind = "axes", axes: Sequence[int] = (0, 1)) -> Plane:
    """The plane on which a data set is drawn.

    Args:
        dataset: Its training split gives mean and principal components; of large pictures so
            many evenly spaced ones do as hold :data:`MOST_VALUES` numbers.
        plane: Ignored when D ≤ 2.
        axes: The two coordinates drawn when D > 2 and ``plane`` is ``"axes"``.

    Raises:
        ValueError: ``axes`` are not two different coordinates of the data.
    """
    flat = _looked_at(dataset.train)
    size = flat.shape[1]
    names = coordinate_names(dataset)
    eye = torch.eye(size, dtype=torch.float64)
    if size <= 2:
        return Plane(torch.zeros(size, dtype=torch.float64), eye, names)
    mean = flat.mean(0)
    if plane == "pca":
        basis, shares = _principal(flat - mean)
        titles = tuple(f"component {i + 1} ({s:.0%})" for i, s in enumerate(shares))
        return Plane(mean, basis, titles, is_slice=True)
    chosen = _check_axes(axes, size)
    centre = mean.clone()
    centre[chosen] = 0.0
    return Plane(centre, eye[chosen], tuple(names[i] for i in chosen), is_slice=True)


def _looked_at(data: Tensor) -> Tensor:
    """(N, *E) → (n, D), float64 on the CPU: all rows, or evenly spaced ones."""
    flat = data.flatten(1)  # there may be no rows: a target has none
    every = max(1, -(-flat.numel() // MOST_VALUES))
    return flat[::every].cpu().to(torch.float64)


def coordinate_names(dataset: Dataset) -> tuple[str, ...]:
    """One name per value of a flat event."""
    axes, shape = dataset.event.axes, dataset.event_shape
    size = math.prod(shape)
    if len(shape) == 1 and len(axes) == size:
        return tuple(axes)
    if len(shape) == 1:
        return tuple(f"x{i + 1}" for i in range(size))
    places = torch.cartesian_prod(*map(torch.arange, shape)).reshape(size, len(shape)).tolist()
    titles = axes if len(axes) == len(shape) else tuple(f"axis {i}" for i in range(len(shape)))
    return tuple(_place(place, titles, shape) for place in places)


def _place(place: Sequence[int], titles: Sequence[str], shape: Sequence[int]) -> str:
    """Such as "row 3, column 2": axes of a single entry go without saying."""
    parts = zip(titles, place, shape, strict=True)
    return ", ".join(f"{title} {index}" for title, index, side in parts if side > 1)


def data_box(dataset: Dataset, plane: Plane) -> Box:
    """A box of the plane that holds the training split with a margin; a target brings its own."""
    if isinstance(dataset, Target):
        (left, right), (bottom, top) = dataset.box
        return Box((left, bottom), (right, top))
    points = plane.project(dataset.train)
    low, high = points.amin(0), points.amax(0)
    margin = box_margin(low, high)
    return Box(tuple((low - margin).tolist()), tuple((high + margin).tolist()))


def _check_axes(axes: Sequence[int], size: int) -> list[int]:
    chosen = [int(axis) for axis in axes]
    if len(chosen) != 2 or len(set(chosen)) != 2 or not all(0 <= a < size for a in chosen):
        raise ValueError(
            f"axes: given {chosen}, wanted two different coordinates from 0 to {size - 1}"
        )
    return chosen


def _principal(centred: Tensor) -> tuple[Tensor, list[float]]:
    """The first two principal components (2, D) and their shares of the variance.

    Signs are fixed by making each component's largest entry positive, so that pictures keep their
    orientation.
    """
    variances, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors[:, -2:].flip(1).T
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    shares = variances[-2:].flip(0) / variances.sum().clamp_min(1e-300)
    return basis * largest.sign(), shares.tolist()
