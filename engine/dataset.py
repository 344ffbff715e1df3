"""The base of every data set: a finite sample with splits, and the truth where it is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.download import Cancelled, RemoteFile, Told, fetch_all, never, told_nobody
from engine.wire.cards import DatasetCard, DatasetInfo
from engine.wire.event import Event
from engine.wire.fields import Field

#: Box around the data: this share of the range is added on each side.
BOX_MARGIN = 0.15
#: A range below this share of its numbers' size is that of a constant coordinate.
SMALLEST_RANGE = 1e-8


@dataclass(frozen=True)
class SplitConfig:
    """Sample size, split and seed, which are the user's for every data set."""

    n_samples: Annotated[
        int, Field(10, 1_000_000, scale="log", symbol="N", help="Points in the finite sample.")
    ] = 5000
    valid_fraction: Annotated[
        float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
    ] = 0.1
    test_fraction: Annotated[
        float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
    ] = 0.1
    fresh: Annotated[
        bool,
        Field(help="Train on fresh draws at every step: no over-fitting can happen."),
    ] = False
    seed: Annotated[int, Field(0, 2**31 - 1, help="Seed of the sample.")] = 0


@runtime_checkable
class KnownDensity(Protocol):
    """A data set whose true density is known exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, *E) in nats, (B,); −inf outside the support. Float64 is kept."""
        ...

    def entropy(self) -> float:
        """H(p) = −E log p in nats."""
        ...


class Dataset(ABC):
    """Observations (N, *E), split into ``train``, ``valid`` and ``test``.

    They are float32, or uint8 where a picture's values are levels; :func:`as_float` makes them
    fit for arithmetic. A subclass sets ``card``, ``Config`` and ``event``, and calls
    :meth:`_split` (or draws its sample itself). ``labels`` are class names; ``train_labels`` …
    are int64 (N,) or None. ``factor_names`` name the columns of ``train_factors`` … (N, F),
    float32. ``dequantised_levels`` is the k of dequantised pictures (x + u)/k.
    """

    card: ClassVar[DatasetCard]
    Config: ClassVar[type]

    event: Event
    train: Tensor
    valid: Tensor
    test: Tensor
    train_labels: Tensor | None = None
    valid_labels: Tensor | None = None
    test_labels: Tensor | None = None
    labels: tuple[str, ...] = ()
    train_factors: Tensor | None = None
    valid_factors: Tensor | None = None
    test_factors: Tensor | None = None
    factor_names: tuple[str, ...] = ()
    dequantised_levels: int | None = None
    notes: tuple[str, ...] = ()
    #: What the numbers are, in words for the screen.
    values: str = ""
    #: Why its observations are not here, as a sentence (see :mod:`engine.absent`); "" if they are.
    absent: str = ""
    #: Whether every batch is drawn anew from ``source`` (dynamic binarisation).
    redraws: bool = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape *E of one observation."""
        return tuple(side for side in self.event.shape if side is not None)

    @property
    def fresh(self) -> bool:
        """Whether training draws fresh points instead of re-using the finite sample."""
        return bool(getattr(self.config, "fresh", False))

    @property
    def source(self) -> Tensor:
        """(N, *E), what a batch is made from: rows of it go through :meth:`redraw`."""
        return self.train

    def redraw(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """A training batch out of rows (B, *E) of ``source``; called only if ``redraws``."""
        return batch

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N draws (N, *E): from the true density, or from the training split with replacement."""

    @classmethod
    def sources(cls, config: Any) -> tuple[RemoteFile, ...]:
        """Files that are fetched where the data folder lacks them; none for embedded data."""
        return ()

    @classmethod
    def class_names(cls, config: Any) -> tuple[str, ...]:
        """Names of the classes, known before anything is fetched."""
        return ()

    @classmethod
    def needs_loading(cls, config: Any) -> bool:
        """Whether :meth:`load` is to be called on a thread of its own before building."""
        return bool(cls.sources(config))

    @classmethod
    def load(cls, config: Any, told: Told = told_nobody, cancelled: Cancelled = never) -> None:
        """Fetch the sources and read them into memory, so that building is quick afterwards.

        Args:
            config: An instance of ``Config``.
            told: Called with what is done and how much there is: bytes fetched, or files read.
            cancelled: Asked now and then.

        Raises:
            ValueError: They cannot be had; the sentence says why.
            DownloadCancelledError: ``cancelled()`` was true.
        """
        fetch_all(cls.sources(config), told=told, cancelled=cancelled)

    @classmethod
    def thumbnail(cls) -> Tensor | None:
        """One picture (H, W) or (3, H, W) of 0 … 1 that is had without building the whole set."""
        return None

    def info(self) -> DatasetInfo:
        """What the window must know of it."""
        low, high = self._box()
        known = isinstance(self, KnownDensity)
        sizes = (0, 0, 0) if self.absent else (len(self.train), len(self.valid), len(self.test))
        return DatasetInfo(
            event=self.event,
            n_train=sizes[0],
            n_valid=sizes[1],
            n_test=sizes[2],
            has_density=known,
            entropy=self.entropy() if isinstance(self, KnownDensity) else None,
            low=tuple(low.tolist()),
            high=tuple(high.tolist()),
            columns=self.event.axes,
            notes=self.notes,
            labels=self.labels,
            values=self.values,
            factors=self.factor_names,
            absent=self.absent,
        )

    def _box(self) -> tuple[Tensor, Tensor]:
        """Low and high ends (D,) of a box with a margin; around all levels where none are here."""
        if self.absent:
            low = torch.zeros(self.event.size, dtype=torch.float64)
            high = torch.full_like(low, float((self.event.levels or 2) - 1))
        else:
            flat = self.train.reshape(self.train.shape[0], -1)
            low, high = flat.amin(0).to(torch.float64), flat.amax(0).to(torch.float64)
        margin = box_margin(low, high)
        return low - margin, high + margin

    def _split(self, points: Tensor, labels: Tensor | None = None) -> None:
        """Cut a shuffled sample (N, *E) into the three splits."""
        sizes = self._split_sizes(len(points))
        self.train, self.valid, self.test = torch.split(points.to(torch.float32), sizes)
        if labels is not None:
            self.train_labels, self.valid_labels, self.test_labels = torch.split(labels, sizes)

    def _split_sizes(self, n: int) -> list[int]:
        """Observations in each split; raises ``ValueError`` where none are left to train on."""
        n_valid = round(n * self.config.valid_fraction)
        n_test = round(n * self.config.test_fraction)
        if n - n_valid - n_test < 1:
            raise ValueError(
                f"valid_fraction and test_fraction: given {self.config.valid_fraction:g} and "
                f"{self.config.test_fraction:g}, which leaves no training data of {n} points; "
                "wanted a sum below 1"
            )
        return [n - n_valid - n_test, n_valid, n_test]

    def _resample(self, n: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.train), (n,), generator=generator)
        return as_float(self.train[chosen])


def as_float(x: Tensor) -> Tensor:
    """Observations fit for arithmetic: level indices become float32, real numbers stay."""
    return x if x.is_floating_point() else x.to(torch.float32)


def box_margin(low: Tensor, high: Tensor) -> Tensor:
    """What a box around [low, high] adds on each side, (D,) each; constants get a little too."""
    size = torch.maximum(low.abs(), high.abs())
    side = high - low
    little = (1e-6 * size).clamp_min(1e-3)
    margin: Tensor = BOX_MARGIN * torch.where(side > SMALLEST_RANGE * size, side, little)
    return margin
