"""The digits: scikit-learn's own pictures, in its order, with the fixed splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from engine.registry import build_dataset


@pytest.mark.parametrize("name", ["digits", "digits_plane"])
def test_splits_have_the_fixed_sizes_and_labels(name: str) -> None:
    dataset = build_dataset(name)
    assert [len(s) for s in (dataset.train, dataset.valid, dataset.test)] == [1000, 350, 447]
    splits = (dataset.train_labels, dataset.valid_labels, dataset.test_labels)
    labels = np.concatenate([s.numpy() for s in splits if s is not None])
    np.testing.assert_array_equal(labels, load_digits().target)
    assert dataset.labels == tuple("0123456789")
    assert not dataset.info().has_density


def test_integer_digits_are_the_grey_values() -> None:
    dataset = build_dataset("digits", levels=17)
    pictures = torch.cat([dataset.train, dataset.valid, dataset.test])
    assert dataset.event_shape == (1, 8, 8)
    assert dataset.event.axes == ("channel", "row", "column")
    assert (dataset.event.support, dataset.event.levels) == ("integer", 17)
    np.testing.assert_array_equal(pictures[:, 0].numpy(), load_digits().images)


def test_real_digits_are_dequantised_from_their_seed() -> None:
    grey = build_dataset("digits", levels=17).train
    first, again = build_dataset("digits", seed=5), build_dataset("digits", seed=5)
    shade = first.train * 17 - grey
    assert first.event.support == "real"
    assert float(first.train.min()) >= 0.0
    assert float(first.train.max()) < 1.0
    assert float(shade.min()) >= -1e-4
    assert float(shade.max()) <= 1.0 + 1e-4
    assert float(shade.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(first.train, again.train)
    assert not torch.equal(first.train, build_dataset("digits", seed=6).train)


def test_two_levels_are_black_and_white() -> None:
    dataset = build_dataset("digits", levels=2)
    assert dataset.event.support == "binary"
    assert torch.equal(dataset.train[:, 0], torch.from_numpy(load_digits().images[:1000] > 8.5))


def test_fewer_training_pictures_leave_the_held_out_ones_alone() -> None:
    few, all_of_them = build_dataset("digits", n_samples=50), build_dataset("digits")
    assert torch.equal(few.train, all_of_them.train[:50])
    assert few.train_labels is not None
    assert len(few.train_labels) == 50
    assert torch.equal(few.valid, all_of_them.valid)


def test_plane_agrees_with_principal_components_of_scikit_learn() -> None:
    data = load_digits().data / 16.0
    oracle = PCA(2, svd_solver="full").fit(data[:1000])
    wanted = oracle.transform(data)
    points = build_dataset("digits_plane")
    ours = torch.cat([points.train, points.valid, points.test]).numpy()
    signs = np.sign((ours * wanted).sum(0))
    np.testing.assert_allclose(ours, wanted * signs, atol=1e-5)


@pytest.mark.parametrize("name", ["digits", "digits_plane"])
def test_samples_are_training_observations(name: str) -> None:
    dataset = build_dataset(name)
    draw = dataset.sample(5, generator=torch.Generator().manual_seed(0))
    assert draw.shape == (5, *dataset.event_shape)
    distance = torch.cdist(draw.flatten(1), dataset.train.flatten(1)).amin(1)
    assert float(distance.max()) < 1e-2
