"""What there is to see, as files: the tour of a machine without a display, and ``make shots``."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path

from app.files import ASSETS
from app.film import write_film, write_stills
from app.panel_manager import panel_kinds
from app.render import Sitting, easel, save
from app.shell_engine import ShellEngine
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import RunSpec
from widgets.look import PALETTES, Look

SIZES = ((1280, 720), (1920, 1080))
#: Frames of the tour's film: some five seconds of training.
FILM_FRAMES = 16


@dataclass(frozen=True)
class Stop:
    """A run worth showing: trained on the spot, or one that comes with the program.

    ``panels`` are those that it is shown in, and no other run is in the tour; () is all others.
    """

    model: str
    data: str
    steps: int
    config: dict[str, Value] = field(default_factory=dict)
    data_config: dict[str, Value] = field(default_factory=dict)
    file: str = ""
    panels: tuple[str, ...] = ()

    @property
    def spec(self) -> RunSpec:
        """What the engine builds."""
        return RunSpec(self.model, self.data, self.config, self.data_config)


#: In the tour a panel is shown with the first of these that it can serve.
STOPS = (
    Stop("realnvp", "two_moons", 600),
    Stop("gaussian_mixture", "eight_gaussians", 60),
    Stop("vae", "two_rings", 500),
    Stop("ebm", "two_moons", 300),
    Stop("gan", "eight_gaussians", 500),
    Stop("wgan_gp", "eight_gaussians", 400),
    Stop("made", "pinwheel", 400),
    Stop("maf", "checkerboard", 400),
    Stop("ppca", "banana", 30),
    Stop("cnf", "two_moons", 60, panels=("trajectories",)),
    Stop("ebm", "eight_gaussians", 500, panels=("chains",)),
    Stop("fast_ica", "mixed_sounds", 30, panels=("unmix",)),
    Stop(
        "glow", "digits", 120, {"n_layers": 2, "hidden_features": [32]}, panels=("flow_pictures",)
    ),
    Stop("gaussianization", "two_moons", 4, panels=("sweeps",)),
    Stop("rbm", "digits", 600, {"algorithm": "pcd"}, {"levels": 2}, panels=("gibbs",)),
    Stop("nsf", "two_components_1d", 200, panels=("equal_areas",)),
    Stop("gated_pixelcnn", "digits", 900, file="digits", panels=("pixels",)),
)


def run_tour(path: str | None = None, folder: Path = Path("tour")) -> int:
    """Render every panel and a film of the window into a folder; returns the exit code.

    Args:
        path: A saved run to show, or None for runs trained on the spot.
        folder: Where the pictures go; it keeps itself out of version control.
    """
    make_folder(folder)
    with easel(Look(PALETTES["dark"])):
        write_film(folder / "tour.gif", FILM_FRAMES)
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
    """Every panel with every model it can serve, and the window, in both themes and two sizes."""
    make_folder(folder)
    look = Look(PALETTES["dark"])
    with ShellEngine() as engine, easel(look):
        sitting = Sitting(engine, look)
        for stop in STOPS:
            _begin(sitting, stop)
            _shoot(sitting, look, folder, stop)
    write_stills(folder, SIZES)
    _say(f"{len(list(folder.glob('*.png')))} pictures are in {folder}/")
    return 0


def _begin(sitting: Sitting, stop: Stop) -> None:
    if stop.file:
        sitting.open(str(ASSETS / "pretrained" / f"{stop.file}.safetensors"))
    else:
        sitting.start(stop.spec)
        sitting.train(stop.steps)


def make_folder(folder: Path) -> None:
    """A folder for products, which version control ignores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _show_stops(sitting: Sitting, folder: Path) -> None:
    left = set(panel_kinds())
    for stop in STOPS:
        if not left & set(_panels_for(sitting.card(stop.model), stop)):
            continue  # not trained for nothing
        _begin(sitting, stop)
        for name in left & set(_serving(sitting, stop)):
            save(sitting.picture(name, SIZES[0]), folder / f"{name}.png")
            left.discard(name)


def _serving(sitting: Sitting, stop: Stop | None = None) -> list[str]:
    """Names of the panels that can serve the run in hand, of those that are its own."""
    return _panels_for(sitting.run.card, stop)


def _panels_for(card: ModelCard, stop: Stop | None) -> list[str]:
    taken = {name for other in STOPS for name in other.panels}
    names = [name for name, kind in panel_kinds().items() if not kind.refusal(card)]
    if stop is None:
        return names
    return [n for n in names if (n in stop.panels if stop.panels else n not in taken)]


def _shoot(sitting: Sitting, look: Look, folder: Path, stop: Stop) -> None:
    """The run in hand in every panel that serves it, in every theme and size."""
    for theme, palette in PALETTES.items():
        look.set(palette=palette)
        with easel(look):
            for name, size in itertools.product(_serving(sitting, stop), SIZES):
                file = folder / f"{name}-{stop.model}-{theme}-{size[0]}x{size[1]}.png"
                save(sitting.picture(name, size), file)


def _say(sentence: str) -> None:
    sys.stderr.write(f"genscope: {sentence}\n")
