"""A grey picture as a density in the plane: dark is likely.

Pixel (i, j) of area a_ij gets the mass w_ij = d_ij^γ / Σ d^γ with the darkness d = 1 − grey, so
p(x) = w_ij / a_ij inside it and 0 outside the picture. Hence H = −Σ w_ij log(w_ij / a_ij) exactly.
The longer side spans ±``extent``. Constants: the built-in picture is a spiral galaxy of 96 × 96
pixels, d = (0.08 + 0.92 cos²(θ − 3 log(r + 0.08))) e^{−4 r²} with r = 1 at the edge.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.synthetic import Synthetic
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

Grey: TypeAlias = npt.NDArray[np.uint8]

#: Side of the built-in picture; pictures with more pixels than the last are not opened.
BUILT_IN, MOST_PIXELS = 96, 40_000_000
#: Reach of the blur in standard deviations.
BLUR_REACH = 4.0


class Picture(Synthetic):
    """Piecewise constant on the pixels of a grey picture."""

    card = DatasetCard(
        name="picture",
        title="A picture",
        summary="A picture of your own as a density: dark is likely. Drop a PNG or JPEG here.",
        kind="own",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """The picture, how grey becomes mass, sample and split."""

        path: Annotated[str, Field(help="PNG or JPEG; empty takes the built-in one."), "path"] = ""
        pixels: Annotated[
            str, Field(help="The picture itself: base64 of a grey PNG; goes before path."), "blob"
        ] = ""
        side: Annotated[
            int,
            Field(8, 512, scale="log", help="Pixels of the longer side; larger ones are reduced."),
        ] = 128
        invert: Annotated[bool, Field(help="Bright is likely instead of dark.")] = False
        blur: Annotated[
            float, Field(0.0, 20.0, step=0.5, help="Blur of the picture, in pixels.")
        ] = 0.0
        gamma: Annotated[
            float,
            Field(0.2, 5.0, step=0.1, symbol=r"\gamma", help="Mass = darkness to this power."),
        ] = 1.0
        extent: Annotated[
            float,
            Field(1e-6, 1e6, scale="log", help="Half of the longer side, in units of the data."),
        ] = 4.0

    @classmethod
    def from_embedded(
        cls, config: Any, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
    ) -> Picture:
        """The data set as it was saved within a run's file, whatever became of its own file.

        Raises:
            ValueError: The tensors are not those of :meth:`embedded`.
        """
        grey = tensors.get("grey")
        if grey is None or grey.ndim != 2 or grey.dtype != torch.uint8:
            raise ValueError("the data saved with the run hold no grey picture")
        _REMEMBERED[config.path] = grey.numpy()
        return cls(config)

    def embedded(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The picture as read, from which :meth:`from_embedded` makes the same data set."""
        return {"grey": torch.from_numpy(self._grey.copy())}, {}

    def _build(self) -> None:
        config = self.config
        self._grey = _find(config.path, config.pixels)
        mass = _mass(self._grey, config.side, config.invert, config.blur, config.gamma)
        height, width = mass.shape
        scale = 2.0 * config.extent / max(height, width)
        self._x_edges = _edges(width, scale)
        self._y_edges = _edges(height, scale)
        areas = torch.outer(self._y_edges.diff(), self._x_edges.diff())  # (H, W)
        self._mass = torch.from_numpy(mass)
        self._log_p = self._mass.log() - areas.log()

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32: a pixel by its mass, then a place in it."""
        mass = self._mass.flatten()
        used = mass.nonzero()[:, 0]
        where = torch.rand(n, generator=generator, dtype=torch.float64)
        cell = used[torch.bucketize(where, mass[used].cumsum(0)[:-1], right=True)]
        row, column = cell // len(self._mass[0]), cell % len(self._mass[0])
        share = torch.rand(n, 2, generator=generator)
        sides = zip((self._x_edges, self._y_edges), (column, row), share.T, strict=True)
        return torch.stack([_between(edges, index, u) for edges, index, u in sides], dim=1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats; −inf where the picture is white or ends."""
        points = x.detach().to("cpu", torch.float64)
        column, in_x = _cells(points[:, 0], self._x_edges)
        row, in_y = _cells(points[:, 1], self._y_edges)
        log_p = self._log_p[row, column].masked_fill(~(in_x & in_y), -math.inf)
        return log_p.to(x)

    def entropy(self) -> float:
        """H(p) = −Σ w log p in nats, in closed form."""
        used = self._mass > 0.0
        return -float((self._mass[used] * self._log_p[used]).sum())


#: Pictures that came within a saved run, by the path of the file that they once were.
_REMEMBERED: dict[str, Grey] = {}


