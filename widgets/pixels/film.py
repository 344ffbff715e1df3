"""Pictures that grow, kept as they arrive: any moment of the drawing can be shown again."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer

Floats: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Film:
    """N pictures of D values in the order of their drawing; pieces fill it from the start.

    Attributes:
        order: (D,) flat indices in the order of drawing.
        values: (N, D) by flat index; only those drawn so far mean anything.
        entropies, log_probs: (N, D) by flat index, nats.
        probabilities: (D, levels) of the watched picture by flat index, or None.
        unseen: (D,) known values that were kept, but that no drawing took notice of.
        n: How many values have arrived.
        step: Training step of the weights that drew it.
        labels: The pictures' classes, or ().
        exact: Whether the log-probabilities add up to the model's own log p.
    """

    def __init__(self, first: Answer) -> None:
        self.order = first.arrays["order"].astype(np.int64)
        size, n = len(self.order), len(first.arrays["values"])
        self.values = np.zeros((n, size), np.float32)
        self.entropies = np.full((n, size), np.nan, np.float32)
        self.log_probs = np.full((n, size), np.nan, np.float32)
        self.unseen: Mask = first.arrays["unseen"].astype(bool)
        rows = first.arrays.get("probabilities")
        self.probabilities = None if rows is None else np.zeros((size, rows.shape[1]), np.float32)
        self.n = 0
        self.step = first.step
        labels = first.values.get("labels")
        self.labels = tuple(int(k) for k in labels) if isinstance(labels, list) else ()
        self.exact = bool(first.values.get("exact"))
        self.take(first)

    @property
    def size(self) -> int:
        """D."""
        return len(self.order)

    @property
    def n_pictures(self) -> int:
        """N."""
        return len(self.values)

    @property
    def is_whole(self) -> bool:
        """Whether every value has arrived."""
        return self.n >= self.size

    def take(self, piece: Answer) -> None:
        """Put a piece in its place."""
        arrays = piece.arrays
        if "indices" not in arrays:
            return
        where = arrays["indices"].astype(np.int64)
        self.values[:, where] = arrays["values"]
        self.entropies[:, where] = arrays["entropies"]
        self.log_probs[:, where] = arrays["log_probs"]
        if self.probabilities is not None and "probabilities" in arrays:
            self.probabilities[where] = arrays["probabilities"]
        self.n = max(self.n, int(piece.values["start"] or 0) + len(where))  # type: ignore[arg-type]

    def drawn(self, place: int) -> Mask:
        """(D,) the values that are there when ``place`` of them have been drawn."""
        mask = np.zeros(self.size, dtype=bool)
        mask[self.order[: min(place, self.n)]] = True
        return mask

    def index_at(self, place: int) -> int:
        """The flat index of the value drawn at a place of the order."""
        return int(self.order[min(max(place, 0), self.size - 1)])

    def place_of(self, index: int) -> int:
        """The place in the order at which a value is drawn."""
        return int(np.flatnonzero(self.order == index)[0])

    def log_prob(self, picture: int, place: int) -> float:
        """Σ log p of the values drawn so far, nats."""
        return float(self.log_probs[picture, self.order[: min(place, self.n)]].sum())


class Reel:
    """The film that is shown, and the next one while it arrives.

    A new film (of newer weights, or of other settings) takes over as soon as it has reached the
    place that is looked at, so that a picture never goes blank and never mixes two films.
    """

    def __init__(self) -> None:
        self.shown: Film | None = None
        self._coming: Film | None = None

    def clear(self) -> None:
        """Forget both."""
        self.shown = self._coming = None

    def take(self, piece: Answer, place: int) -> bool:
        """Take a piece in; True when it can be seen at ``place``."""
        if "order" in piece.arrays:
            self._coming = Film(piece)
        elif self._coming is not None:
            self._coming.take(piece)
        coming = self._coming
        if coming is None:
            return self.shown is not None
        if self.shown is None or coming.n >= min(place, coming.size) or coming.is_whole:
            self.shown = coming
        return self.shown is coming
