"""The window: set-up left, panels in the middle, inspector right, transport below."""

from __future__ import annotations

import base64
import time
from functools import partial

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QUndoStack,
)
from PySide6.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from app.actions import Actions
from app.asking import Asker
from app.commands import MENUS, entries
from app.edits import Edits
from app.engine_pool import EnginePool
from app.fetch_bar import FetchBar
from app.files import Files, can_open
from app.forking import Forking
from app.headlines import Headlines
from app.layout_undo import LayoutUndo, Switch
from app.notices import Notice, Notices
from app.own_data import PICTURES, POINTS
from app.painting import PaintingDesk
from app.painting_kept import PaintingKept
from app.panel_undo import PanelUndo
from app.racing import Racing
from app.run_view import RunView
from app.runs_strip import RunsStrip
from app.session import Session
from app.sessions import Sessions
from app.settings import Settings
from app.setup_dock import SetupDock
from app.time_travel import TimeTravel
from app.watch import EngineWatch
from app.workspace import Workspace
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, Hello, RunSpec, RunState
from widgets.controls.banner import Banner
from widgets.controls.command_palette import CommandPalette
from widgets.controls.status import StatusLine
from widgets.controls.transport import TransportBar
from widgets.inspector import Inspector
from widgets.look import PALETTES, Look
from widgets.painting.state import is_picture
from widgets.panel import Panel

#: Below this width, at scale 1, there is no room for three columns.
CROWDED_WIDTH = 900
#: Milliseconds between two data sets' icons.
ICON_MS = 250
#: Milliseconds that a passing message stays.
NOTICE_MS = 6000
SCALE_STEP = 0.1
SCALE_RANGE = (1.0, 2.5)


