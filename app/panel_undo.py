"""Undo and redo of what the hand does in panels, to docks, and in time: one entry a gesture.

When a gesture begins its panel's state is noted, and when it is over what differs is one entry.
Nothing here knows a control: choices come from ``Panel.save_state``, views, masks and the like
from :class:`~widgets.recall.Recalled`, the chosen point and the docks from the workspace, the
run and the step in view from the window's cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QDockWidget, QMainWindow, QTabBar, QWidget

from app.gestures import Gestures
from app.layout_undo import LayoutUndo, Switch
from app.time_travel import Place, TimeTravel
from app.workspace import Workspace
from widgets.panel import Panel, Point
from widgets.recall import Recalled, parts_of, same

#: What a gesture on the docks may be, by what was touched.
RESIZE, TABS, MOVE = "resize the panels", "switch tabs", "move {}"


@dataclass(eq=False)
class Moment:
    """What can be brought back of one panel, of the docks, or of the place in time."""

    saved: dict[str, Any] = field(default_factory=dict)
    parts: dict[Recalled, Any] = field(default_factory=dict)
    point: tuple[Point | None, ...] = ()
    layout: object = None
    shown: frozenset[QDockWidget] = frozenset()
    floating: frozenset[QDockWidget] = frozenset()
    place: Place | None = None

    def __eq__(self, other: object) -> bool:
        """Whether everything is the same; arrays count as a whole."""
        return isinstance(other, Moment) and same(self._facts(), other._facts())

    def _facts(self) -> tuple[Any, ...]:
        pairs = (*sorted(self.saved.items()), *self.parts.items())
        return pairs, self.point, self.layout, self.shown, self.floating, self.place


@dataclass
class _Begun:
    """A gesture that is on: where, and how it was before; ``words`` if it is on the docks."""

    panel: Panel | None
    words: str
    before: Moment


class PanelUndo(QObject):
    """Writes what gestures changed into the undo stack.

    Args:
        undo_stack: Takes the entries.
        workspace: Whose panels and docks.
        layout_undo: Writes switches down by itself and can be kept quiet.
        layout: Tells how all docks lie, and lays them so again.
        travel: Tells which run and step are in view, and goes back to them.
    """

    def __init__(
        self,
        undo_stack: QUndoStack,
        workspace: Workspace,
        layout_undo: LayoutUndo,
        layout: tuple[Callable[[], object], Callable[[Any], None]],
        travel: TimeTravel,
    ) -> None:
        super().__init__(workspace)
        self._undo, self._workspace, self._watcher = undo_stack, workspace, layout_undo
        self._layout, self._put_layout = layout
        self._travel = travel
        self._begun: _Begun | None = None
        self.gestures = Gestures(self)
        self.gestures.began.connect(self._on_began)
        self.gestures.ended.connect(self._on_ended)
        # What is pushed meanwhile tells already what the gesture did.
        undo_stack.indexChanged.connect(self._take)
        workspace.opened.connect(lambda panel: self._watch(workspace.dock(panel.name)))
        for name in workspace.panels:
            self._watch(workspace.dock(name))

    def undo(self) -> None:
        """Take back what was done last, be it a moment ago."""
        self.gestures.settle()
        self._undo.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        self.gestures.settle()
        self._undo.redo()

    def _watch(self, dock: QDockWidget) -> None:
        self.gestures.watch(dock)

    # --- a gesture ----------------------------------------------------------------------------

    def _on_began(self, widget: QWidget) -> None:
        panel = _around(widget, Panel)
        pressed = panel is None and self.gestures.kind == "press"
        words = _dock_words(widget) if pressed else ""
        self._take()
        if words:
            self._begun = _Begun(None, words, self._arrangement())
            self._watcher.hold()  # a dock that floats hides for a moment: that is no closing
        else:
            self._begun = _Begun(panel, "", self._moment(panel))

    def _take(self) -> _Begun | None:
        """What was begun, which ends with this."""
        begun, self._begun = self._begun, None
        if begun is not None and begun.words:
            self._watcher.let_go()
            self._watcher.sync()
        return begun

    def _on_ended(self) -> None:
        begun = self._take()
        if begun is None:
            return
        if begun.words:
            self._push_layout(begun)
        else:
            self._push_panel(begun.panel, begun.before)

    def _push_layout(self, begun: _Begun) -> None:
        after = self._arrangement()
        if after.layout != begun.before.layout:
            words = _arranged(begun.before, after) or begun.words
            self._watcher.push(Switch(words, partial(self._put, None), begun.before, after))

    def _push_panel(self, panel: Panel | None, before: Moment) -> None:
        after = self._moment(panel)
        saved = [n for n, value in after.saved.items() if not same(before.saved.get(n), value)]
        both = [part for part in after.parts if part in before.parts]
        parts = [p for p in both if not p.is_same(before.parts[p], after.parts[p])]
        moved = before.point != after.point
        went = self._how(before, after)
        words = _words(panel, before, after, parts, saved) or went
        if not words:
            return
        old, new = (_only(moment, saved, parts, moved) for moment in (before, after))
        if went:
            old.place, new.place = before.place, after.place
        slides = self.gestures.last_kind != "press" or _is_amount(after, saved)
        name = panel.name if panel is not None else ""
        merges = f"{name} {saved} {[id(part) for part in parts]} {moved} {bool(went)}"
        put = partial(self._put, panel)
        self._watcher.push(Switch(words, put, old, new, merges if slides else ""))

    def _how(self, before: Moment, after: Moment) -> str:
        """What the user did to get to another place in time, or ""."""
        if before.place is None or after.place is None:
            return ""
        return self._travel.how(before.place, after.place)

    # --- to and fro ---------------------------------------------------------------------------

    def _arrangement(self) -> Moment:
        docks = self._watcher.docks
        shown = frozenset(dock for dock in docks if not dock.isHidden())
        floating = frozenset(dock for dock in shown if dock.isFloating())
        return Moment(layout=self._layout(), shown=shown, floating=floating)

    def _moment(self, panel: Panel | None) -> Moment:
        place = self._travel.place
        if panel is None:
            return Moment(place=place)
        parts = {part: part.kept() for part in parts_of(panel)}
        point = (self._workspace.point,)
        return Moment(dict(panel.save_state()), parts, point, place=place)

    def _put(self, panel: Panel | None, moment: Moment) -> None:
        if moment.layout is not None:
            with self._watcher.quietly():
                self._put_layout(moment.layout)
            self._watcher.sync()
        if moment.place is not None:
            self._travel.return_to(moment.place)
        if panel is not None:
            self._put_panel(panel, moment)

    def _put_panel(self, panel: Panel, moment: Moment) -> None:
        with self._watcher.quietly():
            if moment.saved:
                panel.restore_state(panel.save_state() | moment.saved)
            there = parts_of(panel)  # a panel may have made its parts anew
            for part, value in moment.parts.items():
                if part in there:
                    part.keep(value)
        for point in moment.point:
            self._workspace.choose_point(point)
        if moment.saved or moment.parts:
            panel.asks_changed.emit()


def _only(moment: Moment, saved: list[str], parts: list[Recalled], moved: bool) -> Moment:
    """What of a moment has to be brought back; a choice that was not there yet stays."""
    return Moment(
        {name: moment.saved[name] for name in saved if name in moment.saved},
        {part: moment.parts[part] for part in parts},
        moment.point if moved else (),
    )


def _words(
    panel: Panel | None, before: Moment, after: Moment, parts: list[Recalled], saved: list[str]
) -> str:
    """What the user did in a panel, in the words of what changed first; "" for nothing."""
    if panel is None or not (parts or saved or before.point != after.point):
        return ""
    if parts:
        words = parts[0].what_changed(before.parts[parts[0]], after.parts[parts[0]])
    elif saved:
        words = f"{saved[0].replace('_', ' ')} {_shown(after.saved[saved[0]])}"
    else:
        return "take the point away" if after.point == (None,) else "choose a point"
    return f"{panel.title}: {words}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_amount(moment: Moment, saved: list[str]) -> bool:
    """Whether all that changed are numbers, which are set by and by."""
    values: Mapping[str, Any] = moment.saved
    return bool(saved) and all(
        isinstance(values[name], int | float) and not isinstance(values[name], bool)
        for name in saved
    )


def _arranged(before: Moment, after: Moment) -> str:
    """What became of a dock, or "" where all are open and in the window as before."""
    changes = (
        ("close", before.shown - after.shown),
        ("open", after.shown - before.shown),
        ("float", after.floating - before.floating),
        ("dock", before.floating - after.floating),
    )
    return next((f"{verb} {dock.windowTitle()}" for verb, docks in changes for dock in docks), "")


def _around(widget: QWidget | None, kind: type[Panel]) -> Panel | None:
    """The panel that a widget, or a list that hangs from it, belongs to."""
    while widget is not None and not isinstance(widget, kind):
        widget = widget.parentWidget()
    return widget if isinstance(widget, kind) else None


def _dock_words(widget: QWidget) -> str:
    """What a hand on this widget does to the docks, or ""."""
    if isinstance(widget, QMainWindow):
        return RESIZE
    parent = widget.parentWidget()
    if isinstance(widget, QTabBar) and isinstance(parent, QMainWindow):
        return TABS
    for dock in (widget, parent):
        if isinstance(dock, QDockWidget) and widget is not dock.widget():
            return MOVE.format(dock.windowTitle())
    return ""