def _find(path: str, pixels: str) -> Grey:
    """The picture from its data, its file, the run that it came with, or the built-in one."""
    if pixels:
        try:
            return _read(io.BytesIO(base64.b64decode(pixels, validate=True)), "pixels")
        except binascii.Error:
            raise ValueError("pixels: given text that is no base64, wanted a grey PNG") from None
    if not path:
        return _REMEMBERED.get(path, built_in())
    if not Path(path).is_file():
        if path in _REMEMBERED:
            return _REMEMBERED[path]
        raise ValueError(f"path: given '{path}', which is no file; wanted a PNG or JPEG picture")
    return _read(Path(path), Path(path).name)


def _read(source: Path | io.BytesIO, name: str) -> Grey:
    """Grey values (H, W), 255 is white; transparent is white."""
    try:
        with Image.open(source) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(
                    f"{name} has {picture.width} × {picture.height} pixels; wanted at most "
                    f"{MOST_PIXELS:,} in all"
                )
            return _as_grey(ImageOps.exif_transpose(picture))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is no picture that can be read: {error}") from None


def _as_grey(picture: Image.Image) -> Grey:
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255.0 else 255.0
        return np.clip(np.rint(values * (255.0 / top)), 0, 255).astype(np.uint8)
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        ground = Image.new("RGBA", colours.size, "white")
        picture = Image.alpha_composite(ground, colours)
    return np.asarray(picture.convert("L"), dtype=np.uint8)


@lru_cache(maxsize=1)
def built_in() -> Grey:
    """A spiral galaxy, see the constants above."""
    where = (np.arange(BUILT_IN) + 0.5) * 2.0 / BUILT_IN - 1.0
    x, y = np.meshgrid(where, where)
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    arms = 0.08 + 0.92 * np.cos(angle - 3.0 * np.log(r + 0.08)) ** 2
    dark = arms * np.exp(-4.0 * r**2)
    grey: Grey = np.rint(255.0 * (1.0 - dark)).astype(np.uint8)
    return grey


def _mass(
    grey: Grey, side: int, invert: bool, blur: float, gamma: float
) -> npt.NDArray[np.float64]:
    """Masses (H, W) that sum to 1, the first row at the low end of y.

    Raises:
        ValueError: The picture has no dark pixel.
    """
    shades = _reduced(grey, side)
    dark = shades if invert else 1.0 - shades
    if blur > 0.0:
        dark = _blurred(_blurred(dark, blur).T, blur).T
    weight = np.clip(dark, 0.0, 1.0)[::-1] ** gamma
    total = float(weight.sum())
    if not total > 0.0:
        found, wanted = ("black", "bright") if invert else ("white", "dark")
        raise ValueError(f"the picture is {found} all over; wanted some {wanted} pixels")
    return np.ascontiguousarray(weight / total)


def _reduced(grey: Grey, side: int) -> npt.NDArray[np.float64]:
    """Shades 0 … 1 with at most so many pixels a side, each the mean of those that it covers."""
    height, width = grey.shape
    factor = side / max(height, width)
    picture = Image.fromarray(grey.astype(np.float32) / np.float32(255.0))
    if factor < 1.0:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        picture = picture.resize(size, Image.Resampling.BOX)
    return np.clip(np.asarray(picture, dtype=np.float64), 0.0, 1.0)


def _blurred(dark: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Each column blurred with a Gaussian; the rim counts as repeated."""
    reach = max(1, math.ceil(BLUR_REACH * sigma))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(dark, ((reach, reach), (0, 0)), mode="edge")
    blurred = sum(
        share * padded[shift : shift + len(dark)] for shift, share in enumerate(bell / bell.sum())
    )
    return np.asarray(blurred, dtype=np.float64)


def _edges(n: int, scale: float) -> Tensor:
    """Edges (n + 1,) of pixels around 0, numbers that float32 holds, as float64."""
    edges = (torch.arange(n + 1, dtype=torch.float64) - n / 2) * scale
    return edges.to(torch.float32).to(torch.float64)


def _cells(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel of each coordinate (B,), and whether there is one."""
    inside = (x >= edges[0]) & (x < edges[-1])
    cell = torch.bucketize(x.contiguous(), edges, right=True) - 1
    return cell.clamp(0, len(edges) - 2), inside


def _between(edges: Tensor, cell: Tensor, share: Tensor) -> Tensor:
    """A place in a pixel, float32, never rounded onto its upper edge, which is the next one's."""
    low, high = edges[cell].to(torch.float32), edges[cell + 1].to(torch.float32)
    return torch.minimum(low + share * (high - low), high.nextafter(low))