class MainWindow(QMainWindow):
    """Puts the parts together; each part's own work is in its own file.

    Signals:
        first_density: The first density picture is on screen.
    """

    first_density = Signal()

    def __init__(self, link: EnginePool, notices: Notices, look: Look, settings: Settings) -> None:
        super().__init__()
        self.link, self.notices, self.look, self.settings = link, notices, look, settings
        self.session = Session(link, notices)
        self.asker = Asker(link, self.session)
        self.headlines = Headlines(link, self.session)
        self.undo_stack = QUndoStack(self)
        self._pictures: list[tuple[float, float]] = []
        self._seen_density = False
        self._iconless: list[str] = []
        self._crowded = False
        self.setWindowTitle("Genscope")
        self.setAcceptDrops(True)
        self.files = Files(self)
        self._make_parts()
        self.sessions = Sessions(self)
        self.racing = Racing(self.session, self.workspace, self.undo_stack, self._data_in_view)
        self.sessions.add_section("race", self.racing.save, self.racing.restore)
        self.actions_table = Actions(self)
        self.actions_table.add(entries(self))
        menus = self.actions_table.fill(self.menuBar(), MENUS)
        for menu in menus.values():
            menu.aboutToShow.connect(self._refresh_actions)
        self._connect()
        self.watch = EngineWatch(self.session, notices)
        self._watch_undo()
        self.painting = PaintingDesk(self.session, self.undo_stack, self.workspace)
        self.painting_kept = PaintingKept(self.session, self.sessions, self.workspace)
        self._restore()

    # --- parts ----------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        self.workspace = Workspace(self.look, self)
        self.setCentralWidget(self.workspace)
        self.setup = SetupDock(self.look)
        self.edits = Edits(self.session, self.undo_stack, self.setup)
        self.inspector = Inspector(self.look)
        self.strip = RunsStrip(self.look)
        self.banner = Banner(self.look)
        self.fetching = FetchBar(self.session, self.look)
        self.transport = TransportBar(self.look)
        self.travel = TimeTravel(self.session, self.transport)
        self.forking = Forking(self.session, self.travel, self.undo_stack, self.look, self)
        self.status = StatusLine(self.look)
        self.palette_box = CommandPalette(self.look, self)
        self.setup_dock = self._dock("Set-up", self.setup, Qt.DockWidgetArea.LeftDockWidgetArea)
        self.inspector_dock = self._dock(
            "Inspector", self.inspector, Qt.DockWidgetArea.RightDockWidgetArea
        )
        self._make_bars()
        self.resizeDocks(
            [self.setup_dock, self.inspector_dock],
            [self.look.px(270), self.look.px(270)],
            Qt.Orientation.Horizontal,
        )

    def _make_bars(self) -> None:
        top = QWidget()
        column = QVBoxLayout(top)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.strip)
        column.addWidget(self.banner)
        column.addWidget(self.fetching)
        for area, widget, name in (
            (Qt.ToolBarArea.TopToolBarArea, top, "Runs"),
            (Qt.ToolBarArea.BottomToolBarArea, self.transport, "Transport"),
        ):
            bar = QToolBar(name, self)
            bar.setObjectName(name.lower())
            bar.setMovable(False)
            bar.toggleViewAction().setEnabled(False)
            bar.addWidget(widget)
            self.addToolBar(area, bar)
        self.statusBar().addPermanentWidget(self.status)

    def _dock(self, title: str, widget: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = QDockWidget(title, self)
        dock.setObjectName(title.lower())
        dock.setWidget(widget)
        self.addDockWidget(area, dock)
        return dock

    def _connect(self) -> None:
        session, transport = self.session, self.transport
        session.catalogue_changed.connect(self._on_catalogue)
        session.runs_changed.connect(self._on_runs_changed)
        session.current_changed.connect(self._on_current_changed)
        session.state_changed.connect(self._on_state_changed)
        session.data_changed.connect(self._on_data_changed)
        self.look.changed.connect(self._fit_docks)
        session.run_refused.connect(lambda: self.setup.revert(session.current))
        session.run_failed.connect(self._on_run_failed)
        session.pace_changed.connect(self._on_pace_changed)
        transport.play_toggled.connect(self.set_playing)
        transport.step_requested.connect(self.step)
        transport.reset_requested.connect(self.edits.reset)
        transport.pace_changed.connect(self.edits.set_pace)
        transport.fork_requested.connect(self.forking.open_here)
        self.travel.said.connect(self.statusBar().showMessage)
        self.strip.selected.connect(session.select)
        self.strip.close_requested.connect(self.edits.close)
        self.strip.new_requested.connect(self.edits.new_run)
        self.setup.open_data_requested.connect(self.files.open_data_dialog)
        self.setup.open_pictures_requested.connect(self.files.open_pictures_dialog)
        self.setup.preview_requested.connect(
            lambda path, key: session.preview_table(path, key, self.setup.show_preview)
        )
        self.undo_stack.indexChanged.connect(self._refresh_actions)
        self.workspace.opened.connect(self._on_panel_opened)
        self.asker.pictured.connect(self._on_pictured)
        self.notices.posted.connect(self._on_notice)
        self.notices.withdrawn.connect(self.banner.clear)
        self.palette_box.chosen.connect(self.actions_table.trigger)
        self._strip_timer = QTimer(self)
        self._strip_timer.setInterval(500)
        self._strip_timer.timeout.connect(self._refresh_strip)
        self._strip_timer.start()
        self._icon_timer = QTimer(self)
        self._icon_timer.setInterval(ICON_MS)
        self._icon_timer.timeout.connect(self._fetch_icon)

    def _watch_undo(self) -> None:
        """What the user does to the window can be undone too, and the menu says what."""
        self.layout_undo = LayoutUndo(self.undo_stack, self.workspace)
        parts = self.workspace, self.layout_undo, (self._layout, self._put_layout), self.travel
        self.panel_undo = PanelUndo(self.undo_stack, *parts)
        self.panel_undo.gestures.watch(self)
        for dock in (self.setup_dock, self.inspector_dock):
            self.layout_undo.watch(dock)
            self.panel_undo.gestures.watch(dock)
        for verb, changed in (
            ("Undo", self.undo_stack.undoTextChanged),
            ("Redo", self.undo_stack.redoTextChanged),
        ):
            action = self.actions_table.action(f"edit.{verb.lower()}")
            changed.connect(partial(self._name_undo, action, verb))

    def _name_undo(self, action: QAction, verb: str, words: str) -> None:
        action.setText(f"{verb}: {words}" if words else verb)

    # --- what actions do ------------------------------------------------------------------------

    def set_playing(self, playing: bool) -> None:
        """Train, or stop after the step in hand."""
        view = self.session.current
        if view is not None:
            self.edits.set_playing(view, playing)
        elif playing:
            self.setup.start()

    def toggle_playing(self) -> None:
        """Play or pause."""
        view = self.session.current
        self.set_playing(view is None or not view.is_training)

    def step(self, direction: int) -> None:
        """One training step on; while a stored step is in view, to the stored one beside it."""
        view = self.session.current
        if view is not None and direction > 0 and self.session.cursor is None:
            self.session.step(view)
        else:
            self.travel.by_stored(direction)

    def _data_in_view(self) -> RunSpec | None:
        current = self.session.current
        return current.spec if current is not None else self.setup.spec

    def close_run(self) -> None:
        """Close the run in view."""
        if self.session.current is not None:
            self.edits.close(self.session.current.run)

    def cycle_runs(self, direction: int) -> None:
        """Bring the next or the previous run into view."""
        runs = [view.run for view in self.session.runs]
        if self.session.current is not None and self.session.current.run in runs:
            place = runs.index(self.session.current.run) + direction
            self.session.select(runs[place % len(runs)])

    def set_theme(self, name: str) -> None:
        """Dark or light."""
        before = self.look.palette.name
        self._put_theme(name)
        if name != before:
            self.layout_undo.push(Switch(f"{name} theme", self._put_theme, before, name))

    def _put_theme(self, name: str) -> None:
        self.settings.appearance.theme = name
        self.look.set(palette=PALETTES[name])

    def toggle_theme(self) -> None:
        """The other theme."""
        self.set_theme("light" if self.look.palette.name == "dark" else "dark")

    def set_scale(self, scale: float) -> None:
        """Size of the whole user interface, 1.0 … 2.5."""
        low, high = SCALE_RANGE
        scale, before = round(min(high, max(low, scale)), 2), self.look.scale
        self._put_scale(scale)
        if scale != before:
            words = f"size {scale:.0%}"
            self.layout_undo.push(Switch(words, self._put_scale, before, scale, merges="scale"))

    def _put_scale(self, scale: float) -> None:
        self.settings.appearance.scale = scale
        self.look.set(scale=scale)
        self.notices.info(f"UI scale {scale:.0%}")

    def show_palette(self) -> None:
        """The command palette."""
        self.actions_table.refresh()
        table = self.actions_table
        self.palette_box.open(
            [
                (entry.id, entry.text, table.shortcut(entry.id), not why, why)
                for entry in table.entries
                if (why := entry.why_not()) is not None
            ]
        )

    def reset_layout(self) -> None:
        """The first layout of docks."""
        before = self._layout()
        with self.layout_undo.quietly():
            for dock in (self.setup_dock, self.inspector_dock):
                dock.setFloating(False)
                dock.show()
            self.workspace.arrange()
        self.layout_undo.push(Switch("first layout", self._put_layout, before, self._layout()))

    def _layout(self) -> tuple[QByteArray, QByteArray]:
        return self.saveState(), self.workspace.saveState()

    def _put_layout(self, states: tuple[QByteArray, QByteArray]) -> None:
        with self.layout_undo.quietly():
            self.restoreState(states[0])
            self.workspace.restoreState(states[1])
        self.layout_undo.sync()

    # --- the session speaks ---------------------------------------------------------------------

    def _on_catalogue(self, hello: Hello) -> None:
        self.setup.show_catalogue(hello)
        if self.session.current is None:
            self.transport.set_state(RunState("", "ready", 0))
        self._iconless = [c.name for c in hello.datasets if c.name not in (POINTS, PICTURES)]
        device = hello.devices[0] if hello.devices else "cpu"
        self.status.set_device(f"{device} · torch {hello.torch_version}")

    def _on_runs_changed(self) -> None:
        self._refresh_strip()
        self.actions_table.refresh()

    def _refresh_strip(self) -> None:
        current = self.session.current
        self.strip.show_runs(self.session.runs, current.run if current else None)

    def _on_current_changed(self, view: RunView | None) -> None:
        info = view.info if view else None
        self.setup.show_run(view)
        self.inspector.show_run(info)
        if view is None:
            self.transport.set_state(RunState("", "ready", 0))
        elif view.state is not None:
            self.transport.set_state(view.state)
        self.transport.set_pace(view.pace if view else None)
        if info is not None:
            self.status.set_device(info.device)
        title = view.title if view else "no run"
        self.sessions.retitle(title)
        self._refresh_strip()
        self.actions_table.refresh()

    def _on_state_changed(self, view: RunView) -> None:
        if view is not self.session.current or view.state is None:
            return
        self.transport.set_state(view.state)
        self.status.set_rate(view.state.steps_per_second)
        self.setup.show_live(view.state.live)

    def _on_data_changed(self, view: RunView) -> None:
        if view is self.session.current:
            self.setup.show_run(view)
            self.inspector.show_run(view.info)
            self._refresh_strip()

    def _on_run_failed(self, view: RunView, failed: Failed) -> None:
        text = f"{view.title}: {failed.message}."
        if not failed.offer:
            self.notices.error(text)
            return
        words = ", ".join(f"{name} {_short(value)}" for name, value in failed.offer.items())

        def try_offer() -> None:
            self.edits.change_live(view, dict(failed.offer))
            self.session.play(view)

        label = f"Go on with {words}".replace(" ", "_")
        self.notices.error(text, **{label: try_offer})

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        # Not with a density's data points: the icons would come before the density itself.
        first = panel != "density" or part in ("density", "samples")
        if first and self._iconless and not self._icon_timer.isActive():
            self._icon_timer.start()
        if panel != "density" or part != "density":
            return
        now = time.monotonic()
        recent = [entry for entry in self._pictures if now - entry[0] < 2.0]
        self._pictures = [*recent, (now, answer.elapsed)]
        self.status.set_frames(len(self._pictures) / 2.0, answer.elapsed * 1000)
        if not self._seen_density:
            self._seen_density = True
            self.first_density.emit()

    def _fetch_icon(self) -> None:
        """One data set's picture for the list, one after the other so that nothing stutters."""
        if not self._iconless:
            self._icon_timer.stop()
            return
        name = self._iconless.pop(0)
        self.session.sample_dataset(name, partial(self.setup.show_sample, name))

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind == "info" and not notice.lasting:
            self.statusBar().showMessage(notice.text, NOTICE_MS)
            return
        show = {
            "error": self.banner.show_error,
            "warning": self.banner.show_warning,
        }.get(notice.kind, self.banner.show_info)
        show(notice.text, **notice.offers)

    # --- the user speaks ------------------------------------------------------------------------

    def _on_pace_changed(self, view: RunView) -> None:
        if view is self.session.current:
            self.transport.set_pace(view.pace)

    def _on_panel_opened(self, panel: Panel) -> None:
        panel.pointed.connect(self.inspector.show_pointed)
        self.asker.add(panel)

    def _refresh_actions(self) -> None:
        self.actions_table.refresh()

    # --- layout ---------------------------------------------------------------------------------

    def _restore(self) -> None:
        layout = self.settings.layout
        self.resize(1280, 720)
        self.workspace.resize(self.size())
        self.workspace.arrange()
        if layout.docks and not self.workspace.restore(layout.docks, layout.panels):
            self.workspace.arrange()
        if layout.geometry:
            self.restoreGeometry(QByteArray(base64.b64decode(layout.geometry)))
        self._fit_docks()

    def _fit_docks(self) -> None:
        """On a small screen at lecture size docks share their place as tabs."""
        crowded = self.width() < CROWDED_WIDTH * self.look.scale
        if crowded == self._crowded:
            return
        self._crowded = crowded
        if crowded:
            self.tabifyDockWidget(self.setup_dock, self.inspector_dock)
            self.setup_dock.raise_()
        else:
            self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.inspector_dock)
        self.workspace.stack(crowded)

    def remember_layout(self) -> None:
        """Write geometry, docks and panel choices into the settings."""
        layout = self.settings.layout
        layout.geometry = base64.b64encode(bytes(self.saveGeometry().data())).decode()
        layout.docks, layout.panels = self.workspace.save()

    # --- Qt -------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout, then let the engine go."""
        self.sessions.stop()
        self.remember_layout()
        self.undo_stack.indexChanged.disconnect(self._refresh_actions)
        self.asker.stop()
        self.headlines.stop()
        self._strip_timer.stop()
        self._icon_timer.stop()
        self.link.stop()
        super().closeEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape, where nothing else wanted it, goes back to the newest step."""
        if event.key() == Qt.Key.Key_Escape and self.session.cursor is not None:
            self.travel.live()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files that can be opened."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        if any(can_open(path) or is_picture(path) for path in paths):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        for url in event.mimeData().urls():
            if can_open(url.toLocalFile()):
                self.files.open_path(url.toLocalFile())
            elif is_picture(url.toLocalFile()):
                self.painting.open_picture(url.toLocalFile())
        event.acceptProposedAction()


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
