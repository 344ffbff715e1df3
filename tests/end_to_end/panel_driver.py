"""The real window on a real engine with one panel in front, driven as a hand would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.look import Look

PATIENCE_MS = 60_000


class PanelDriver:
    """Starts runs, brings the panel to the front and waits for what the user would see.

    Attributes:
        name: The panel's.
        answers: The latest answer to each part that the panel asked.
    """

    name: ClassVar[str]

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot
        self.answers: dict[str, m.Answer] = {}
        window.asker.pictured.connect(self.note)

    def note(self, panel: str, part: str, answer: m.Answer) -> None:
        """An answer came."""
        if panel == self.name:
            self.answers[part] = answer

    def until(self, condition: Callable[..., object]) -> None:
        """Let the window live until a condition holds."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def start(self, spec: m.RunSpec) -> None:
        """A run that stands still, shown in the panel."""
        session = self.window.session
        before = session.current
        session.start(spec, playing=False)
        self.until(lambda: (r := session.current) and r is not before and r.info)
        self.window.workspace.show_panel(self.name)

    def click(self, widget: QWidget, spot: QPoint | None = None) -> None:
        """As a hand does, in the middle unless told: on the window, which undo listens to."""
        at = widget.mapTo(self.window, widget.rect().center() if spot is None else spot)
        QTest.mouseClick(self.window.windowHandle(), Qt.MouseButton.LeftButton, pos=at)  # type: ignore[call-overload]
        self.window.panel_undo.gestures.settle()

    @property
    def run(self) -> Any:
        """The run in view."""
        assert self.window.session.current is not None
        return self.window.session.current

    @property
    def panel(self) -> Any:
        """The panel itself."""
        return self.window.workspace.panels[self.name]

    def mode(self, name: str) -> Any:
        """Bring one of the panel's modes to the front."""
        self.panel.set_mode(name)
        return self.panel.modes[name]

    @property
    def chips(self) -> str:
        """What is said below the pictures."""
        return str(self.panel.chips.accessibleName())


Made = TypeVar("Made", bound=PanelDriver)


@contextmanager
def opened(
    kind: type[Made], qtbot: Any, folder: Path, size: tuple[int, int] | None = None
) -> Iterator[Made]:
    """A window whose engine is there, and its driver."""
    link = EnginePool(lambda: start_engine(folder / "keyframes"))
    window = MainWindow(link, Notices(), Look(), settings_file.Settings())
    qtbot.addWidget(window)
    made = kind(window, qtbot)
    if size is not None:
        window.resize(*size)
    window.show()
    made.until(lambda: window.session.hello)
    yield made
    window.close()
