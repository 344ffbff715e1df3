"""The user's own tables as a data set: choice of columns, dropped rows, labels, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.registry import build_dataset

#: Names, a column that is constant, one with holes, one of words and one without any value.
MIXED = """name,height,weight,age,one,void
anna,1.7,60,30,1,
bert,,80,41,1,NA
carl,1.8,inf,52,1,
dora,1.65,55,29,1,
emil,1.9,90,?,1,nan
"""


def write(folder: Path, text: str, name: str = "own.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def everything(dataset: Dataset) -> Tensor:
    return torch.cat([dataset.train, dataset.valid, dataset.test])


def sorted_rows(points: Tensor) -> list[list[float]]:
    return sorted(points.tolist())


def test_all_numeric_columns_are_taken_and_the_rest_is_told(tmp_path: Path) -> None:
    dataset = build_dataset("points", path=write(tmp_path, MIXED))
    assert dataset.event_shape == (4,)
    assert dataset.event.axes == ("height", "weight", "age", "one")
    wanted = torch.tensor([[1.65, 55, 29, 1], [1.7, 60, 30, 1]])
    assert sorted_rows(everything(dataset)) == sorted_rows(wanted)
    assert dataset.notes == (
        "3 of 5 rows were dropped: missing values",
        "left out, not numbers: name",
        "left out, no values: void",
    )
    assert dataset.info().notes == dataset.notes
    assert dataset.info().columns == dataset.event.axes


def test_rows_are_dropped_for_chosen_columns_only(tmp_path: Path) -> None:
    path = write(tmp_path, MIXED)
    dataset = build_dataset("points", path=path, columns="age,height")
    assert dataset.event.axes == ("age", "height")
    assert dataset.notes == ("2 of 5 rows were dropped: missing values",)
    assert len(everything(dataset)) == 3
    assert build_dataset("points", path=path, columns="1,4").event.axes == ("height", "one")


def test_one_dropped_row_is_told_in_the_singular(tmp_path: Path) -> None:
    dataset = build_dataset("points", path=write(tmp_path, "x\n1\n2\n\n3\nnan\n"))
    assert dataset.event_shape == (1,)
    assert dataset.notes == ("1 of 4 rows was dropped: missing values",)


def test_a_column_called_by_a_number_goes_before_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "a,0\n" + "1,2\n" * 5)
    dataset = build_dataset("points", path=path, columns="0")
    assert dataset.train[0].tolist() == [2.0]


def test_labels_are_classes(tmp_path: Path) -> None:
    lines = [f"{i},{i * i},{'xyz'[i % 3]}" for i in range(30)]
    path = write(tmp_path, "a,b,kind\n" + "\n".join(lines))
    dataset = build_dataset("points", path=path, label_column="kind")
    assert dataset.event.axes == ("a", "b")
    assert dataset.labels == ("x", "y", "z")
    assert dataset.train_labels is not None
    assert torch.equal(dataset.train_labels, dataset.train[:, 0].long() % 3)
    assert dataset.notes == ()


def test_numeric_labels_are_left_out_of_the_points(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,digit\n" + "".join(f"{i},1,{10 - i % 2}\n" for i in range(20)))
    dataset = build_dataset("points", path=path, label_column="2")
    assert dataset.event_shape == (2,)
    assert dataset.labels == ("9", "10")
    assert dataset.train_labels is not None
    assert torch.equal(dataset.train_labels, 1 - dataset.train[:, 0].long() % 2)


def test_standardised_columns_have_mean_zero_and_variance_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal([5, -3e6], [0.1, 4e5], size=(200, 2))
    values = np.column_stack([values, np.full(200, 7.3)])
    np.save(tmp_path / "own.npy", values)
    path = str(tmp_path / "own.npy")
    points = everything(build_dataset("points", path=path, standardise=True)).double()
    assert points.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert points.std(0, correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    raw = everything(build_dataset("points", path=path))
    assert float(raw[:, 1].mean()) == pytest.approx(-3e6, rel=0.05)
    assert raw[:, 2].unique().tolist() == pytest.approx([7.3])


def test_splits_are_seeded_shuffled_and_complete(tmp_path: Path) -> None:
    values = np.arange(200.0).reshape(100, 2)
    np.save(tmp_path / "own.npy", values)
    config = {"path": str(tmp_path / "own.npy"), "valid_fraction": 0.2, "test_fraction": 0.3}
    first = build_dataset("points", seed=1, **config)
    assert [len(s) for s in (first.train, first.valid, first.test)] == [50, 20, 30]
    assert sorted_rows(everything(first)) == values.tolist()
    assert not torch.equal(first.train, torch.from_numpy(values[:50]).float())
    assert torch.equal(first.train, build_dataset("points", seed=1, **config).train)
    assert not torch.equal(first.train, build_dataset("points", seed=2, **config).train)


def test_samples_are_training_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", np.arange(30.0)[:, None])
    dataset = build_dataset("points", path=str(tmp_path / "own.npy"))
    draw = dataset.sample(500, generator=torch.Generator().manual_seed(0))
    assert draw.shape == (500, 1)
    assert set(draw[:, 0].tolist()) == set(dataset.train[:, 0].tolist())


def test_numbers_too_large_for_single_precision_are_missing(tmp_path: Path) -> None:
    dataset = build_dataset("points", path=write(tmp_path, "x\n1\n2\n3\n1e200\n"))
    assert torch.isfinite(everything(dataset)).all()
    assert dataset.notes == ("1 of 4 rows was dropped: missing values",)


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        (MIXED, {"columns": "height,size"}, "has no column 'size'; it has: name, height, weight"),
        (MIXED, {"columns": "9"}, "has no column '9'; it has: name"),
        (MIXED, {"columns": "name"}, "column 'name' holds text; wanted numbers"),
        (MIXED, {"columns": "void"}, "column 'void' holds no finite number; wanted numbers"),
        (MIXED, {"columns": "age,3"}, "a column is chosen twice"),
        (MIXED, {"label_column": "species"}, "has no column 'species'"),
        ("a,b\nu,v\nw,x\n", {}, "has no column of numbers; wanted at least one; .* a, b"),
        ("a,b\n1,\n,2\n3,4\n", {}, "1 of 3 rows hold finite numbers in a, b; wanted at least 2"),
        ("a\nnan\nnan\n", {}, "has no column of numbers"),
    ],
)
def test_clear_refusals(text: str, config: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        build_dataset("points", path=write(tmp_path, text), **config)
    assert str(caught.value).startswith("own.csv")


def test_too_many_labels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a,id\n" + "".join(f"{i},n{i}\n" for i in range(1001)))
    with pytest.raises(ValueError, match="1001 different labels; wanted at most 1000"):
        build_dataset("points", path=path, label_column="id")


def test_no_file_is_asked_for() -> None:
    with pytest.raises(ValueError, match="no file was given; wanted a table"):
        build_dataset("points")
