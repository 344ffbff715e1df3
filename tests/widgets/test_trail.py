"""Words beside a point on its way: in view, and off what leaves from there."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF, QRectF, QSizeF

from widgets.flow.trail import place_beside

VIEW, SIZE, GAP = QRectF(0, 0, 400, 300), QSizeF(120, 20), 12.0


@pytest.mark.parametrize("way", [(1.0, 0.3), (1.0, -0.3), (-1.0, 0.3), (-1.0, -0.3), (0.1, 1.0)])
def test_words_keep_off_the_way_on(way: tuple[float, float]) -> None:
    spot = QPointF(200, 150)
    area = place_beside(VIEW, spot, SIZE, GAP, way)
    assert VIEW.contains(area)
    for length in range(0, 140, 2):
        there = QPointF(
            spot.x() + length * way[0], spot.y() - length * way[1]
        )  # y of pixels: down
        assert not area.contains(there)


def test_words_stand_on_the_right_unless_there_is_no_room() -> None:
    assert place_beside(VIEW, QPointF(200, 150), SIZE, GAP, None).left() == 212
    assert place_beside(VIEW, QPointF(390, 150), SIZE, GAP, None).right() == 378
    narrow = QRectF(0, 0, 130, 300)
    above = place_beside(narrow, QPointF(60, 150), SIZE, GAP, (1.0, 0.0))
    assert above.bottom() == 138
    assert narrow.contains(above)
