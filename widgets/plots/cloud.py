"""A rotating cloud of points in three dimensions, by vispy; without OpenGL there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QTimer
from PySide6.QtGui import QHideEvent, QOffscreenSurface, QOpenGLContext, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.look import Look

Floats: TypeAlias = npt.NDArray[Any]

#: More points than this turn too slowly where software draws them.
MOST_POINTS = 4000
#: Milliseconds between two turns, and degrees a turn.
TURN_MS, TURN = 50, 0.7
DOT = 5.0


@lru_cache(maxsize=1)
def has_opengl() -> bool:
    """Whether this platform draws with OpenGL; the off-screen one does not."""
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    if not context.create() or not context.makeCurrent(surface):
        return False
    context.doneCurrent()
    return True


class Cloud(QWidget):
    """Points with named axes; drag to turn, wheel to come nearer; it turns by itself.

    Only to be made where :func:`has_opengl` is true.
    """

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        from vispy import app, scene

        app.use_app("pyside6")
        self._look = look
        self._canvas = scene.SceneCanvas(keys=None, show=False)
        view = self._canvas.central_widget.add_view()
        view.camera = scene.TurntableCamera(fov=35, distance=11, elevation=18, azimuth=30)
        self._camera = view.camera
        self._points = scene.visuals.Markers(parent=view.scene)
        self._points.visible = False
        self._axes = scene.visuals.Line(connect="segments", parent=view.scene)
        self._ends = [scene.visuals.Text("", parent=view.scene, font_size=10) for _ in range(3)]
        self.count = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas.native)
        self._canvas.events.mouse_press.connect(lambda _: self.set_turning(on=False))
        self._timer = QTimer(self)
        self._timer.setInterval(TURN_MS)
        self._timer.timeout.connect(self.turn)
        self._turns = True
        self.restyle()

    @property
    def azimuth(self) -> float:
        """Where it is looked at from, in degrees."""
        return float(self._camera.azimuth)

    def set_points(self, points: Floats, colours: Floats | None) -> None:
        """Show points (N, 3), coloured by (N, 3) bytes; of very many evenly chosen ones."""
        every = max(1, -(-len(points) // MOST_POINTS))
        points = np.ascontiguousarray(points[::every], np.float32)
        self.count = len(points)
        self._points.visible = self.count > 0
        if not self.count:
            return
        shade: Any = self._look.palette.data
        if colours is not None:
            shade = np.concatenate([colours[::every] / 255.0, np.ones((self.count, 1))], 1)
        self._points.set_data(points, face_color=shade, edge_color=shade, size=DOT, edge_width=0)
        self._canvas.update()

    def set_names(self, names: tuple[str, ...], reach: float) -> None:
        """Name the axes, which reach so far."""
        ends = np.eye(3) * reach
        self._axes.set_data(np.concatenate([-ends, ends], 1).reshape(6, 3))
        for text, name, end in zip(self._ends, names, ends * 1.08, strict=True):
            text.text, text.pos = name, end
        self._camera.distance = 4.2 * reach

    def set_turning(self, *, on: bool) -> None:
        """Turn by itself, or stay."""
        self._turns = on
        if on and self.isVisible():
            self._timer.start()
        else:
            self._timer.stop()

    def turn(self) -> None:
        """A little further."""
        self._camera.azimuth += TURN

    def restyle(self) -> None:
        """Take colours from the look."""
        palette = self._look.palette
        self._canvas.bgcolor = palette.panel
        self._axes.set_data(color=palette.muted)
        for text in self._ends:
            text.color, text.font_size = palette.text, 10 * self._look.scale
        self._canvas.update()

    def close_canvas(self) -> None:
        """Let the drawing go."""
        self._timer.stop()
        self._canvas.close()

    def showEvent(self, event: QShowEvent) -> None:
        """Turn while it is seen."""
        super().showEvent(event)
        self.set_turning(on=self._turns)

    def hideEvent(self, event: QHideEvent) -> None:
        """Stand still while nobody looks."""
        self._timer.stop()
        super().hideEvent(event)
