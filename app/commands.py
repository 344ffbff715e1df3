"""The entries of the table of actions: what the user can do, with its words and its key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.actions import Entry
from app.examples import example_entries
from app.exporting import export_entries
from app.panel_manager import panel_kinds
from app.session_commands import session_entries

if TYPE_CHECKING:
    from app.main_window import MainWindow

EXACT = "A step that is not stored is reached by repeating the steps before it."
MENUS = {"file": "&File", "edit": "&Edit", "run": "&Run", "view": "&View", "help": "&Help"}


def entries(window: MainWindow) -> list[Entry]:
    """All actions of a main window."""
    return [
        *_file(window),
        *export_entries(window),
        *_edit(window),
        *_run(window),
        *_race(window),
        *_view(window),
        *_panels(window),
        *_help(window),
    ]


def _needs_run(window: MainWindow) -> Callable[[], str]:
    return lambda: "" if window.session.current else "no run is open"


def _always() -> str:
    return ""


def _file(w: MainWindow) -> list[Entry]:
    needs = _needs_run(w)
    return [
        Entry(
            "file.open",
            "Open …",
            w.files.open_dialog,
            "Ctrl+O",
            "Open a session (.genscope) or add a saved run (.safetensors).",
        ),
        Entry(
            "file.open_data",
            "Open own data …",
            w.files.open_data_dialog,
            "Ctrl+D",
            "Train on a table of your own: CSV, TSV, NPY or NPZ; or on an array of pictures.",
        ),
        Entry(
            "file.open_pictures",
            "Open own pictures …",
            w.files.open_pictures_dialog,
            "Ctrl+Shift+D",
            "Train on a folder of pictures of your own.",
        ),
        *example_entries(w),
        *session_entries(w),
        Entry(
            "file.save",
            "Save the run",
            w.files.save,
            "Ctrl+Alt+S",
            "Write the run in view as one .safetensors file.",
            False,
            needs,
        ),
        Entry(
            "file.save_as",
            "Save the run as …",
            w.files.save_dialog,
            "Ctrl+Alt+Shift+S",
            "",
            False,
            needs,
        ),
        Entry(
            "file.picture",
            "Save a picture of the window",
            w.files.save_screenshot,
            "Ctrl+P",
            "A PNG of the window in the folder last used.",
        ),
        Entry("file.quit", "Quit", w.close, "Ctrl+Q"),
    ]


def _edit(w: MainWindow) -> list[Entry]:
    stack = w.undo_stack
    return [
        Entry(
            "edit.undo",
            "Undo",
            lambda: w.panel_undo.undo(),
            "Ctrl+Z",
            "Take back what was done last; a run that it replaced or closed comes back trained.",
            False,
            lambda: "" if stack.canUndo() else "nothing to undo",
        ),
        Entry(
            "edit.redo",
            "Redo",
            lambda: w.panel_undo.redo(),
            "Ctrl+Shift+Z",
            "Do again what was taken back.",
            False,
            lambda: "" if stack.canRedo() else "nothing to redo",
        ),
        Entry(
            "edit.palette",
            "Command palette",
            w.show_palette,
            "Ctrl+K",
            "Find any action by typing a part of its name.",
        ),
    ]


def _run(w: MainWindow) -> list[Entry]:
    needs = _needs_run(w)
    keys = [
        ("play", "Play or pause", w.toggle_playing, "Space", "Train, or stop after this step."),
        ("step", "One step on", lambda: w.step(1), "Right", "One training step, then pause."),
        ("back", "One step back", lambda: w.step(-1), "Left", "Look at the stored step before."),
        *_travel(w),
        ("slow", "Slow motion", w.transport.toggle_slow, "S", "A few steps a second."),
        ("faster", "Faster", lambda: w.transport.nudge_pace(1), "]", "Raise the speed limit."),
        ("slower", "Slower", lambda: w.transport.nudge_pace(-1), "[", "Lower the speed limit."),
        (
            "reset",
            "Reset",
            w.edits.reset,
            "Ctrl+R",
            "Back to step 0 with the same initial weights.",
        ),
        ("new", "New run beside this one", w.edits.new_run, "Ctrl+T", "Same set-up, another run."),
        ("close", "Close the run", w.close_run, "Ctrl+W", ""),
        ("next", "Next run", lambda: w.cycle_runs(1), "Ctrl+Tab", ""),
        ("previous", "Previous run", lambda: w.cycle_runs(-1), "Ctrl+Shift+Tab", ""),
    ]
    always = ("play", "new")
    made = [
        Entry(f"run.{name}", text, call, key, tip, False, _always if name in always else needs)
        for name, text, call, key, tip in keys
    ]
    restart = Entry(
        "run.restart_engine",
        "Restart the engine",
        w.session.restart_engine,
        "Ctrl+Shift+R",
        "Stop the engine process and start it again; runs come back from their last keyframe.",
    )
    return [*made, restart]


def _travel(w: MainWindow) -> list[tuple[str, str, Callable[[], object], str, str]]:
    """What moves the cursor, and the fork that begins where it stands."""
    return [
        ("one_on", "Look one step later", lambda: w.travel.by_one(1), "Shift+Right", EXACT),
        ("one_back", "Look one step earlier", lambda: w.travel.by_one(-1), "Shift+Left", EXACT),
        ("goto", "Go to a step …", w.travel.ask_step, "Ctrl+G", EXACT),
        ("live", "Back to the newest step", w.travel.live, "End", "Escape does it too."),
        ("first", "Look at the first step", lambda: w.travel.go(0), "Home", ""),
        (
            "history",
            "Play through the stored steps",
            w.travel.toggle_playing,
            "Shift+Space",
            "The cursor runs through history; training goes on undisturbed.",
        ),
        (
            "history_back",
            "Play backwards through the stored steps",
            lambda: w.travel.toggle_playing(forwards=False),
            "Ctrl+Shift+Space",
            "",
        ),
        (
            "log",
            "Space the timeline by powers of ten",
            lambda: w.travel.set_log(not w.travel.log),
            "Ctrl+Shift+T",
            "The first steps, which differ most, get more room.",
        ),
        (
            "fork",
            "Fork here",
            w.forking.open_here,
            "Ctrl+F",
            "A second run that parts from this one at the step in view.",
        ),
    ]


def _race(w: MainWindow) -> list[Entry]:
    racing = w.racing
    keys = [
        ("play", "Play all racers", racing.play, "Ctrl+Alt+P", "Each up to the finish line."),
        ("pause", "Pause all racers", racing.pause, "Ctrl+Alt+H", "After the step in hand."),
        ("reset", "Reset all racers", racing.reset, "Ctrl+Alt+R", "All back to step 0."),
        ("lap", "Another lap for all racers", racing.lap, "Ctrl+Alt+L", "Twice the way, and on."),
    ]
    choose = Entry(
        "run.race",
        "New race …",
        racing.choose,
        "Ctrl+Shift+N",
        "Two to eight models on the same data with equal steps, parameters or training time.",
    )
    return [
        choose,
        *(
            Entry(f"run.race_{name}", text, call, key, tip, False, racing.why_not)
            for name, text, call, key, tip in keys
        ),
    ]


def _view(w: MainWindow) -> list[Entry]:
    return [
        Entry("view.theme", "Dark or light", w.toggle_theme, "Ctrl+L", "Switch the theme."),
        Entry(
            "view.larger",
            "Larger",
            lambda: w.set_scale(w.look.scale + 0.1),
            "Ctrl++",
            "Everything larger, up to 250 %.",
        ),
        Entry(
            "view.smaller",
            "Smaller",
            lambda: w.set_scale(w.look.scale - 0.1),
            "Ctrl+-",
            "Everything smaller, down to 100 %.",
        ),
        Entry("view.normal", "Normal size", lambda: w.set_scale(1.0), "Ctrl+0"),
        Entry("view.lecture", "Lecture size", lambda: w.set_scale(1.6), "Ctrl+9"),
        Entry(
            "view.full_screen",
            "Full screen",
            lambda: w.showNormal() if w.isFullScreen() else w.showFullScreen(),
            "F11",
        ),
        Entry(
            "view.setup",
            "Set-up",
            lambda: w.setup_dock.setVisible(not w.setup_dock.isVisible()),
            "F2",
            "Show or hide the set-up.",
        ),
        Entry(
            "view.inspector",
            "Inspector",
            lambda: w.inspector_dock.setVisible(not w.inspector_dock.isVisible()),
            "F3",
            "Show or hide the inspector.",
        ),
        Entry("view.reset_layout", "First layout", w.reset_layout, "Ctrl+Shift+L"),
    ]


def _panels(w: MainWindow) -> list[Entry]:
    def why_not(name: str) -> str:
        view = w.session.current
        if view is None or view.info is None:
            return ""
        return panel_kinds()[name].refusal(view.info.card)

    return [
        Entry(
            f"view.panel_{name}",
            f"Panel: {kind.title}",
            partial(w.workspace.show_panel, name),
            kind.shortcut,
            kind.summary,
            False,
            partial(why_not, name),
        )
        for name, kind in panel_kinds().items()
    ]


def _help(w: MainWindow) -> list[Entry]:
    return [
        Entry(
            "help.keys",
            "All actions and their keys",
            w.show_palette,
            "F1",
            "The command palette lists every action with its key.",
        ),
    ]
