"""What differs between the screen and a file of lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QPen

from widgets.plots.splat import Dots
from widgets.plots.vector import (
    clip_segments,
    clipped_path,
    enlarged_dots,
    enlarged_pen,
    pixel_ratio,
)

VIEW = QRectF(0.0, 0.0, 2.0, 1.0)


def test_segments_are_cut_where_a_fine_walk_along_them_leaves_the_view() -> None:
    rng = np.random.default_rng(0)
    starts, ends = rng.uniform(-2.0, 3.0, (2, 400, 2))
    ends[:40, 0] = starts[:40, 0]
    ends[40:80] = starts[40:80]
    first, last, kept = clip_segments(starts, ends, VIEW)
    shares = np.linspace(0.0, 1.0, 4001)[:, None]
    for index in range(len(starts)):
        walk = starts[index] + shares * (ends[index] - starts[index])
        inside = ((walk >= [0, 0]) & (walk <= [2, 1])).all(1)
        if inside.any():
            assert kept[index]
            length = np.abs(ends[index] - starts[index]).max() / 4000 + 1e-12
            assert np.abs(first[index] - walk[inside][0]).max() <= length
            assert np.abs(last[index] - walk[inside][-1]).max() <= length
        elif kept[index]:
            assert np.abs(first[index] - last[index]).max() < 0.01  # grazes a corner


def test_what_lies_inside_stays_one_line() -> None:
    points = np.array([[0.1, 0.1], [0.5, 0.9], [1.9, 0.5]])
    path = clipped_path(points, np.array([True, True, False]), VIEW)
    assert path.elementCount() == 3
    assert path.elementAt(0).isMoveTo()
    assert not path.elementAt(2).isMoveTo()


def test_a_line_that_leaves_and_comes_back_has_two_parts() -> None:
    points = np.array([[0.5, 0.5], [0.5, 3.0], [1.5, 3.0], [1.5, 0.5]])
    path = clipped_path(points, np.array([True, True, True, False]), VIEW)
    moves = [path.elementAt(i).isMoveTo() for i in range(path.elementCount())]
    assert moves == [True, False, True, False]
    assert path.boundingRect().bottom() == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_painter_knows_its_pixels(qtbot: Any, scale: float) -> None:
    image = QImage(30, 30, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    painter = QPainter(image)
    painter.scale(2.0, 2.0)
    assert pixel_ratio(painter) == pytest.approx(scale)
    painter.end()


def test_pens_and_dots_grow_with_the_picture() -> None:
    pen = QPen(QColor("red"), 1.5)
    assert enlarged_pen(pen, 1.0) is pen
    assert enlarged_pen(pen, 4.0).widthF() == 6.0
    assert enlarged_dots(Dots("#ffffff", 3.0), 2.0).diameter == 6.0
