"""Examples of the data: what they are, that the choice stays, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.dataset import Dataset
from engine.estimators.mixture import mixture_parts
from engine.probe import Result
from engine.registry import build_model, models, probes
from tests.engine.toys import GaussianData, GaussianToy, view


def examples(data: Dataset, **arguments: Any) -> Result:
    (result,) = probes()["data_examples"].ask(view(GaussianToy(2), data), arguments)
    return result


def labelled() -> GaussianData:
    """Every training observation carries its own place as label."""
    data = GaussianData()
    data.train_labels = torch.arange(len(data.train))
    return data


def test_examples_are_observations_with_their_labels() -> None:
    data = labelled()
    arrays = examples(data, n=36).numpy()
    assert arrays["examples"].shape == (36, 2)
    assert arrays["labels"].dtype == np.int32
    assert len(set(arrays["labels"].tolist())) == 36
    assert np.array_equal(arrays["examples"], data.train.numpy()[arrays["labels"]])


def test_the_choice_stays_and_is_not_the_first_ones() -> None:
    first, again = (examples(labelled(), n=20).numpy()["labels"] for _ in range(2))
    assert np.array_equal(first, again)
    assert first.tolist() != list(range(20))


def test_pictures_keep_their_shape() -> None:
    data = GaussianData()
    data.train = torch.arange(4 * 16.0).reshape(4, 1, 4, 4)
    arrays = examples(data, n=3).numpy()
    assert arrays["examples"].shape == (3, 1, 4, 4)
    whole = data.train.numpy()
    assert all((picture == whole).all((1, 2, 3)).any() for picture in arrays["examples"])


def test_a_small_split_is_given_whole() -> None:
    data = GaussianData()
    arrays = examples(data, n=10_000, split="test").numpy()
    assert np.array_equal(arrays["examples"], data.test.numpy().astype(np.float32))
    assert set(arrays["labels"].tolist()) == {-1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"n": 0}, "n: given 0, wanted 1 or more"), ({"split": "all"}, "given 'all', wanted one of")],
)
def test_impossible_wishes_are_named(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        examples(GaussianData(), **arguments)


@pytest.mark.parametrize("name", models())
def test_cards_name_components_exactly_where_there_are_some(name: str) -> None:
    model = build_model(name, event_shape=(2,))
    has = mixture_parts(model) is not None
    assert ("components" in model.card.features) is has
