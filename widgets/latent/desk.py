"""What all modes of the latent panel share: the encodings, the plane, the chosen point."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.panel import Question
from widgets.pixels.cells import Cells
from widgets.plots.colours import part_colour, rgb, table
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

#: Observations encoded at rest, and while a run trains or is scrubbed.
N_REST, N_LIVE = 60_000, 2000
#: So long after its last move a z counts as dragged.
HOLD_SECONDS = 0.4
PROJECTIONS = ("axes", "pca", "3d")
#: The view holds this share of the points at first, and at least so many prior deviations.
MIDDLE, LEAST_REACH = 0.995, 3.2
#: Decimals to which a centre is rounded, so that rounding noise asks nothing anew.
DECIMALS = 7


class Desk(QObject):
    """The run, its latents and where its data lie; which plane is looked at; what is chosen.

    Signals:
        arrived: Other encodings are there.
        changed: Plane, colours or latent are others: everything asks again.
        moved: Another z is chosen.
        picked: Another observation is chosen, or none.
    """

    arrived = Signal()
    changed = Signal()
    moved = Signal()
    picked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.projection, self.axes, self.colour_by = "axes", (0, 1), ""
        self._moved_at, self._fine = -HOLD_SECONDS, True
        self.open(None)

    # --- run ----------------------------------------------------------------------------------

    def open(self, info: RunInfo | None) -> None:
        """Another run: its encodings are yet to come."""
        self.info = info
        self.cells = None if info is None else Cells.of(info)
        self.latent = ""
        self.values: dict[str, Value] = {}
        self.means: Floats = np.zeros((0, 0), np.float32)
        self.deviations: Floats = np.zeros((0, 0), np.float32)
        self.labels: Floats | None = None
        self.factors: Floats | None = None
        self.indices: Floats = np.zeros(0, np.int32)
        self.step = 0
        self.z: Floats | None = None
        self.index: int | None = None
        self._components: Floats | None = None

    @property
    def decodes_to_draws(self) -> bool:
        """Whether the decoder has no mean that can be computed, so that one draw stands for it."""
        return self.info is not None and "common_draw" in self.info.card.features

    @property
    def decoded_words(self) -> str:
        """What stands for a z in pictures: the decoder's mean, or where it has none one draw."""
        drawn = "x ~ p(x | z), the same noise for every z"
        return drawn if self.decodes_to_draws else "E p(x | z)"

    @property
    def encodes(self) -> bool:
        """Whether the model has an encoder."""
        return self.info is not None and Capability.ENCODING in self.info.card.capabilities

    @property
    def size(self) -> int:
        """Z, the values of the latent that is looked at; 0 while it is not known."""
        names, sizes = self.values.get("names"), self.values.get("sizes")
        name = self.values.get("latent")
        if not isinstance(names, list) or not isinstance(sizes, list) or name not in names:
            return 0
        return int(sizes[names.index(name)])

    @property
    def kind(self) -> str:
        """``"real"``, ``"binary"`` or ``"category"``; "" while it is not known."""
        names, kinds = self.values.get("names"), self.values.get("kinds")
        name = self.values.get("latent")
        if not isinstance(names, list) or not isinstance(kinds, list) or name not in names:
            return ""
        return str(kinds[names.index(name)])

    @property
    def names(self) -> tuple[str, ...]:
        """All latents, in ancestral order."""
        names = self.values.get("names")
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @property
    def is_real(self) -> bool:
        """Whether there is a plane to look at."""
        return self.kind == "real" and self.size > 0

    # --- asking -------------------------------------------------------------------------------

    def encodings_question(self, *, rest: bool) -> Question:
        """Where the data lie."""
        fine = self.is_fine(rest=rest)
        wanted: dict[str, Value] = {"n": N_REST if fine else N_LIVE, "latent": self.latent}
        return Question("latent_encodings", wanted, live=not self.holds)

    def is_fine(self, *, rest: bool) -> bool:
        """Whether detail is wanted; while a z is dragged what was asked last stays as it is."""
        if rest or not self.holds:
            self._fine = rest
        return self._fine

    @property
    def holds(self) -> bool:
        """Whether a z is being dragged: all else waits until it has come to rest."""
        return time.monotonic() - self._moved_at < HOLD_SECONDS

    def hold(self) -> None:
        """A z was moved just now."""
        self._moved_at = time.monotonic()

    def plane_arrays(self) -> dict[str, Floats]:
        """The plane as probes take it."""
        centre, basis = self.plane()
        return {"centre": centre, "basis": basis}

    def take(self, answer: Answer) -> None:
        """Take in the encodings."""
        before = (self.values.get("latent"), self.size)
        self.values = dict(answer.values)
        arrays, size = answer.arrays, self.size
        means = np.asarray(arrays.get("means", np.zeros((0, size), np.float32)))
        if means.ndim != 2 or means.shape[1] != size:
            means = np.zeros((0, size), np.float32)
        finite = np.isfinite(means).all(1)
        self.means, self.step = means[finite], answer.step
        known = {name: array[finite] for name, array in arrays.items()
                 if len(array) == len(finite)}  # fmt: skip
        self.labels, self.factors = known.get("labels"), known.get("factors")
        self.deviations = known.get("deviations", np.zeros((0, size), np.float32))
        self.indices = known.get("indices", np.zeros(0, np.int32))
        self._components = None
        if (self.values.get("latent"), size) != before:
            self._begin(size)
        self.arrived.emit()

    def _begin(self, size: int) -> None:
        """Another latent: start at its first two axes."""
        self.axes = self.axes if max(self.axes) < size else (0, min(1, max(size - 1, 0)))
        if self.z is None or len(self.z) != size:
            self.z, self.index = np.zeros(size), None
        self.moved.emit()

    # --- the plane ----------------------------------------------------------------------------

    @property
    def dims(self) -> int:
        """Drawn coordinates: 1 or 2."""
        return min(self.size, 2)

    @property
    def is_flat(self) -> bool:
        """Whether the plane is all of the latent."""
        return self.size <= 2

    def plane(self) -> tuple[Floats, Floats]:
        """Centre (Z,) and orthonormal rows (d, Z)."""
        size = self.size
        if self.is_flat:
            return np.zeros(size), np.eye(size)
        if self.projection == "pca":
            return self.components()
        basis = np.eye(size)[list(self.axes)]
        centre = np.zeros(size) if self.z is None else np.array(self.z, np.float64)
        return np.round(centre - (centre @ basis.T) @ basis, DECIMALS), basis

    def components(self, n: int = 2) -> tuple[Floats, Floats]:
        """Mean of the encodings and their leading principal directions, signs fixed."""
        if self._components is None:
            self._components = _principal(self.means, self.size)
        basis = self._components[1 : n + 1]
        centre = self._components[0]
        if self.z is not None and n == 2:
            away = self.z - centre
            centre = centre + away - (away @ basis.T) @ basis
        return np.round(centre, DECIMALS), basis

    def project(self, z: Floats) -> Floats:
        """(…, Z) → (…, d)."""
        centre, basis = self.plane()
        return np.asarray((z - centre) @ basis.T)

    def lift(self, place: Floats) -> Floats:
        """(d,) → (Z,), the coordinates off the plane as the chosen z has them."""
        centre, basis = self.plane()
        return np.asarray(centre + np.asarray(place)[: len(basis)] @ basis)

    def axis_names(self) -> tuple[str, str]:
        """What stands at the axes."""
        name = str(self.values.get("latent") or "z")
        if self.size == 1:
            return name, "density of z"
        if not self.is_flat and self.projection == "pca":
            return f"{name}, component 1", f"{name}, component 2"
        x, y = self.axes if not self.is_flat else (0, 1)
        return f"{name}{subscript(x)}", f"{name}{subscript(y)}"

    def home(self) -> Box:
        """A box that holds nearly all encodings, and the prior's middle."""
        low, high = np.full(2, -LEAST_REACH), np.full(2, LEAST_REACH)
        if len(self.means):
            places = self.project(self.means)
            ends = np.quantile(places, [1 - MIDDLE, MIDDLE], axis=0)
            margin = 0.1 * (ends[1] - ends[0])
            d = places.shape[1]
            low[:d] = np.minimum(low[:d], ends[0] - margin)
            high[:d] = np.maximum(high[:d], ends[1] + margin)
        return Box((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))

    # --- what is chosen -----------------------------------------------------------------------

    def set(self, **values: Any) -> None:
        """Change projection, axes, colours or latent."""
        before = [getattr(self, name) for name in values]
        for name, value in values.items():
            setattr(self, name, value)
        if before != list(values.values()):
            self.changed.emit()

    def move(self, z: Floats | None, index: int | None = None) -> None:
        """Choose a z, maybe that of an observation."""
        self.hold()
        self.z = None if z is None else np.asarray(z, np.float64)
        if index != self.index:
            self.index = index
            self.picked.emit()
        self.moved.emit()

    def place_of(self, index: int) -> int | None:
        """Where an observation stands among the encodings, by its number in the data."""
        found = np.flatnonzero(self.indices == index)
        return int(found[0]) if len(found) else None

    def label_words(self, label: int) -> str:
        """A class by name."""
        names = self.info.data.labels if self.info is not None else ()
        return names[label] if 0 <= label < len(names) else (f"{label}" if label >= 0 else "")

    def colourings(self) -> tuple[tuple[str, str], ...]:
        """What points can be coloured by: words and names."""
        labelled = self.labels is not None and bool((self.labels >= 0).any())
        found = [("label", "label")] if labelled else []
        if self.factors is not None and self.info is not None:
            found += [(name, f"factor {i}") for i, name in enumerate(self.info.data.factors)]
        return (*found, ("position", "position"), ("one colour", "none"))

    @property
    def colouring(self) -> str:
        """By what points are coloured now; "none" where they are not."""
        if not len(self.means) or self.values.get("kind") == "prior":
            return "none"
        known = [name for _, name in self.colourings()]
        return self.colour_by if self.colour_by in known else known[0]

    def colours(self, *, dark: bool) -> Floats | None:
        """(N, 3) bytes, or None for one colour."""
        by = self.colouring
        if by == "none":
            return None
        if by == "label" and self.labels is not None:
            parts = np.array([rgb(part_colour(k, dark=dark)) for k in range(12)], np.uint8)
            return np.asarray(parts[np.maximum(self.labels, 0) % 12])
        if by.startswith("factor") and self.factors is not None:
            column = self.factors[:, min(int(by.split()[1]), self.factors.shape[1] - 1)]
            return shades_of(column)
        return _wheel(self.project(self.means))

    # --- layout file --------------------------------------------------------------------------

    def save(self) -> dict[str, Value]:
        """The settings, for the layout file."""
        return {"projection": self.projection, "axes": list(self.axes), "colour": self.colour_by}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        if state.get("projection") in PROJECTIONS:
            self.projection = str(state["projection"])
        axes = state.get("axes")
        if isinstance(axes, list) and len(axes) == 2 and all(type(a) is int for a in axes):
            x, y = (int(a) for a in axes)
            self.axes = (x, y) if min(x, y) >= 0 and x != y else self.axes
        if isinstance(state.get("colour"), str):
            self.colour_by = str(state["colour"])


