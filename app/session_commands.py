"""The File menu's entries about whole sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.actions import Entry

if TYPE_CHECKING:
    from app.main_window import MainWindow


def session_entries(window: MainWindow) -> list[Entry]:
    """Save, save as, and what a crash left."""
    sessions = window.sessions

    def needs_run() -> str:
        return "" if window.session.runs else "no run is open"

    def needs_leftover() -> str:
        return "" if sessions.can_recover else "nothing was left behind by a crash"

    return [
        Entry(
            "file.save_session",
            "Save the session",
            sessions.save,
            "Ctrl+S",
            "All runs with their history, data, curves, cursor and layout as one .genscope file.",
            False,
            needs_run,
        ),
        Entry(
            "file.save_session_as",
            "Save the session as …",
            window.files.save_session_dialog,
            "Ctrl+Shift+S",
            "The same under another name; it opens on any machine.",
            False,
            needs_run,
        ),
        Entry(
            "file.recover",
            "Recover what a crash left …",
            sessions.offer_next,
            "",
            "Runs that were open when Genscope or the machine stopped unexpectedly.",
            False,
            needs_leftover,
        ),
    ]
