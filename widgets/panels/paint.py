"""A canvas: what is painted is the data, and its density is known exactly."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from engine.wire.painting import MOST_DABS
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.painter import Painter
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.density.face import can_draw, has_density, is_costly
from widgets.look import Look
from widgets.painting.hand_row import HandRow
from widgets.painting.state import (
    PICTURE_SUFFIXES,
    Painting,
    is_picture,
    painting_of,
    read_picture,
    save_points,
)
from widgets.painting.tools import TOOLS, Hand, dabs_at
from widgets.panel import Panel, Question
from widgets.plots.layers import Box

#: While a stroke is on, the painting goes out at most so often.
SEND_MS = 100
#: Pixels at scale 1 that the five tools take.
LEAST_WIDTH = 375
#: Points that become dabs, that are shown, and that are saved.
FROM_DATA, N_DATA, N_SAMPLES, N_SAVED = 2000, 1500, 800, 5000
#: Pixels a side of the model's density, for its contours.
SIZES = {"cheap": 96, "costly": 48}
TOOL_TOGGLES = (
    Toggle("brush", "brush", "An even ribbon of ink (B). The wheel changes its width.",
           "accent", True),
    Toggle("spray", "spray", "Random dabs, denser the longer you hold (S)", "accent"),
    Toggle("eraser", "eraser", "Takes ink away; a weak one thins it (E)", "accent"),
    Toggle("jitter", "jitter", "Shakes the dabs under it (J)", "accent"),
    Toggle("magnet", "magnet", "Pulls the dabs to the pointer; Shift pushes them away (M)",
           "accent"),
)  # fmt: skip
LAYERS = (
    Toggle("density", "painted", "The painted density p(x), known exactly", "truth", True),
    Toggle("data", "data", "Training data of the run in view", "data", True),
    Toggle("model", "model",
           "The model in view: regions of highest density that hold 25 … 95 % of its mass, or its "
           "samples where it has no density", "model", True),
)  # fmt: skip
BUTTONS = (
    ("data", "from data", "Start from the data of the run in view: one dab a point"),
    ("picture", "from picture", "Import a picture: dark is likely. Or drop a PNG or JPEG here."),
    (
        "save",
        "save points",
        f"Write {N_SAVED:,} draws of the painting as CSV, or NPZ with its dabs",
    ),
    ("view", "home", "Show −4 … 4 again (Home); Ctrl and wheel, + and − zoom"),
    ("clear", "clear", "An empty canvas; Ctrl+Z brings the painting back"),
)
EMPTY = "Paint here. Runs keep the last painting until there is a new one."


class PaintPanel(Panel):
    """Paint a density; runs that train on it follow while you paint.

    Signals:
        painted: ``(data set, settings)`` of the painting, at most ten times a second during a
            stroke and once at its end; never for an empty canvas.
        edited: (:class:`Painting` before, after, words) of everything that undo takes back.
        train_requested: ``(data set, settings)``: start a run on the painting.
    """

    name = "paint"
    title = "Paint"
    summary = "Paint the data; their density is known exactly, and models learn while you paint."
    shortcut = ""

    painted = Signal(object)
    edited = Signal(object, object, str)
    train_requested = Signal(object)

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.canvas = Painter(look, self)
        self.tools, self.layers = ToolRow(look, self), ToolRow(look, self)
        self.buttons = ToolRow(look, self)
        self.chips = ChipRow(look, parent=self)
        self.train = QPushButton("Train on this", self)
        policy = self.train.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.train.setSizePolicy(policy)
        self.train.setToolTip("Train the model in view on the painting")
        self.held = HandRow(look, self)
        self._shown_run = ""
        self._wants_data = self._is_own = self._is_waiting = False
        self._send = QTimer(self)
        self._send.setSingleShot(True)
        self._send.setInterval(SEND_MS)
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self.canvas.set_painting(painting_of("painted", {}) or Painting())
        self._refresh()

    def _lay_out(self) -> None:
        for toggle in TOOL_TOGGLES:
            self.tools.add_toggle(toggle)
        for toggle in LAYERS:
            self.layers.add_toggle(toggle)
        for name, text, tooltip in BUTTONS:
            self.buttons.add_button(name, text, tooltip)
        self.layers.set_fixed(True)
        shown = QHBoxLayout()
        shown.addWidget(self.layers)
        shown.addStretch(1)
        shown.addWidget(self.train)
        self.body.addWidget(self.tools)
        self.body.addWidget(self.held)
        self.body.addWidget(self.canvas, 1)
        self.body.addWidget(self.chips)
        self.body.addLayout(shown)
        self.body.addWidget(self.buttons)
        self._fit()

    def _fit(self) -> None:
        """Wide enough for all tools to be seen."""
        self.setMinimumWidth(self.look.px(LEAST_WIDTH))

    def _connect(self) -> None:
        self.held.edited.connect(self.canvas.set_hand)
        self.tools.toggled.connect(self._on_tool)
        self.layers.toggled.connect(self._on_layer)
        self.buttons.pressed.connect(self._on_pressed)
        self.train.clicked.connect(self._on_train)
        self.canvas.held.connect(self._show_held)
        self.canvas.changed.connect(self._on_changed)
        self.canvas.finished.connect(self._on_finished)
        self.canvas.filled.connect(self._on_filled)
        self.canvas.viewed.connect(self._on_viewed)
        self._send.timeout.connect(self._on_send_due)

    # --- the painting -------------------------------------------------------------------------

    @property
    def painting(self) -> Painting:
        """What is on the canvas."""
        return self.canvas.painting

    def set_painting(self, painting: Painting) -> None:
        """Put a painting on the canvas and tell the runs; for undo and redo."""
        self.canvas.set_painting(painting)
        self._is_own = True
        self._announce(at_once=True)

    def import_picture(self, path: str) -> None:
        """Put a picture on the canvas: its density is the data until it is painted on."""
        try:
            painting = read_picture(path)
        except ValueError as error:
            self.banner.show_error(f"{error}")
            return
        self._replace(painting, "import picture")

    def save_to(self, path: str) -> None:
        """Write draws of the painting as CSV or NPZ, by the file's ending."""
        try:
            save_points(path, self.painting, N_SAVED)
        except (ValueError, OSError) as error:
            self.banner.show_error(f"The painting could not be saved: {error}")

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show a run's own painting; what the user has painted since stays."""
        fresh = info is not None and info.run != self._shown_run
        super().open_run(info)
        if info is not None and fresh:
            self._shown_run = info.run
            self._adopt(info)
        self._refresh()

    def renew(self, info: RunInfo) -> None:
        """The run in view has taken another painting."""
        super().renew(info)
        self._refresh()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The data and the model of the run in view, where they are points in the plane."""
        run = self.run
        if run is None or run.data.event.shape != (2,):
            return {}
        asked: dict[str, Question] = {}
        if self._wants_data:
            asked["dabs"] = Question("data_points", {"n": FROM_DATA}, live=False)
        if self.layers.is_on("data"):
            asked["data"] = Question("data_points", {"n": N_DATA})
        if self.layers.is_on("model"):
            asked |= self._model_question(run)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw data, contours or samples; points that were asked for become dabs."""
        arrays = answer.arrays
        points = arrays.get("points")
        if part == "model" and "contour_points" in arrays:
            self.canvas.set_contours(arrays["contour_points"], arrays.get("contour_starts"))
        elif points is None or points.ndim != 2 or points.shape[1] != 2:
            return
        elif part == "dabs" and self._wants_data:
            self._wants_data = False
            self._replace(Painting(dabs_at(points, self.canvas.hand.sigma)), "start from data")
        elif part in ("data", "samples"):
            self.canvas.set_points(part, points)

    def clear(self) -> None:
        """Take the run's data and model away; the painting stays."""
        self._wants_data = False
        self.canvas.clear_model()

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        self.canvas.restyle()
        self._fit()

    def save_state(self) -> dict[str, Value]:
        """Tool, how it is held, and layers."""
        hand = self.canvas.hand
        held = {"radius": hand.radius, "softness": hand.sigma, "strength": hand.strength}
        shown = {f"show_{t.name}": self.layers.is_checked(t.name) for t in LAYERS}
        return {"tool": self.canvas.tool, **held, **shown}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.canvas.set_tool(str(state.get("tool", self.canvas.tool)))
        held = [state.get(name) for name in ("radius", "softness", "strength")]
        numbers = [float(value) for value in held if isinstance(value, int | float)]
        if len(numbers) == len(held):
            self.canvas.set_hand(Hand(*numbers))
        for toggle in LAYERS:
            on = state.get(f"show_{toggle.name}")
            if isinstance(on, bool):
                self.layers.set_on(toggle.name, on)
                self.canvas.set_shown(toggle.name, on)

    # --- parts --------------------------------------------------------------------------------

    def _model_question(self, run: RunInfo) -> dict[str, Question]:
        if has_density(run.card):
            box = self.canvas.frame.box
            window: dict[str, Value] = {"low": list(box.low), "high": list(box.high)}
            size = SIZES["costly" if is_costly(run.card) else "cheap"]
            return {"model": Question("density", {**window, "size": size})}
        if can_draw(run.card):
            return {"samples": Question("samples", {"n": N_SAMPLES})}
        return {}

    def _adopt(self, info: RunInfo) -> None:
        """Show what a run is trained on, unless that would lose what was painted."""
        painting = painting_of(info.spec.dataset, info.spec.dataset_config)
        if painting is None or self._is_own or self.canvas.is_busy:
            return
        self.canvas.set_painting(painting)

    def _replace(self, painting: Painting, words: str) -> None:
        before = self.painting
        self._fit_home(painting)
        self.set_painting(painting)
        self.edited.emit(before, painting, words)

    def _fit_home(self, painting: Painting) -> None:
        """A canvas as large as data in units of their own."""
        if painting.grey is not None or not len(painting.dabs):
            return
        low, high = painting.dabs[:, :2].min(0), painting.dabs[:, :2].max(0)
        if max(abs(low).max(), abs(high).max()) <= 4.0 and (high - low).max() > 0.8:
            return
        middle, half = (low + high) / 2, max(float((high - low).max()) * 0.65, 1e-6)
        x, y = float(middle[0]), float(middle[1])
        self.canvas.set_home(Box((x - half, y - half), (x + half, y + half)))

    def _announce(self, *, at_once: bool = False) -> None:
        """Tell what is painted, now or when the last telling is long enough ago."""
        self._is_waiting = self._send.isActive() and not at_once
        if not self._is_waiting:
            self._send.start()
            self._tell()

    def _tell(self) -> None:
        self._refresh()
        if not self.painting.is_empty:
            self.painted.emit(self.painting.data)

    def _refresh(self) -> None:
        """What there is to say, and whether a run follows the painting."""
        painting, run = self.painting, self.run
        self.canvas.set_hint(EMPTY if painting.is_empty and not self.canvas.is_busy else "")
        follows = run is not None and run.spec.dataset in ("painted", "picture")
        self.train.setVisible(not follows)
        self.train.setEnabled(not painting.is_empty)
        self.chips.set_chips(_chips(painting, run if follows else None))

    # --- the user -----------------------------------------------------------------------------

    def _on_changed(self) -> None:
        self._is_own = True
        self.canvas.set_hint("")
        self._announce()

    def _on_finished(self, before: Painting, after: Painting, words: str) -> None:
        self._is_own = True
        self._announce(at_once=True)
        self.edited.emit(before, after, words)

    def _on_send_due(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._send.start()
            self._tell()

    def _on_filled(self) -> None:
        self.banner.show_warning(
            f"The painting has {MOST_DABS:,} dabs, which is all there is room for. Erase some, or "
            "use a softer brush: it needs fewer."
        )

    def _on_viewed(self) -> None:
        if self.run is not None:
            self.asks_changed.emit()

    def _show_held(self) -> None:
        for tool in TOOLS:
            self.tools.set_on(tool, tool == self.canvas.tool)
        self.held.set_hand(self.canvas.hand)

    def _on_tool(self, name: str, _: bool) -> None:
        self.canvas.set_tool(name)
        self._show_held()

    def _on_layer(self, name: str, on: bool) -> None:
        self.canvas.set_shown(name, on)
        self.asks_changed.emit()

    def _on_train(self) -> None:
        if not self.painting.is_empty:
            self._is_own = False
            self.train_requested.emit(self.painting.data)

    def _on_pressed(self, name: str) -> None:
        if name == "clear":
            self._replace(Painting(), "clear the canvas")
        elif name == "data":
            self._start_from_data()
        elif name == "view":
            self.canvas.reset_view()
        elif name == "picture":
            patterns = " ".join(f"*{suffix}" for suffix in PICTURE_SUFFIXES)
            self._choose("Import a picture", f"Pictures ({patterns})", save=False)
        else:
            self._choose("Save the painting", "Points (*.csv *.npz)", save=True)

    def _start_from_data(self) -> None:
        if self.run is None or self.run.data.event.shape != (2,):
            self.banner.show_info("Open a run whose data are points in the plane, then try again.")
            return
        self._wants_data = True
        self.asks_changed.emit()

    def _choose(self, title: str, pattern: str, *, save: bool) -> None:
        dialog = QFileDialog(self, title, "", pattern)
        if save:
            dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
            dialog.setDefaultSuffix("csv")
        else:
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.save_to if save else self.import_picture)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take pictures."""
        if any(is_picture(url.toLocalFile()) for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Import the first picture that was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        pictures = [path for path in paths if is_picture(path)]
        if pictures:
            self.import_picture(pictures[0])
            event.acceptProposedAction()


def _chips(painting: Painting, run: RunInfo | None) -> tuple[Chip, ...]:
    chips = []
    if painting.grey is not None:
        height, width = painting.grey.shape
        words = "Each pixel has its own constant density."
        chips.append(Chip(f"p exact: {width} × {height} pixels", words, framed=True))
    else:
        words = "The painted density is a mixture of round Gaussians, one a dab."
        chips.append(Chip(f"p exact: {len(painting.dabs):,} dabs", words, framed=True))
    if run is not None and run.data.entropy is not None:
        exact = "exact" if run.spec.dataset == "picture" else "± 1e-6, quadrature"
        words = "Entropy of the data's density: no model's NLL can be lower on average."
        chips.append(Chip(f"H = {run.data.entropy:.3f} nats, {exact}", words, framed=True))
    return tuple(chips)
