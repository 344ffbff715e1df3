"""What there is to see, as files: the tour of a machine without a display, and ``make shots``."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from PySide6.QtGui import QImage

from app.panel_manager import panel_kinds
from app.render import Sitting, dispose, easel, grab, save, side_by_side
from app.shell_engine import ShellEngine
from engine.wire.fields import Value
from engine.wire.messages import RunSpec
from widgets.look import PALETTES, Look

SIZES = ((1280, 720), (1920, 1080))
#: The animated picture: panels side by side with their sizes, steps shown, milliseconds a frame.
FRAME_PANELS = (("density", (600, 500)), ("training", (400, 500)))
FRAME_STEPS = (0, 4, 8, 14, 20, 28, 38, 50, 64, 80, 100, 125, 155, 190, 230, 280, 340, 410, 500)
FRAME_MS = 150
LAST_FRAME_MS = 2000


@dataclass(frozen=True)
class Stop:
    """A run worth showing."""

    model: str
    data: str
    steps: int
    config: dict[str, Value] = field(default_factory=dict)

    @property
    def spec(self) -> RunSpec:
        """What the engine builds."""
        return RunSpec(self.model, self.data, self.config)


#: In the tour a panel is shown with the first of these that it can serve.
STOPS = (
    Stop("realnvp", "two_moons", FRAME_STEPS[-1]),
    Stop("gaussian_mixture", "eight_gaussians", 60),
    Stop("vae", "two_rings", 500),
    Stop("ebm", "two_moons", 300),
    Stop("gan", "eight_gaussians", 500),
    Stop("wgan_gp", "eight_gaussians", 400),
    Stop("made", "pinwheel", 400),
    Stop("maf", "checkerboard", 400),
    Stop("ppca", "banana", 30),
)


def run_tour(path: str | None = None, folder: Path = Path("tour")) -> int:
    """Render every panel and one animated picture into a folder; returns the exit code.

    Args:
        path: A saved run to show, or None for runs trained on the spot.
        folder: Where the pictures go; it keeps itself out of version control.
    """
    _say(f"there is no display: every panel is rendered into {folder}/ instead")
    make_folder(folder)
    with ShellEngine() as engine, easel(Look(PALETTES["dark"])) as look:
        sitting = Sitting(engine, look)
        if path is None:
            _show_stops(sitting, folder)
        else:
            sitting.open(path)
            for name in _serving(sitting):
                save(sitting.picture(name, SIZES[0]), folder / f"{name}.png")
    _say(f"{len(list(folder.glob('*.png')))} panels are in {folder}/")
    return 0


def run_shots(folder: Path = Path("shots")) -> int:
    """Every panel with every model it can serve, in both themes and two sizes."""
    make_folder(folder)
    look = Look(PALETTES["dark"])
    with ShellEngine() as engine, easel(look):
        sitting = Sitting(engine, look)
        for stop in STOPS:
            sitting.start(stop.spec)
            sitting.train(stop.steps)
            _shoot(sitting, look, folder, stop.model)
    _say(f"{len(list(folder.glob('*.png')))} pictures are in {folder}/")
    return 0


def make_folder(folder: Path) -> None:
    """A folder for products, which version control ignores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def write_animation(frames: list[QImage], out: Path) -> None:
    """Pictures as one endless GIF; the last one stays a while."""
    pictures = [_pillow(frame).quantize(255, dither=Image.Dither.NONE) for frame in frames]
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    pictures[0].save(out, save_all=True, append_images=pictures[1:], duration=times, loop=0)


def _show_stops(sitting: Sitting, folder: Path) -> None:
    left = set(panel_kinds())
    for stop in STOPS:
        if not left:
            return
        sitting.start(stop.spec)
        if stop is STOPS[0]:
            write_animation(_frames(sitting), folder / "tour.gif")
        else:
            sitting.train(stop.steps)
        for name in left & set(_serving(sitting)):
            save(sitting.picture(name, SIZES[0]), folder / f"{name}.png")
            left.discard(name)


def _frames(sitting: Sitting) -> list[QImage]:
    panels = [sitting.panel(name, size) for name, size in FRAME_PANELS if name in panel_kinds()]
    frames = []
    for step in FRAME_STEPS:
        sitting.train(step)
        for panel in panels:
            sitting.refresh(panel)
        frames.append(side_by_side([grab(panel) for panel in panels]))
    for panel in panels:
        dispose(panel)
    return frames


def _serving(sitting: Sitting) -> list[str]:
    """Names of the panels that can serve the run in hand."""
    card = sitting.run.card
    return [name for name, kind in panel_kinds().items() if not kind.refusal(card)]


def _shoot(sitting: Sitting, look: Look, folder: Path, model: str) -> None:
    """The run in hand in every panel that serves it, in every theme and size."""
    for theme, palette in PALETTES.items():
        look.set(palette=palette)
        with easel(look):
            for name, size in itertools.product(_serving(sitting), SIZES):
                file = folder / f"{name}-{model}-{theme}-{size[0]}x{size[1]}.png"
                save(sitting.picture(name, size), file)


def _pillow(frame: QImage) -> Image.Image:
    image = frame.convertToFormat(QImage.Format.Format_RGB888)
    data = bytes(image.constBits())
    size = (image.width(), image.height())
    return Image.frombuffer("RGB", size, data, "raw", "RGB", image.bytesPerLine(), 1)


def _say(sentence: str) -> None:
    sys.stderr.write(f"genscope: {sentence}\n")
