"""Out-of-distribution scores: AUROC against scikit-learn's, and the probe on a trained energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from engine.estimators.outliers import OUTSIDERS, auroc, outsiders
from engine.probe import View
from engine.probes.outliers import outliers
from engine.registry import build_dataset, build_model


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 40), (60, 25)])
def test_area_is_scikit_learns_ties_and_all(levels: int, n: int, m: int) -> None:
    scores = torch.randint(levels, (n + m,), generator=generator()).double()
    labels = np.repeat([0, 1], [n, m])
    area, error = auroc(scores[:n], scores[n:])
    assert area == pytest.approx(float(roc_auc_score(labels, scores.numpy())), abs=1e-12)
    assert 0.0 <= error <= 0.5


def test_the_error_is_that_of_repeated_trials_for_exponential_scores() -> None:
    noise = torch.rand(2000, 2, 80, generator=generator(), dtype=torch.float64)
    draws = -torch.log1p(-noise) * torch.tensor([1.0, 3.0])[:, None]
    found = [auroc(inside, outside) for inside, outside in draws]
    areas, errors = (np.array(column) for column in zip(*found, strict=True))
    assert areas.mean() == pytest.approx(0.75, abs=0.005)  # 3 / (3 + 1)
    assert errors.mean() == pytest.approx(areas.std(), rel=0.05)


def test_outsiders_are_what_they_are_called() -> None:
    data = torch.randn(200, 2, 3, generator=generator())
    found = outsiders(data, generator())
    assert tuple(found) == OUTSIDERS
    mixed, noise, halves = found.values()
    assert torch.equal(mixed.reshape(200, -1).sort(0).values, data.reshape(200, -1).sort(0).values)
    assert not torch.equal(mixed, data)
    assert data.min() <= noise.min() < noise.max() <= data.max()
    gaps = (2 * halves - data).reshape(200, 1, -1) - data.reshape(1, 200, -1)
    nearest = gaps.abs().amax(2).min(1)
    assert float(nearest.values.max()) < 1e-5
    assert bool((nearest.indices != torch.arange(200)).all())


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [(0, 3, "given 0 and 3"), (2, 0, "given 2 and 0"), (None, 3, "no numbers")],
)
def test_what_has_no_area_is_refused(inside: int | None, outside: int, words: str) -> None:
    scores = torch.full((2,), torch.nan) if inside is None else torch.zeros(inside)
    with pytest.raises(ValueError, match=words):
        auroc(scores, torch.zeros(outside))


def ask(view: View, **wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    (result,) = outliers.ask(view, wanted)
    return dict(result.values), result.numpy()


def test_a_classifier_tells_by_its_energy_and_by_its_doubt() -> None:
    data = build_dataset("digits")
    model = build_model("jem", event_shape=data.event_shape, dataset=data)
    values, arrays = ask(View(model.eval().requires_grad_(False), data, 0), n=60, n_pictures=5)
    energy, unsure = arrays["energy"], arrays["unsure"]
    assert energy.shape == unsure.shape == (4, 60)
    assert arrays["pictures"].shape == (4, 5, *data.event_shape)
    with torch.no_grad():
        first = torch.as_tensor(arrays["pictures"][1])
        np.testing.assert_allclose(energy[1, :5], model.ood_score(first), rtol=1e-4)
        doubt = 1 - model.logits(first).softmax(1).amax(1)
        typical = model.ood_score(torch.as_tensor(arrays["typical"]))
        odd = model.ood_score(torch.as_tensor(arrays["odd"]))
    np.testing.assert_allclose(unsure[1, :5], doubt, rtol=1e-4)
    np.testing.assert_allclose(typical, np.sort(energy[0])[:5], rtol=1e-4)
    np.testing.assert_allclose(odd, np.sort(energy[0])[::-1][:5], rtol=1e-4)
    labels = np.repeat([0, 1], 60)
    for index in range(3):
        both = np.concatenate([energy[0], energy[index + 1]])
        assert values["auroc"][index] == pytest.approx(roc_auc_score(labels, both))
        both = np.concatenate([unsure[0], unsure[index + 1]])
        assert values["auroc_unsure"][index] == pytest.approx(roc_auc_score(labels, both))


def test_a_density_serves_too_and_has_no_doubt() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("realnvp", event_shape=(2,), dataset=data)
    values, arrays = ask(View(model.eval().requires_grad_(False), data, 0), n=20)
    assert "unsure" not in arrays
    assert "pictures" not in arrays
    assert len(values["auroc"]) == 3


@pytest.mark.parametrize(
    ("wanted", "words"), [({"n": 1}, "given 1 events"), ({"n_pictures": 65}, "65 pictures")]
)
def test_numbers_out_of_range_are_refused(wanted: dict[str, int], words: str) -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("realnvp", event_shape=(2,), dataset=data)
    with pytest.raises(ValueError, match=words):
        ask(View(model, data, 0), **wanted)


def test_nobody_waits_for_what_is_cancelled() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("realnvp", event_shape=(2,), dataset=data)
    assert list(outliers.ask(View(model, data, 0, cancelled=lambda: True), {})) == []