def subscript(index: int) -> str:
    """The number of a coordinate, counted from 1, as a subscript."""
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(index + 1))


def _principal(means: Floats, size: int) -> Floats:
    """(1 + n, Z): the mean, then up to three leading directions."""
    if len(means) < 2:
        return np.concatenate([np.zeros((1, size)), np.eye(size)[:3]])
    mean = means.mean(0, dtype=np.float64)
    away = means.astype(np.float64) - mean
    _, vectors = np.linalg.eigh(away.T @ away)
    leading = vectors[:, ::-1][:, :3].T
    largest = np.take_along_axis(leading, np.abs(leading).argmax(1)[:, None], 1)
    found: Floats = np.concatenate([mean[None], leading * np.sign(largest)])
    return found


def shades_of(values: Floats) -> Floats:
    """Low to high through an even map."""
    low, high = float(np.min(values)), float(np.max(values))
    level = np.clip(255 * (values - low) / max(high - low, 1e-30), 0, 255).astype(np.int64)
    packed = table("viridis")[level]
    return np.stack([(packed >> shift) & 0xFF for shift in (16, 8, 0)], 1).astype(np.uint8)


def _wheel(places: Floats) -> Floats:
    """A hue per direction from the middle, fainter towards it."""
    away = places - np.median(places, 0)
    angle = np.arctan2(away[:, -1], away[:, 0]) if places.shape[1] > 1 else away[:, 0]
    reach = np.clip(np.linalg.norm(away, axis=1) / max(float(np.std(away)) * 2, 1e-9), 0, 1)
    phases = np.array([0.0, 2.1, 4.2])
    shade = 0.62 + 0.34 * reach[:, None] * np.cos(angle[:, None] - phases)
    return np.asarray(255 * np.clip(shade, 0, 1), np.uint8)
