"""The model's own density, with data, samples and truth drawn over it."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStackedWidget

from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.density.face import Face, can_draw, has_density
from widgets.density.line_face import LineFace
from widgets.density.map_face import MapFace
from widgets.density.picture_face import PictureFace
from widgets.look import Look
from widgets.panel import Panel, Point, Question

TOGGLES = (
    Toggle("data", "data", "Training data", "data", True),
    Toggle("samples", "samples", "Samples x ~ p(x) of the model", "model"),
    Toggle("contours", "contours", "Regions of highest density that hold 25 … 95 % of the mass",
           "text", True),
    Toggle("truth", "truth", "The known density of the data: its contours or curve", "truth"),
    Toggle("marginals", "marginals", "Densities along each axis, model and truth", "model", True),
    Toggle("grid", "grid", "The warped grid: a lattice of the latent space, decoded", "model"),
    Toggle("components", "components",
           "Each component: an ellipse at one and two standard deviations, with the data coloured "
           "by responsibility; on a line its curve times its weight",
           "text"),
    Toggle("difference", "diff",
           "Model − truth: blue where the model's density is too high, red where too low; "
           "with log p: the difference of the logarithms", "accent"),
    Toggle("log", "log p", "Colour log p(x) instead of p(x), to see the tails", "muted"),
)  # fmt: skip
#: What a face can draw; the other switches are hidden.
USES = {
    "map": {toggle.name for toggle in TOGGLES},
    "line": {"data", "samples", "truth", "components", "log"},
    "pictures": {"data", "samples"},
}
#: What a mixture's card calls its parts.
COMPONENTS = "components"
#: Below this height (pixels at scale 1) the kind of density is written into the picture, and
#: the rest of the chips wait for more room.
CHIPS_FROM = 210
HINT = "Choose data and a model on the left, then press play (space) to start training."


class DensityPanel(Panel):
    """The model's own density (never a smoothed histogram), with data, samples and truth."""

    name = "density"
    title = "Density"
    summary = "The model's own density with data, samples and the truth over it."
    shortcut = "Ctrl+1"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        for toggle in TOGGLES:
            self.tools.add_toggle(toggle)
        self.tools.add_choice(
            "plane", "The plane on which data with more than two columns are drawn"
        )
        self.tools.add_choice("x", "The coordinate drawn to the right")
        self.tools.add_choice("y", "The coordinate drawn upwards")
        self.tools.add_button("reset", "reset", "Show all data again; or double-click", "Home")
        self.faces: dict[str, Face] = {
            "map": MapFace(look),
            "line": LineFace(look),
            "pictures": PictureFace(look),
        }
        self.chips = ChipRow(look, parent=self)
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._is_low = False
        self._touched: set[str] = set()
        self._explained: set[str] = set()
        self._plane: tuple[str, int, int] = ("axes", 0, 1)
        self._point: Point | None = None
        self._connect()
        self.body.addWidget(self.tools)
        self.body.addWidget(self._pages, 1)
        self.body.addWidget(self.chips)
        self.clear()

    @property
    def face(self) -> Face | None:
        """What draws now, or None when nothing is open."""
        page = self._pages.currentWidget()
        return page if isinstance(page, Face) else None

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run with the face that fits its events."""
        super().open_run(info)
        if info is None:
            return
        kind = _face_kind(info)
        self._offer(info, kind)
        self._offer_planes(info)
        self._pages.setCurrentWidget(self.faces[kind])
        self.tools.show()
        self.faces[kind].open(info)
        self.faces[kind].mark_point(self._point)
        self._apply_shown()
        self._explain(info.card)

    def renew(self, info: RunInfo) -> None:
        """Other data: their points and their truth are drawn anew, the view stays."""
        super().renew(info)
        if self.face is not None:
            self.face.renew(info)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the visible face asks."""
        return self.face.questions(rest=rest) if self.face is not None else {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Hand an answer to the visible face."""
        if self.face is not None:
            self.face.show_answer(part, answer)

    def choose_point(self, point: Point | None) -> None:
        """Mark the place that the user chose, here or in another panel."""
        self._point = point
        if self.face is not None:
            self.face.mark_point(point)

    def show_failed(self, part: str, failed: Failed) -> None:
        """A number under the pointer that cannot be had is not worth a banner."""
        if part != "at":
            super().show_failed(part, failed)

    def clear(self) -> None:
        """Say what to do."""
        for face in self.faces.values():
            face.clear()
        self.chips.set_chips(())
        self._empty.say("No run is open", HINT)
        self._pages.setCurrentWidget(self._empty)
        self.tools.hide()

    def restyle(self) -> None:
        """Take colours from the look."""
        for face in self.faces.values():
            face.restyle()
        self._fit_height()
        self._show_chips()

    def save_state(self) -> dict[str, Value]:
        """The switches that the user set."""
        return {name: self.tools.is_checked(name) for name in sorted(self._touched)}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Set the switches again."""
        known = {toggle.name for toggle in TOGGLES}
        for name, on in state.items():
            if name in known and isinstance(on, bool):
                self._touched.add(name)
                self.tools.set_on(name, on)
        self._apply_shown()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low panel everything gives way to the picture."""
        super().resizeEvent(event)
        self._fit_height()

    # --- switches -----------------------------------------------------------------------------

    def _connect(self) -> None:
        for face in self.faces.values():
            self._pages.addWidget(face)
            face.asks_changed.connect(self.asks_changed)
            face.pointed.connect(self.pointed)
            face.point_chosen.connect(self.point_chosen)
            face.chips_changed.connect(self._show_chips)
        self.tools.toggled.connect(self._on_toggled)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_reset_pressed)

    def _offer(self, info: RunInfo, kind: str) -> None:
        """Which switches make sense for this run, and which are on at first."""
        for name, (usable, reason) in _usable(info).items():
            in_use = name in USES[kind]
            self.tools.set_usable(name, usable and in_use, reason if in_use else "")
            if name not in self._touched:
                self.tools.set_on(name, name in _defaults(info.card, kind))

    def _apply_shown(self) -> None:
        shown = frozenset(toggle.name for toggle in TOGGLES if self.tools.is_on(toggle.name))
        if self.face is not None:
            self.face.set_shown(shown)
            self._show_chips()

    def _explain(self, card: ModelCard) -> None:
        """Say once why a model has no density."""
        if has_density(card) or card.name in self._explained:
            return
        self._explained.add(card.name)
        reason = card.lacks.get(Capability.LOG_PROB, "its samples come from a map of noise")
        text = f"{card.title} has no density: {reason.rstrip('.')}."
        if Capability.CRITIC in card.capabilities:
            text += " The colours show its critic instead."
        self.banner.show_info(text)

    def _offer_planes(self, info: RunInfo) -> None:
        size = info.data.event.size if _face_kind(info) == "map" else 0
        names = info.data.columns or info.data.event.axes
        entries = tuple((names[i] if i < len(names) else f"x{i + 1}", i) for i in range(size))
        self._plane = ("axes", 0, 1)
        self.tools.set_choices("plane", (("columns", "axes"), ("principal components", "pca")))
        for name, place in (("x", 0), ("y", 1)):
            self.tools.set_choices(name, entries)
            self.tools.set_choice(name, place)
        self._show_pickers(size > 2)

    def _show_pickers(self, on: bool) -> None:
        self.tools.show_choice("plane", on)
        for name in ("x", "y"):
            self.tools.show_choice(name, on and self._plane[0] == "axes")

    def _show_chips(self) -> None:
        chips = self.face.chips() if self.face is not None else ()
        self.chips.set_chips(chips[:1] if self._is_low else chips)
        self._place_chips()

    def _fit_height(self) -> None:
        low = self.height() < self.look.px(CHIPS_FROM)
        if low != self._is_low:
            self._is_low = low
            if low:
                self.body.removeWidget(self.chips)
                self.chips.setParent(self._pages)
                self.chips.show()
                self.chips.restyle()
            else:
                self.body.addWidget(self.chips)
            margin = 2 if low else 6
            self.body.setContentsMargins(6, margin, 6, margin)
            self.body.setSpacing(margin)
            self._show_chips()
        self._place_chips()

    def _place_chips(self) -> None:
        """Over the picture's upper left corner, while the panel is low."""
        if self._is_low:
            left, top = self.look.px(56), self.look.px(6)
            width = max(1, self._pages.width() - left - self.look.px(30))
            self.chips.setGeometry(left, top, width, self.chips.sizeHint().height())
            self.chips.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self.chips.raise_()
        else:
            self.chips.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents, False)

    def _on_toggled(self, name: str, on: bool) -> None:
        self._touched.add(name)
        self._apply_shown()
        self.asks_changed.emit()

    def _on_chosen(self, name: str, value: object) -> None:
        plane, x, y = self._plane
        if name == "plane":
            plane = str(value)
        elif isinstance(value, int):
            x, y = _other_axis(name, value, x, y)
        self._plane = (plane, x, y)
        self.tools.set_choice("x", x)
        self.tools.set_choice("y", y)
        self._show_pickers(True)
        face = self.faces["map"]
        if isinstance(face, MapFace):
            face.set_plane(plane, (x, y))
            face.mark_point(self._point)

    def _on_reset_pressed(self, _: str) -> None:
        if self.face is not None:
            self.face.reset_view()


