"""``render`` and ``script``: a panel of a saved run as a file, and a saved run as a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import typer

from app.export_arrays import write_npz
from app.export_pictures import WRITERS, ExportError, check_scale, picture, write_png
from app.export_script import script_title, write_script
from app.film_files import FILES
from app.filming import film
from app.reel import LEAST_FRAMES, Scene, check_frames
from app.render import Sitting, easel, find_panel
from app.shell_engine import ShellEngine, ShellError, to_json
from app.shell_inputs import readable_file, writable_file
from engine.wire.messages import Recall, RunState, TellRecipe
from engine.wire.recipe import Recipe
from widgets.look import PALETTES, Look
from widgets.panel import Panel

ENDINGS = (".png", *WRITERS, ".npz", *FILES)
#: Draws that must agree before a run that was trained anew counts as the same one.
N_DRAWS = 256


@dataclass(frozen=True)
class Wish:
    """What is to be rendered.

    Attributes:
        panel: A panel's name.
        file: A saved run.
        out: Where to; the ending says what.
        size: Width and height in pixels.
        theme: ``"dark"`` or ``"light"``.
        scale: Pixels of the picture for each of ``size``.
        step: A training step, or None for the file's own.
        frames: Of a film.
        seconds: Length of a film; None gives each frame a tenth of a second.
    """

    panel: str
    file: Path
    out: Path
    size: tuple[int, int] = (1280, 720)
    theme: str = "dark"
    scale: float = 1.0
    step: int | None = None
    frames: int = 60
    seconds: float | None = None


def render(wish: Wish, *, json: bool) -> None:
    """Draw one panel of a saved run into a picture, its numbers or a film.

    Raises:
        ShellError: Something about the wish is wrong; the sentence says what.
    """
    writable_file(wish.out, ENDINGS)
    path = readable_file(wish.file)
    if wish.theme not in PALETTES:
        raise ShellError(f"--theme: given '{wish.theme}', wanted {' or '.join(PALETTES)}")
    find_panel(wish.panel)
    with told():
        check_scale(wish.scale)
        check_frames(wish.frames)
    with told(), ShellEngine() as engine, easel(Look(PALETTES[wish.theme])) as look:
        sitting = Sitting(engine, look)
        sitting.open(path)
        words = _render(sitting, engine, wish)
    if json:
        about = {"panel": wish.panel, "file": str(wish.file), "out": str(wish.out)}
        typer.echo(to_json({**about, **words}))
    else:
        told_words = ", ".join(f"{name} {value}" for name, value in words.items())
        typer.echo(f"{wish.out}: {wish.panel}, {told_words}")


def _render(sitting: Sitting, engine: ShellEngine, wish: Wish) -> dict[str, int]:
    is_film = wish.out.suffix.lower() in FILES
    if is_film or wish.step is not None:
        _go_back(sitting, engine, wish.step, is_film=is_film)
    panel = sitting.panel(wish.panel, wish.size)
    try:
        if is_film:
            return {"frames": _film(sitting, engine, panel, wish)}
        sitting.refresh(panel)
        return write_still(sitting, panel, wish)
    finally:
        panel.close()
        panel.deleteLater()


def write_still(sitting: Sitting, panel: Panel, wish: Wish) -> dict[str, int]:
    """Write all that is no film; what was written, in numbers."""
    ending = wish.out.suffix.lower()
    if ending == ".npz":
        shown = sitting.shown(panel)
        write_npz(shown, wish.out)
        return {"parts": len(shown.parts)}
    if ending == ".png":
        write_png(panel, wish.out, scale=wish.scale)
        image = picture(panel, scale=wish.scale)
        return {"width": image.width(), "height": image.height()}
    WRITERS[ending](panel, wish.out)
    return {"width": panel.width(), "height": panel.height()}


def _film(sitting: Sitting, engine: ShellEngine, panel: Panel, wish: Wish) -> int:
    info = sitting.run
    title = f"{info.card.title} · {info.dataset.title}"
    scene = Scene(info, title, _state(sitting, engine), sitting.metrics, (info,))
    return film(
        panel,
        scene,
        sitting.ask,
        wish.out,
        n_frames=wish.frames,
        seconds=wish.seconds,
        scale=wish.scale,
    )


# --- time -------------------------------------------------------------------------------------


def _go_back(sitting: Sitting, engine: ShellEngine, step: int | None, *, is_film: bool) -> None:
    """Have the steps before the file's own again, and look at ``step``."""
    newest = sitting.run.step
    if step is not None and not 0 <= step <= newest:
        raise ShellError(f"--step: given {step}, wanted a step from 0 to {newest}, the file's own")
    if is_film and newest < LEAST_FRAMES:
        raise ShellError(f"{newest} training steps are no timeline; wanted a run that has trained")
    if step == newest and not is_film:
        return
    stored = _state(sitting, engine).stored
    if (is_film and len(stored) < LEAST_FRAMES) or (step is not None and step not in stored):
        _train_anew(sitting, engine)
    if step is not None:
        engine.command(Recall(engine.next_id(), sitting.run.run, step))
        sitting.cursor = step


def _state(sitting: Sitting, engine: ShellEngine) -> RunState:
    return sitting.state or engine.state(sitting.run.run)


def _train_anew(sitting: Sitting, engine: ShellEngine) -> None:
    """A file holds one step: take those before it again, and see that they lead to it."""
    was = sitting.run
    before = _fingerprint(engine, was.run)
    sitting.start(was.spec)
    sitting.train(was.step)
    after = _fingerprint(engine, sitting.run.run)
    if before.keys() != after.keys() or any(
        not np.array_equal(before[name], after[name], equal_nan=True) for name in before
    ):
        raise ShellError(
            f"the {was.step} steps before this file cannot be had again: its settings, its data "
            "or the number of threads were others on the way. Film the run in the window, where "
            "its past is stored"
        )


def _fingerprint(engine: ShellEngine, run: str) -> dict[str, np.ndarray]:
    """Numbers that any difference in the weights would change."""
    try:
        return dict(engine.ask(run, "draw", {"n": N_DRAWS, "seed": 0}).arrays)
    except ShellError:
        return dict(engine.ask(run, "density", {"size": 32}).arrays)


# --- script -----------------------------------------------------------------------------------


def script(file: Path, out: Path, panel: str, *, json: bool) -> None:
    """Write a program that has a saved run's panel again, in numbers.

    Raises:
        ShellError: Something about the wish is wrong; the sentence says what.
    """
    writable_file(out, (".py",))
    path = readable_file(file)
    find_panel(panel)
    with told(), ShellEngine() as engine, easel(Look(PALETTES["dark"])) as look:
        sitting = Sitting(engine, look)
        info = sitting.open(path)
        shown_panel = sitting.panel(panel, (1280, 720))
        sitting.refresh(shown_panel)
        shown = sitting.shown(shown_panel)
        shown_panel.close()
        shown_panel.deleteLater()
        text = engine.command(TellRecipe(engine.next_id(), info.run)).text
        recipe = msgspec.json.decode(text, type=Recipe)
        write_script(shown, {info.run: recipe}, out, script_title(info, panel))
    if json:
        about = {"file": str(file), "panel": panel, "step": info.step, "out": str(out)}
        typer.echo(to_json({**about, "parts": sorted(shown.parts)}))
    else:
        typer.echo(f"{out}: {info.card.title}, step {info.step}, asks what {panel} shows")


@contextmanager
def told() -> Iterator[None]:
    """What an export complains of, as the shell's own kind of error."""
    try:
        yield
    except ExportError as error:
        raise ShellError(str(error)) from None
