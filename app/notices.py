"""One sink for messages: everything the user should know goes through here and into the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Signal

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """A sentence with its weight (``"info"``, ``"warning"``, ``"error"``) and what to do.

    ``offers`` maps the words on a button (``_`` for a space) to what it does.
    """

    kind: str
    text: str
    offers: dict[str, Callable[[], object]] = field(default_factory=dict)
    lasting: bool = True


class Notices(QObject):
    """Collects notices and passes them on.

    Signals:
        posted: A :class:`Notice`.
        withdrawn: What was said before no longer holds.
    """

    posted = Signal(object)
    withdrawn = Signal()

    def info(self, text: str, **offers: Callable[[], object]) -> None:
        """Worth knowing; shown for a while in the status bar."""
        self._post(Notice("info", text, offers, lasting=bool(offers)))

    def warning(self, text: str, **offers: Callable[[], object]) -> None:
        """Needs attention; stays until dismissed."""
        self._post(Notice("warning", text, offers))

    def error(self, text: str, **offers: Callable[[], object]) -> None:
        """Something failed; stays until dismissed."""
        self._post(Notice("error", text, offers))

    def withdraw(self) -> None:
        """Take back what is shown."""
        self.withdrawn.emit()

    def _post(self, notice: Notice) -> None:
        log.info("%s: %s", notice.kind, notice.text)
        self.posted.emit(notice)
