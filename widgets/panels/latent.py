"""Latent space: where data lie among a model's latents, and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.latent.desk import Desk
from widgets.latent.lattice_mode import LatticeMode
from widgets.latent.levels_mode import LevelsMode
from widgets.latent.mode import Mode
from widgets.latent.own_mode import OwnMode
from widgets.latent.path_mode import PathMode
from widgets.latent.plane_mode import PlaneMode
from widgets.latent.traverse_mode import TraverseMode
from widgets.look import Look
from widgets.painting.state import PICTURE_SUFFIXES
from widgets.panel import Panel, Question

MODES = (
    ("plane", "Plane", "Where the data lie among the latents; drag a point and see it decode"),
    ("lattice", "Lattice", "A grid of the plane, decoded"),
    ("traverse", "Traverse", "One coordinate after the other is moved by itself"),
    ("path", "Path", "From one point to the next: linear, spherical, along the decoder's metric"),
    ("own", "Own", "Encode a picture of your own: reconstruction, place and neighbours"),
    ("levels", "Levels", "Draw one level of a hierarchy again and hold the others"),
)
HINT = (
    "Choose a data set and VAE on the left, then press play (space): where the data lie among the "
    "latents appears here."
)
#: Pixels at scale 1: the width that one row of tools takes, and the height that has two rows.
ROW_FROM, TWO_ROWS_FROM = 920, 420
ENCODINGS, DATA = "encodings", "data"


class LatentPanel(Panel):
    """The latent space of any model that decodes one."""

    name = "latent"
    title = "Latent space"
    summary = "Where data lie among the latents, and what lies between: planes, paths, traversals."
    needs = (frozenset({Capability.DECODING}),)
    shortcut = "Ctrl+Alt+Z"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.switch = Segments(look, MODES, self)
        self.modes: dict[str, Mode] = {
            "plane": PlaneMode(look, self.desk),
            "lattice": LatticeMode(look, self.desk),
            "traverse": TraverseMode(look, self.desk),
            "path": PathMode(look, self.desk),
            "own": OwnMode(look, self.desk),
            "levels": LevelsMode(look, self.desk),
        }
        self.chips = ChipRow(look, parent=self)
        self.empty = EmptyState(look)
        self.tool_pages, self.pages = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        self.setAcceptDrops(True)
        self._build()
        self.clear()

    def _build(self) -> None:
        for mode in self.modes.values():
            self.pages.addWidget(mode)
            self.tool_pages.addWidget(mode.tools)
            mode.asks_changed.connect(self.asks_changed)
            mode.pointed.connect(self.pointed)
            mode.chips_changed.connect(self._show_chips)
            mode.said.connect(self._say)
            mode.wanted.connect(self.set_mode)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self.tool_pages, 1)
        column.addLayout(self._top)
        column.addWidget(self.pages, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)
        self.switch.set_shown("levels", on=False)
        self.desk.changed.connect(self._on_changed)
        self.desk.moved.connect(self._on_moved)

    @property
    def mode(self) -> Mode:
        """What is in front."""
        return self.modes[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a mode to the front."""
        before = self.pages.currentWidget()
        self.switch.set_current(name)
        self.pages.setCurrentWidget(self.mode)
        self.tool_pages.setCurrentWidget(self.mode.tools)
        if isinstance(before, Mode) and before is not self.mode:
            before.leave()
            self.mode.enter()
        self.mode.refresh()
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run."""
        super().open_run(info)
        if info is None:
            return
        if info.data.event.kind == "sequence":
            self.run = None
            self.empty.say("These events have no fixed size", "Choose points or pictures.")
            return
        self._open(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open(info)

    def _open(self, info: RunInfo) -> None:
        self.desk.open(info)
        for mode in self.modes.values():
            mode.open()
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The encodings, and what the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        asked = {ENCODINGS: self.desk.encodings_question(rest=rest)}
        return asked | self.mode.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Encodings go to the desk, the rest to the mode in front."""
        if self.run is None:
            return
        self.banner.clear()
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

    def show_failed(self, part: str, failed: Failed) -> None:
        """A mode may know what to do; else the banner says it."""
        if not self.mode.show_failed(part, failed):
            super().show_failed(part, failed)

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for mode in self.modes.values():
            mode.open()
        self.chips.set_chips(())
        self.empty.say("No model with latents is open", HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for mode in self.modes.values():
            mode.restyle()
        self._show_chips()

    @property
    def own_frames(self) -> int:
        """Those of the interpolation, while it is in front."""
        return self.mode.own_frames

    def show_own_frame(self, index: int) -> None:
        """Scrub to one of them."""
        self.mode.show_own_frame(index)

    def save_state(self) -> dict[str, Value]:
        """The mode, and how the plane is looked at."""
        return {"mode": self.switch.current} | self.desk.save()

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        if state.get("mode") in self.modes:
            self.set_mode(str(state["mode"]))

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the mode in front come before the window's while the panel has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self.mode.take_key(event, only_ask=True):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A key that no part of the panel wanted."""
        if self.run is None or not self.mode.take_key(event):
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tools get a row of their own where there is height but no width."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        apart = self.width() < px(ROW_FROM) and self.height() >= px(TWO_ROWS_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.mode.leave()
        super().hideEvent(event)

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
        """Modes that these latents have no use for are grey; the first that serves is shown."""
        for name, mode in self.modes.items():
            reason = mode.refusal()
            words = next(tip for own, _, tip in MODES if own == name)
            self.switch.set_usable(name, not reason, reason or words)
        self.switch.set_shown("levels", not self.modes["levels"].refusal())
        if self.mode.refusal():
            self.set_mode(next(name for name, m in self.modes.items() if not m.refusal()))

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

    def _say(self, sentence: str) -> None:
        if sentence:
            self.banner.show_error(sentence)
        else:
            self.banner.clear()

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            self.chips.set_chips(self.mode.chips())