def _face_kind(info: RunInfo) -> str:
    event = info.data.event
    if event.kind == "picture":
        return "pictures"
    return "line" if event.size == 1 else "map"


def _other_axis(name: str, value: int, x: int, y: int) -> tuple[int, int]:
    """The two coordinates after one was chosen; they swap when both would be the same."""
    if name == "x":
        return value, x if value == y else y
    return y if value == x else x, value


def _usable(info: RunInfo) -> dict[str, tuple[bool, str]]:
    """By switch: whether it can be used, and why not (no reason: not worth showing)."""
    card, data = info.card, info.data
    density = has_density(card)
    decodes = Capability.DECODING in card.capabilities and data.event.size == 2
    return {
        "data": (True, ""),
        "samples": (can_draw(card), f"{card.title} has no sampler"),
        "contours": (True, ""),
        "truth": (
            data.has_density and data.event.size <= 2,
            "the true density of these data is unknown",
        ),
        "marginals": (density, ""),
        "difference": (
            density and data.has_density and data.event.size == 2,
            "the true density of these data is unknown" if density else "",
        ),
        "grid": (decodes and COMPONENTS not in card.features, ""),
        "components": (COMPONENTS in card.features, ""),
        "log": (density, ""),
    }


def _defaults(card: ModelCard, kind: str) -> set[str]:
    on = {toggle.name for toggle in TOGGLES if toggle.on}
    parts = {"components"} if COMPONENTS in card.features else set()
    if kind != "map":
        return on | ({"samples"} if kind == "pictures" else {"truth"} | parts)
    if not has_density(card):
        return (on - {"contours"}) | {"samples", "grid"}
    return on | parts
