"""What is on the canvas: dabs, or a picture that was imported and not painted on yet."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QColor, QImage, QImageReader, QPainter

from engine.wire.fields import Value
from engine.wire.painting import Dabs, decode_dabs, encode_dabs, first_painting, no_dabs

Floats: TypeAlias = npt.NDArray[Any]

PAINTED, PICTURE = "painted", "picture"
#: Half of the canvas' side; a picture's longer side in pixels, and in dabs once it is painted on.
EXTENT, PICTURE_SIDE, DABS_SIDE = 4.0, 128, 64
#: Pixels fainter than this share of the darkest become no dab.
FAINT = 0.02
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True, eq=False)
class Painting:
    """Dabs (K, 4), or the grey values (H, W, 0 is black, first row at the top) of a picture."""

    dabs: Dabs = field(default_factory=no_dabs)
    grey: npt.NDArray[np.uint8] | None = None
    extent: float = EXTENT

    @property
    def is_empty(self) -> bool:
        """Whether nothing on it weighs anything."""
        if self.grey is not None:
            return bool((self.grey == 255).all())
        return not bool((self.dabs[:, 3] > 0.0).any())

    @property
    def data(self) -> tuple[str, dict[str, Value]]:
        """Name and settings of the data set that is this painting."""
        if self.grey is not None:
            return PICTURE, {"pixels": as_png(self.grey), "extent": self.extent}
        return PAINTED, {"dabs": encode_dabs(self.dabs)}

    def as_dabs(self) -> Painting:
        """The same with every dark place of a picture as one dab, so that it can be painted on."""
        if self.grey is None:
            return self
        return Painting(_dabs_of(_shrunk(self.grey, DABS_SIDE), self.extent))

    def pixels_at(self, x: Floats, y: Floats) -> Floats:
        """p(x) per unit² of the picture at columns x and rows y, (Y, X); 0 outside it."""
        if self.grey is None:
            return np.zeros((len(y), len(x)), np.float32)
        dark = 255.0 - self.grey[::-1].astype(np.float64)
        height, width = dark.shape
        scale = 2.0 * self.extent / max(height, width)
        mass = np.pad(dark / max(dark.sum(), 1e-9) / scale**2, 1)
        column = np.floor(x / scale + width / 2).clip(-1, width).astype(int) + 1
        row = np.floor(y / scale + height / 2).clip(-1, height).astype(int) + 1
        return mass[np.ix_(row, column)].astype(np.float32)


def painting_of(dataset: str, config: Mapping[str, Value]) -> Painting | None:
    """What a run's data show on the canvas; None where they were not painted."""
    if dataset == PAINTED:
        text = config.get("dabs")
        return Painting(decode_dabs(text) if isinstance(text, str) else first_painting())
    pixels, extent = config.get("pixels"), config.get("extent", EXTENT)
    if dataset == PICTURE and isinstance(pixels, str) and pixels:
        image = QImage.fromData(QByteArray.fromBase64(pixels.encode("ascii")))
        size = float(extent) if isinstance(extent, int | float) else EXTENT
        return None if image.isNull() else Painting(grey=_grey_of(image), extent=size)
    return None


def is_picture(path: str) -> bool:
    """Whether a file's ending says that it is a picture."""
    return path.lower().endswith(PICTURE_SUFFIXES)


def read_picture(path: str) -> Painting:
    """A picture file as a density: dark is likely, transparent is white.

    Raises:
        ValueError: The file cannot be read as a picture, or is white all over.
    """
    reader = QImageReader(path)
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    image = reader.read()
    if image.isNull():
        raise ValueError(f"{Path(path).name} cannot be read: {reader.errorString()}")
    painting = Painting(grey=_shrunk(_grey_of(image), PICTURE_SIDE))
    if painting.is_empty:
        raise ValueError(f"{Path(path).name} is white all over; wanted some dark pixels")
    return painting


def as_png(grey: npt.NDArray[np.uint8]) -> str:
    """Grey values (H, W) as the base64 of a PNG, as the data set "picture" takes them."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    _image_of(grey).save(buffer, "PNG")  # type: ignore[call-overload]
    return base64.b64encode(buffer.data().data()).decode("ascii")


def draw_points(dabs: Dabs, n: int, seed: int = 0) -> Floats:
    """N draws (n, 2) of the painted density."""
    random = np.random.default_rng(seed)
    share = dabs[:, 3].astype(np.float64)
    index = random.choice(len(dabs), n, p=share / share.sum())
    return dabs[index, :2] + random.normal(size=(n, 2)) * dabs[index, 2:3]


def save_points(path: str, painting: Painting, n: int) -> None:
    """Write N draws as CSV (columns x, y) or NPZ (arrays ``points`` and ``dabs``).

    Raises:
        ValueError: The canvas is empty, or the file's ending is neither.
    """
    if painting.is_empty:
        raise ValueError("the canvas is empty: there is nothing to save")
    dabs = painting.as_dabs().dabs
    points = draw_points(dabs, n)
    if path.lower().endswith(".npz"):
        np.savez_compressed(path, points=points, dabs=dabs)
    elif path.lower().endswith(".csv"):
        np.savetxt(path, points, delimiter=",", header="x,y", comments="", fmt="%.6g")
    else:
        raise ValueError(f"{Path(path).name}: wanted a name that ends in .csv or .npz")


def _dabs_of(grey: npt.NDArray[np.uint8], extent: float) -> Dabs:
    height, width = grey.shape
    scale = 2.0 * extent / max(height, width)
    dark = (255.0 - grey) / 255.0
    row, column = np.nonzero(dark > FAINT * max(float(dark.max()), 1e-9))
    x, y = (column + 0.5 - width / 2) * scale, (height / 2 - row - 0.5) * scale
    sigma = np.full(len(row), 0.5 * scale)
    return np.stack([x, y, sigma, dark[row, column] * scale**2], axis=1).astype(np.float32)


def _grey_of(image: QImage) -> npt.NDArray[np.uint8]:
    if image.hasAlphaChannel():
        ground = QImage(image.size(), QImage.Format.Format_RGB32)
        ground.fill(QColor("white"))
        painter = QPainter(ground)
        painter.drawImage(0, 0, image)
        painter.end()
        image = ground
    grey = image.convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(grey.constBits(), np.uint8).reshape(grey.height(), grey.bytesPerLine())
    return rows[:, : grey.width()].copy()


def _image_of(grey: npt.NDArray[np.uint8]) -> QImage:
    grey = np.ascontiguousarray(grey)
    height, width = grey.shape
    return QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8).copy()


def _shrunk(grey: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    if max(grey.shape) <= side:
        return grey
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return _grey_of(_image_of(grey).scaled(side, side, keep, smooth))
