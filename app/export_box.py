"""What is to be taken away, as what, and where to: a small form over the window, never modal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.export_pictures import LEAST_SCALE, MOST_SCALE
from app.reel import LEAST_FRAMES, MOST_FRAMES
from widgets.look import Look

#: (ending, words, tooltip)
KINDS = (
    (".png", "Picture (PNG)", "The panel painted anew at a scale of your choice"),
    (".svg", "Vector graphic (SVG)", "Curves, axes and words as lines and letters"),
    (".pdf", "Vector graphic (PDF)", "One page as large as the panel, for a paper"),
    (".npz", "Numbers (NPZ)", "Every array that the panel shows, and what was asked for it"),
    (".py", "Python script", "A program that trains this run again and makes the same arrays"),
    (".gif", "Film (GIF)", "The stored steps of the run, one frame after the other"),
    (".mp4", "Film (MP4)", "The stored steps of the run as H.264 video"),
)
SCALED = (".png", ".gif", ".mp4")
FILMS = (".gif", ".mp4")
WIDTH = 460


@dataclass(frozen=True)
class Order:
    """What the user wants: which panel, into which file, how large, how long, of which time."""

    panel: str
    path: Path
    scale: float
    frames: int
    seconds: float
    own: bool = False


class ExportBox(QFrame):
    """A form in the upper middle of its parent.

    Signals:
        ordered: An :class:`Order`.
        cancelled: The film in the making is not wanted.
    """

    ordered = Signal(object)
    cancelled = Signal()

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self._folder = Path.home()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.title = QLabel("Export")
        self.panel = QComboBox()
        self.kind = QComboBox()
        self.scale = QDoubleSpinBox()
        self.frames = QSpinBox()
        self.seconds = QDoubleSpinBox()
        self.time = QComboBox()
        self._own: dict[str, int] = {}
        self.path = QLineEdit()
        self.browse = QToolButton()
        self.words = QLabel()
        self.progress = QProgressBar()
        self.go = QPushButton("Export")
        self.stop = QPushButton("Close")
        self._set_up()
        self._lay_out()
        self._connect()
        self.restyle()
        self.hide()

    def open(
        self,
        panels: Sequence[tuple[str, str]],
        current: str,
        folder: Path,
        own: Mapping[str, int] | None = None,
    ) -> None:
        """Show the form for some (name, title) panels; ``own`` are frames of their own by name."""
        self._folder, self._own = folder, dict(own or {})
        with QSignalBlocker(self.panel):
            self.panel.clear()
            for name, title in panels:
                self.panel.addItem(title, name)
            self.panel.setCurrentIndex(max(0, self.panel.findData(current)))
        self._suggest()
        self.adjustSize()
        self._place()
        self.show()
        self.raise_()
        self.kind.setFocus()

    def order(self) -> Order:
        """What the form says now."""
        return Order(
            str(self.panel.currentData() or ""),
            Path(self.path.text()).expanduser(),
            self.scale.value(),
            self.frames.value(),
            self.seconds.value(),
            own=self.time.isEnabled() and self.time.currentData() == "own",
        )

    def say(self, text: str, *, is_error: bool = False) -> None:
        """A line below the form."""
        palette = self._look.palette
        colour = palette.error if is_error else palette.muted
        self.words.setStyleSheet(f"color: {colour};")
        self.words.setText(text)

    def set_busy(self, busy: bool) -> None:
        """While a film is made it can only be cancelled."""
        self.go.setEnabled(not busy)
        self.stop.setText("Cancel" if busy else "Close")
        if not busy:
            self.progress.setValue(0)

    def set_progress(self, done: int, total: int) -> None:
        """How far the film is."""
        self.progress.setMaximum(total)
        self.progress.setValue(done)

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, px = self._look.palette, self._look.px
        self.setStyleSheet(
            f"ExportBox {{ background: {palette.panel}; border: 1px solid {palette.accent};"
            f" border-radius: {px(6)}px; }}"
        )
        self.title.setFont(self._look.font(1.1, bold=True))
        self.setFixedWidth(px(WIDTH))
        self.progress.setFixedHeight(px(8))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape closes; Enter exports."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.go.isEnabled():
            self.ordered.emit(self.order())
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle of the parent."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _set_up(self) -> None:
        for place, (ending, words, tip) in enumerate(KINDS):
            self.kind.addItem(words, ending)
            self.kind.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        self.panel.setToolTip("The panel to take away")
        self.kind.setToolTip("As what it is taken away")
        self.scale.setRange(LEAST_SCALE, MOST_SCALE)
        self.scale.setValue(2.0)
        self.scale.setSingleStep(0.5)
        self.scale.setSuffix(" ×")
        self.scale.setToolTip("Pixels of the picture for each pixel on screen; painted anew")
        self.frames.setRange(LEAST_FRAMES, MOST_FRAMES)
        self.frames.setValue(60)
        self.frames.setToolTip("Frames, evenly chosen among the stored steps, at most all of them")
        self.seconds.setRange(0.5, 600.0)
        self.seconds.setValue(6.0)
        self.seconds.setSuffix(" s")
        self.seconds.setToolTip("How long the film takes")
        for words, name in (("stored steps of the run", "steps"), ("the panel's own time", "own")):
            self.time.addItem(words, name)
        self.time.setToolTip(
            "What goes by in a film: the training, or what the panel plays itself"
        )
        self.browse.setText("…")
        self.browse.setToolTip("Choose where to")
        self.path.setToolTip("The file to write")
        self.words.setWordWrap(True)
        self.progress.setTextVisible(False)
        for widget in (
            self.panel, self.kind, self.scale, self.time, self.frames, self.seconds, self.path,
        ):  # fmt: skip
            widget.setAccessibleName(widget.toolTip())

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Panel", self.panel)
        form.addRow("As", self.kind)
        form.addRow("Scale", self.scale)
        form.addRow("Film of", self.time)
        film = QHBoxLayout()
        film.addWidget(self.frames)
        film.addWidget(self.seconds)
        form.addRow("Frames, length", film)
        where = QHBoxLayout()
        where.addWidget(self.path, 1)
        where.addWidget(self.browse)
        form.addRow("File", where)
        buttons = QHBoxLayout()
        buttons.addWidget(self.words, 1)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.go)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 12, 14, 12)
        column.addWidget(self.title)
        column.addLayout(form)
        column.addWidget(self.progress)
        column.addLayout(buttons)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._suggest)
        self.panel.currentIndexChanged.connect(self._suggest)
        self.go.clicked.connect(lambda: self.ordered.emit(self.order()))
        self.stop.clicked.connect(self._on_stop)
        self.browse.clicked.connect(self._on_browse)
        self._look.changed.connect(self.restyle)
        parent = self.parentWidget()
        if parent is not None:
            parent.installEventFilter(self)

    def _suggest(self, *_: object) -> None:
        """A file name that fits, in the folder of the one before."""
        ending = str(self.kind.currentData())
        written = self.path.text()
        folder = Path(written).parent if written else self._folder
        self.path.setText(str(folder / f"{self.panel.currentData() or 'panel'}{ending}"))
        self.scale.setEnabled(ending in SCALED)
        for widget in (self.frames, self.seconds):
            widget.setEnabled(ending in FILMS)
        own = self._own.get(str(self.panel.currentData()), 0)
        self.time.setEnabled(ending in FILMS and own > 0)
        self.time.setCurrentIndex(self.time.findData("own" if own else "steps"))
        self.say("")

    def _on_stop(self) -> None:
        if self.stop.text() == "Cancel":
            self.cancelled.emit()
        else:
            self.hide()

    def _on_browse(self) -> None:
        ending = str(self.kind.currentData())
        dialog = QFileDialog(self, "Export as", str(Path(self.path.text()).parent))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(f"*{ending}")
        dialog.setDefaultSuffix(ending.lstrip("."))
        dialog.selectFile(Path(self.path.text()).name)
        dialog.fileSelected.connect(self.path.setText)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _place(self) -> None:
        parent = self.parentWidget()
        if parent is not None:
            self.move((parent.width() - self.width()) // 2, parent.height() // 8)
