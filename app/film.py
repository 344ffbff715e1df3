"""The real window at work, as an animated picture: for the tour and for the README."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QImage

from app.bootstrap import make_window, start_engine
from app.main_window import MainWindow
from app.render import quiet_qt, save
from app.run_view import RunView
from engine.wire.messages import RunSpec
from widgets.look import PALETTES

#: What is filmed, and at which size; the picture is made smaller afterwards.
SPEC = RunSpec("realnvp", "two_moons", {"n_layers": 8, "hidden_features": [64, 64]})
SIZE = (1280, 720)
WIDTH = 960
#: Seconds of training between two frames grow by this factor, since learning slows down.
FIRST_GAP, GROWTH, N_FRAMES = 0.12, 1.13, 26
FRAME_MS, LAST_FRAME_MS = 170, 2500
COLOURS = 192
START_SECONDS = 60.0
STILL_SECONDS = 6.0


def write_film(out: Path, n_frames: int = N_FRAMES) -> None:
    """Train a run in a window that needs no display and write what is seen as a GIF.

    Args:
        out: The file.
        n_frames: Pictures; each shows more training than the one before.

    Raises:
        TimeoutError: The engine did not start.
    """
    with _open_window() as window:
        frames = _frames(window, n_frames)
    write_animation(frames, out)


def write_stills(folder: Path, sizes: Iterable[tuple[int, int]]) -> None:
    """The whole window after a while of training, in both themes and several sizes.

    Raises:
        TimeoutError: The engine did not start.
    """
    with _open_window() as window:
        view = _begin(window)
        window.session.play(view)
        _pump(STILL_SECONDS)
        for theme, size in itertools.product(PALETTES, sizes):
            window.look.set(palette=PALETTES[theme])
            window.resize(*size)
            _pump(1.0)
            save(window.grab().toImage(), folder / f"window-{theme}-{size[0]}x{size[1]}.png")


@contextmanager
def _open_window() -> Iterator[MainWindow]:
    """A window with the first layout, whatever the user's own settings say."""
    with tempfile.TemporaryDirectory() as folder, quiet_qt():
        keyframes = Path(folder)
        application, window = make_window(start_engine(keyframes), lambda: start_engine(keyframes))
        window.look.set(palette=PALETTES["dark"], scale=1.0)
        window.reset_layout()
        try:
            yield window
        finally:
            window.close()
            window.link.stop()
            application.processEvents()


def write_animation(frames: list[QImage], out: Path) -> None:
    """Pictures as one endless GIF; the last one stays a while."""
    small = [_small(frame) for frame in frames]
    palette = _shared_palette([small[0], small[len(small) // 3], small[-1]])
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in small]
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    pictures[0].save(
        out, save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True
    )


def _begin(window: MainWindow) -> RunView:
    """A run at step 0 whose density is on the screen."""
    window.resize(*SIZE)
    window.show()
    pictured: list[object] = []
    window.first_density.connect(lambda: pictured.append(True))
    view = window.session.start(SPEC, playing=False)
    for _ in range(round(START_SECONDS / 0.05)):
        if pictured:
            break
        _pump(0.05)
    else:
        raise TimeoutError(f"no picture came within {START_SECONDS:.0f} s")
    _pump(0.6)
    return view


def _frames(window: MainWindow, n_frames: int) -> list[QImage]:
    view = _begin(window)
    frames = [window.grab().toImage()]
    window.session.play(view)
    for index in range(n_frames - 1):
        _pump(FIRST_GAP * GROWTH**index)
        frames.append(window.grab().toImage())
    return frames


def _pump(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def _shared_palette(pictures: list[Image.Image]) -> Image.Image:
    """One palette for all frames: what does not move then costs nothing."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (0, index * height))
    return sheet.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)


def _small(frame: QImage) -> Image.Image:
    image = frame.convertToFormat(QImage.Format.Format_RGB888)
    size = (image.width(), image.height())
    data = bytes(image.constBits())
    picture = Image.frombuffer("RGB", size, data, "raw", "RGB", image.bytesPerLine(), 1)
    height = round(size[1] * WIDTH / size[0])
    return picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
