"""Planes through the data: identities, slices, principal components, boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from engine.plane import coordinate_names, data_box, make_plane
from engine.wire.event import Event
from tests.engine.toys import GaussianData


@pytest.mark.parametrize("sigma", [(1.0,), (1.0, 0.5)])
def test_low_dimensions_are_drawn_as_they_are(sigma: tuple[float, ...]) -> None:
    data = GaussianData(sigma)
    plane = make_plane(data, "pca", (1, 0))
    assert torch.equal(plane.project(data.train), data.train.double())
    assert torch.equal(plane.lift(data.train), data.train.double())
    assert (plane.dims, plane.is_slice) == (len(sigma), False)
    assert plane.names == ("x", "y")[: len(sigma)]


def test_axes_hold_the_others_at_the_mean() -> None:
    data = GaussianData((1.0, 2.0, 0.5, 3.0))
    plane = make_plane(data, "axes", (3, 1))
    event = plane.lift(torch.tensor([[7.0, -2.0]]))[0]
    mean = data.train.double().mean(0)
    assert event.tolist() == pytest.approx([float(mean[0]), -2.0, float(mean[2]), 7.0])
    assert torch.allclose(plane.project(data.train), data.train.double()[:, [3, 1]])
    assert plane.names == ("u", "y")
    assert plane.is_slice


def test_principal_components_are_those_of_scikit_learn() -> None:
    data = GaussianData((1.0, 2.0, 0.5, 3.0))
    plane = make_plane(data, "pca")
    oracle = PCA(2).fit(data.train.double().numpy())
    cosines = np.abs((plane.basis.numpy() * oracle.components_).sum(1))
    assert cosines == pytest.approx([1.0, 1.0], abs=1e-9)
    assert plane.lift(torch.zeros(1, 2))[0].tolist() == pytest.approx(oracle.mean_.tolist())
    shares = [f"{s:.0%}" for s in oracle.explained_variance_ratio_]
    assert all(share in name for share, name in zip(shares, plane.names, strict=True))


def test_projecting_undoes_lifting() -> None:
    plane = make_plane(GaussianData((1.0, 2.0, 0.5)), "pca")
    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(plane.project(plane.lift(points)), points)


def test_covariances_are_those_of_projected_events() -> None:
    data = GaussianData((1.0, 2.0, 0.5))
    plane = make_plane(data, "pca")
    x = data.train.double()
    projected = plane.project_covariances(torch.cov(x.T)[None])[0]
    assert torch.allclose(projected, torch.cov(plane.project(x).T))


def test_box_holds_the_data() -> None:
    data = GaussianData((1.0, 2.0, 0.5))
    plane = make_plane(data, "pca")
    box, points = data_box(data, plane), plane.project(data.train)
    assert (points > torch.tensor(box.low)).all()
    assert (points < torch.tensor(box.high)).all()
    info, flat = data.info(), data_box(GaussianData(), make_plane(GaussianData()))
    assert len(info.low) == 3
    assert flat.low == pytest.approx(GaussianData().info().low)


@pytest.mark.parametrize("axes", [(0, 0), (0, 3), (-1, 0), (0,), (0, 1, 2)])
def test_wrong_axes_are_named(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="wanted two different coordinates from 0 to 2"):
        make_plane(GaussianData((1.0, 2.0, 0.5)), "axes", axes)


def test_names_of_unnamed_coordinates() -> None:
    data = GaussianData((1.0, 2.0, 0.5))
    data.event = Event((3,))
    assert coordinate_names(data) == ("x1", "x2", "x3")
    data.event = Event((1, 3, 1), ("channel", "row", "column"))
    assert coordinate_names(data) == ("row 0", "row 1", "row 2")
