"""Latent space: where data lie among a model's latents, and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtGui import QDragEnterEvent, QDropEvent

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.latent.desk import Desk
from widgets.latent.lattice_mode import LatticeMode
from widgets.latent.levels_mode import LevelsMode
from widgets.latent.own_mode import OwnMode
from widgets.latent.path_mode import PathMode
from widgets.latent.plane_mode import PlaneMode
from widgets.latent.simplex_mode import SimplexMode
from widgets.latent.traverse_mode import TraverseMode
from widgets.look import Look
from widgets.mode_panel import ModePanel
from widgets.painting.state import PICTURE_SUFFIXES
from widgets.panel import Question

MODES = (
    ("plane", "Plane", "Where the data lie among the latents; drag a point and see it decode"),
    ("lattice", "Lattice", "A grid of the plane, decoded"),
    ("traverse", "Traverse", "One coordinate after the other is moved by itself"),
    ("path", "Path", "From one point to the next: linear, spherical, along the decoder's metric"),
    ("own", "Own", "Encode a picture of your own: reconstruction, place and neighbours"),
    ("levels", "Levels", "Draw one level of a hierarchy again and hold the others"),
    ("simplex", "Simplex", "A category's relaxed draws at a temperature, and their gradient"),
)
HINT = (
    "Choose a data set and VAE on the left, then press play (space): where the data lie among the "
    "latents appears here."
)
UNFIT = ("These events have no fixed size", "Choose points or pictures.")
ENCODINGS, DATA = "encodings", "data"
#: Modes that are offered only to the few models that they are for.
RARE = ("levels", "simplex")


class LatentPanel(ModePanel):
    """The latent space of any model that decodes one."""

    name = "latent"
    title = "Latent space"
    summary = "Where data lie among the latents, and what lies between: planes, paths, traversals."
    needs = (frozenset({Capability.DECODING}),)
    shortcut = "Ctrl+Alt+Z"

    MODES = MODES
    HINT = HINT
    NOTHING = "No model with latents is open"
    ROW_FROM, TWO_ROWS_FROM = 920, 420

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk: Desk = Desk(self)
        self.setAcceptDrops(True)
        self.set_up(
            {
                "plane": PlaneMode(look, self.desk),
                "lattice": LatticeMode(look, self.desk),
                "traverse": TraverseMode(look, self.desk),
                "path": PathMode(look, self.desk),
                "own": OwnMode(look, self.desk),
                "levels": LevelsMode(look, self.desk),
                "simplex": SimplexMode(look, self.desk),
            }
        )
        for name in RARE:
            self.switch.set_shown(name, on=False)
        self.desk.changed.connect(self._on_changed)
        self.desk.moved.connect(self._on_moved)

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """Events of open length."""
        return UNFIT if info.data.event.kind == "sequence" else ("", "")

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The encodings, and what the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        encodings = {ENCODINGS: self.desk.encodings_question(rest=rest)}
        return encodings | super().asks(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Encodings go to the desk, the rest to the mode in front."""
        if self.run is None:
            return
        self.show_mended(part)
        if part == DATA:  # asked once, drawn by all
            for mode in self.modes.values():
                mode.show_answer(part, answer)
            return
        if part != ENCODINGS:
            self.mode.show_answer(part, answer)
            return
        known = self.desk.kind
        self.desk.take(answer)
        if self.desk.kind != known:
            self._offer()
        self.mode.refresh()
        self._show_chips()
        if self.desk.kind != known:
            self.asks_changed.emit()

    def save_state(self) -> dict[str, Value]:
        """The mode, and how the plane is looked at."""
        return super().save_state() | self.desk.save()

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        super().restore_state(state)

    # --- Qt -----------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take pictures where the model encodes pictures."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        usable = self.run is not None and not self.modes["own"].refusal()
        if usable and any(path.lower().endswith(PICTURE_SUFFIXES) for path in paths):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Encode the picture that was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        path = next((path for path in paths if path.lower().endswith(PICTURE_SUFFIXES)), "")
        if path and self.run is not None:
            self.open_picture(path)
            event.acceptProposedAction()

    def open_picture(self, path: str) -> None:
        """Encode a picture file."""
        own = self.modes["own"]
        if isinstance(own, OwnMode) and not own.refusal():
            self.set_mode("own")
            own.read(path)

    def _offer(self) -> None:
        """What a mode is good for can be told once the encodings say what the latents are."""
        if not self.desk.kind:
            return
        super()._offer()
        for name in RARE:
            self.switch.set_shown(name, not self.modes[name].refusal())

    def _on_changed(self) -> None:
        if self.run is None:
            return
        self.mode.refresh()
        self._show_chips()
        self.asks_changed.emit()

    def _on_moved(self) -> None:
        """Another z: what is drawn stays, and only the cross and what it decodes to are others."""
        if self.run is not None:
            self.mode.follow()
            self._show_chips()
            self.asks_changed.emit()
