"""The user's own table: every row of a CSV, TSV, NPY or NPZ file is one point of D numbers.

Columns that hold no numbers are left out, and rows where a chosen column holds no finite number
are dropped; both are told in ``notes``. With ``standardise`` each column is shifted to mean 0 and
scaled to variance 1 over all rows kept, and log-densities are those of the standardised values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.tables import Column, Table, read_table
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

#: Fewest rows that can be trained on.
FEWEST = 2
SPLITS = ("train", "valid", "test")
#: More distinct labels than this are numbers or names of rows, not classes.
MOST_CLASSES = 1000


class Points(Dataset):
    """Points (N, D) from a file, in a seeded random order, split into three."""

    card = DatasetCard(
        name="points",
        title="Your own points",
        summary="A table of your own from a CSV, TSV, NPY or NPZ file, one point per row.",
        kind="own",
    )

    @dataclass(frozen=True)
    class Config:
        """The file, what to take from it, and the split."""

        path: Annotated[str, Field(help="CSV, TSV, NPY or NPZ file."), "path"] = ""
        columns: Annotated[
            tuple[str, ...],
            Field(help="Columns by name or number from 0; none means all that hold numbers."),
        ] = ()
        standardise: Annotated[
            bool, Field(help="Shift and scale each column to mean 0 and variance 1.")
        ] = False
        label_column: Annotated[
            str, Field(help="Column that names each row's class; empty for none.")
        ] = ""
        key: Annotated[
            str, Field(help="Array of an NPZ archive; empty takes the first with two axes.")
        ] = ""
        valid_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
        ] = 0.1
        test_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
        ] = 0.1
        seed: Annotated[int, Field(0, 2**31 - 1, help="Seed of the split.")] = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        remembered = _REMEMBERED.get(config)
        if remembered is not None and not Path(config.path).is_file():
            self._restore(*remembered)
        else:
            self._read()

    @classmethod
    def from_embedded(
        cls, config: Any, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
    ) -> Points:
        """The data set as it was saved within a run's file, whatever became of its own file.

        Building it again from the same settings gives the same data while the file is missing.

        Raises:
            ValueError: The tensors are not those of :meth:`embedded`.
        """
        dataset = cls.__new__(cls)
        Dataset.__init__(dataset, config)
        dataset._restore(tensors, meta)
        _REMEMBERED[config] = (dict(tensors), dict(meta))
        return dataset

    def embedded(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values from which :meth:`from_embedded` makes the same data set."""
        tensors = {name: getattr(self, name) for name in SPLITS}
        labels = {f"{name}_labels": getattr(self, f"{name}_labels") for name in SPLITS}
        tensors |= {name: value for name, value in labels.items() if value is not None}
        meta = {
            "axes": list(self.event.axes),
            "labels": list(self.labels),
            "notes": list(self.notes),
        }
        return tensors, meta

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N training points (N, D), drawn with replacement."""
        return self._resample(n, generator)

    def _read(self) -> None:
        name = Path(self.config.path).name
        table = read_table(self.config.path, key=self.config.key)
        label = _find(table, self.config.label_column, name) if self.config.label_column else None
        chosen = self._chosen(table, label, name)
        values = np.stack([column.values for column in chosen], axis=1)
        good = np.isfinite(values).all(axis=1)
        # Training is done in float32, where larger numbers are infinite.
        good &= (np.abs(np.where(np.isfinite(values), values, 0.0)) < 1e30).all(axis=1)
        if good.sum() < FEWEST:
            raise ValueError(
                f"{name}: {good.sum()} of {len(good)} rows hold finite numbers in "
                f"{_listed(chosen)}; wanted at least {FEWEST}"
            )
        self.event = Event(shape=(len(chosen),), axes=tuple(column.name for column in chosen))
        self.notes = self._notes(table, chosen, label, good)
        order = np.random.default_rng(self.config.seed).permutation(np.flatnonzero(good))
        points = values[order]
        if self.config.standardise:
            points = _standardised(points)
        classes = self._classes(label, order, name) if label else None
        self._split(torch.from_numpy(points), classes)

    def _chosen(self, table: Table, label: Column | None, name: str) -> list[Column]:
        if not self.config.columns:
            chosen = [c for c in table.columns if c.kind == "number" and c is not label]
            if not chosen:
                raise ValueError(
                    f"{name} has no column of numbers; wanted at least one; "
                    f"its columns are: {_listed(table.columns)}"
                )
            return chosen
        chosen = [_find(table, wanted, name) for wanted in self.config.columns]
        for column in chosen:
            if column.kind != "number":
                holds = "text" if column.kind == "text" else "no finite number"
                raise ValueError(f"{name}: column '{column.name}' holds {holds}; wanted numbers")
        if len({column.name for column in chosen}) < len(chosen):
            raise ValueError(f"{name}: a column is chosen twice; wanted different columns")
        return chosen

    def _notes(
        self,
        table: Table,
        chosen: Sequence[Column],
        label: Column | None,
        good: npt.NDArray[np.bool_],
    ) -> tuple[str, ...]:
        notes = []
        n_dropped = int((~good).sum())
        if n_dropped:
            notes.append(
                f"{n_dropped} of {len(good)} rows {_were(n_dropped)} dropped: missing values"
            )
        unused = [c for c in table.columns if c.kind != "number" and c is not label]
        for kind, reason in (("text", "not numbers"), ("empty", "no values")):
            left_out = [c for c in unused if c.kind == kind]
            if left_out and not self.config.columns:
                notes.append(f"left out, {reason}: {_listed(left_out)}")
        if self.config.standardise:
            notes.append("each column is standardised to mean 0 and variance 1")
        return tuple(notes)

    def _classes(self, label: Column, order: npt.NDArray[np.int64], name: str) -> Tensor:
        words = [_word(value) for value in label.values[order].tolist()]
        self.labels = tuple(sorted(set(words), key=_natural))
        if len(self.labels) > MOST_CLASSES:
            raise ValueError(
                f"{name}: column '{label.name}' holds {len(self.labels)} different labels; "
                f"wanted at most {MOST_CLASSES}"
            )
        index = {word: place for place, word in enumerate(self.labels)}
        return torch.tensor([index[word] for word in words])

    def _restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        try:
            self.train, self.valid, self.test = (tensors[name] for name in SPLITS)
            self.event = Event(shape=tuple(self.train.shape[1:]), axes=tuple(meta["axes"]))
            self.labels, self.notes = tuple(meta["labels"]), tuple(meta["notes"])
        except KeyError as error:
            raise ValueError(f"the data saved with the run lack {error}") from None
        if self.train.ndim != 2 or len(self.event.axes) != self.train.shape[1]:
            raise ValueError(
                f"the data saved with the run have shape {tuple(self.train.shape)}, "
                f"wanted (N, {len(self.event.axes)})"
            )
        self.train_labels = tensors.get("train_labels")
        self.valid_labels = tensors.get("valid_labels")
        self.test_labels = tensors.get("test_labels")


#: Data that came within a saved run, by their settings, for when their own file is not here.
_REMEMBERED: dict[Points.Config, tuple[dict[str, Tensor], dict[str, Any]]] = {}


def _find(table: Table, wanted: str, name: str) -> Column:
    """A column by name, or by number from 0."""
    for column in table.columns:
        if column.name == wanted:
            return column
    if wanted.isdecimal() and int(wanted) < len(table.columns):
        return table.columns[int(wanted)]
    raise ValueError(f"{name} has no column '{wanted}'; it has: {_listed(table.columns)}")


def _listed(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _standardised(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, D) with mean 0 and variance 1 per column; constant columns are only shifted."""
    spread = points.std(axis=0)
    scale = np.where(spread > 1e-12 * np.maximum(np.abs(points).max(axis=0), 1e-300), spread, 1.0)
    shifted: npt.NDArray[np.float64] = (points - points.mean(axis=0)) / scale
    return shifted


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}" if np.isfinite(value) else "none"
    return str(value) or "none"


def _natural(word: str) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    try:
        return (0, float(word), word)
    except ValueError:
        return (1, 0.0, word)
