"""The trained models that come with the program, each an entry of the File menu."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.actions import Entry
from app.files import ASSETS
from app.undo import AddRun

if TYPE_CHECKING:
    from app.main_window import MainWindow


@dataclass(frozen=True)
class Example:
    """A file of ``assets/pretrained``, and the panel that shows what it can do."""

    name: str
    words: str
    tip: str
    panel: str = "pixels"

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return ASSETS / "pretrained" / f"{self.name}.safetensors"

    def why_not(self) -> str:
        """Why it cannot be opened, or ""."""
        return "" if self.path.is_file() else f"{self.path.name} is not there"


EXAMPLES = (
    Example(
        "digits",
        "digits, pixel by pixel",
        "A trained Gated PixelCNN of 8×8 digits in 17 levels, each class on demand.",
    ),
    Example(
        "sprites",
        "sprites, pixel by pixel",
        "A trained Gated PixelCNN of squares, ellipses and hearts, 24×24 in black and white.",
    ),
    Example(
        "mnist",
        "MNIST, pixel by pixel",
        "A trained Gated PixelCNN of handwritten digits, 28×28 in black and white.",
    ),
)


def example_entries(window: MainWindow) -> list[Entry]:
    """One action per example."""
    return [
        Entry(
            f"file.example_{example.name}",
            f"Example: {example.words}",
            partial(open_example, window, example),
            "",
            example.tip,
            False,
            example.why_not,
        )
        for example in EXAMPLES
    ]


def open_example(window: MainWindow, example: Example) -> None:
    """Add the run, and bring its panel to the front."""
    make = partial(window.session.open_file, str(example.path), playing=False)
    window.undo_stack.push(AddRun(window.session, f"open {example.words}", make))
    window.workspace.show_panel(example.panel)
