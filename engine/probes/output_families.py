"""The same conditional of one value, fitted by every output distribution."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.histogram_fit import fit_families
from engine.probe import Result, View, probe

#: Levels of a data set of real values when it is shown here.
BINS = 64
MOST_LEVELS = 4096


class Arguments(msgspec.Struct, frozen=True):
    """Whose histogram is fitted.

    Attributes:
        counts: A histogram (levels,) of one's own, or None for the data's.
        index: Flat index of the value whose histogram over the training data is taken.
        given: Flat indices of values that are held fixed, with ``levels_given``: the histogram is
            then that of the training data which agree there.
        levels_given: Their levels.
        n_components: Sizes of the logistic mixtures.
    """

    counts: np.ndarray | None = None
    index: int = 0
    given: tuple[int, ...] = ()
    levels_given: tuple[int, ...] = ()
    n_components: tuple[int, ...] = (1, 2, 3)


@probe(summary="One histogram fitted by every output distribution.", arguments=Arguments)
def output_families(view: View, arguments: Arguments) -> Iterator[Result]:
    """Maximum likelihood of each family on one histogram; exact up to the search.

    Arrays: ``counts`` (levels,), ``probs`` (F, levels). Values, F long: ``names``, ``n_params``,
    ``n_free``, ``nlls`` (nats per value), ``kinds``. A row of kind ``"density"`` holds a density
    at the levels: its NLL is no NLL of levels (it can be below 0, and its ``sums`` are not 1), and
    it must not be compared with the others. ``least`` is the histogram's entropy, below which no
    probability can come.

    Raises:
        ValueError: The histogram is empty or too long, or an index is out of range.
    """
    counts = _own(arguments.counts) if arguments.counts is not None else _of_data(view, arguments)
    if len(counts) > MOST_LEVELS:
        raise ValueError(f"counts: given {len(counts)} levels, wanted at most {MOST_LEVELS}")
    if any(not 1 <= k <= 10 for k in arguments.n_components):
        raise ValueError(f"n_components: given {arguments.n_components}, wanted 1 to 10 each")
    fits = fit_families(counts, arguments.n_components)
    share = counts.double() / counts.sum()
    yield Result(
        {"counts": counts, "probs": torch.stack([fit.probs for fit in fits])},
        {
            "names": [fit.name for fit in fits],
            "n_params": [fit.n_params for fit in fits],
            "n_free": [fit.n_free for fit in fits],
            "nlls": [fit.nll for fit in fits],
            "kinds": [fit.kind for fit in fits],
            "sums": [float(fit.probs.sum()) for fit in fits],
            "least": float(-torch.special.xlogy(share, share).sum()),
            "n_observed": float(counts.sum()),
        },
    )


def _own(counts: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(counts, dtype=np.float64)).reshape(-1)


def _of_data(view: View, arguments: Arguments) -> Tensor:
    """The histogram of one value over the training data that agree on the given ones."""
    if not len(view.dataset.train):
        raise ValueError(
            "output families: given a run without observations, wanted one with data, or counts"
        )
    flat = view.dataset.train.reshape(len(view.dataset.train), -1).cpu()
    indices = (arguments.index, *arguments.given)
    if not all(0 <= i < flat.shape[1] for i in indices):
        raise ValueError(f"index: given {indices}, wanted 0 to {flat.shape[1] - 1}")
    if len(arguments.given) != len(arguments.levels_given):
        raise ValueError(
            f"levels_given: given {len(arguments.levels_given)} for {len(arguments.given)} indices"
        )
    levels = view.dataset.event.levels
    if levels is None:
        column = flat[:, arguments.index].double()
        low, high = float(column.min()), float(column.max())
        return torch.histc(column, BINS, low, high)
    agrees = torch.ones(len(flat), dtype=torch.bool)
    for index, level in zip(arguments.given, arguments.levels_given, strict=True):
        agrees &= flat[:, index].long() == level
    if not bool(agrees.any()):
        raise ValueError("given: no training picture has these values, wanted some that do")
    return torch.bincount(flat[agrees, arguments.index].long(), minlength=levels).double()
