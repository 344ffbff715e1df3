"""Chains: Markov chains that walk on an energy, step by step, and what they tell of it."""

from __future__ import annotations

from collections.abc import Mapping

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.chains.buffer_mode import LONGEST, ORDERS, BufferMode
from widgets.chains.desk import Desk
from widgets.chains.forces_mode import ForcesMode
from widgets.chains.moves_bar import MovesBar
from widgets.chains.outside_mode import OutsideMode
from widgets.chains.truth_mode import TruthMode
from widgets.chains.walk_mode import ARROWS, TOGGLES, VIEWS, WalkMode
from widgets.look import Look
from widgets.mode_panel import ModePanel

MODES = (
    ("walk", "Walk", "Chains on the energy, one step at a time: drift, noise, accept or refuse"),
    ("forces", "Forces", "Training as two forces: data pull the energy down, chains push it up"),
    ("buffer", "Long run", "The training's replay buffer, and chains far beyond its length"),
    ("truth", "Truth", "Have the chains mixed? R-hat, occupancy, and the bias of their law"),
    ("outside", "Outside", "The energy as a score of what is unlike the data, with its AUROC"),
)
HINT = "Choose 2-D data and the energy-based model on the left, then press play (space)."


class ChainsPanel(ModePanel):
    """Chains on the energy of a model, or of a target."""

    name = "chains"
    title = "Chains"
    summary = "Markov chains on the energy: Langevin, MALA, HMC, step by step, and their bias."
    needs = (frozenset({Capability.ENERGY}), frozenset({Capability.LOG_PROB}))
    shortcut = "Ctrl+Alt+C"

    MODES = MODES
    HINT = HINT
    NOTHING = "No energy is open"

    desk: Desk

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.walk = WalkMode(look, self.desk)
        self.forces = ForcesMode(look, self.desk, self.walk)
        self.buffer, self.truth = BufferMode(look, self.desk), TruthMode(look, self.desk)
        self.outside = OutsideMode(look, self.desk)
        self.bar = MovesBar(look, self.desk)
        self.bar.chosen.connect(self._on_chosen)
        self.bar.again.connect(lambda: self._on_chosen("seed", self.desk.seed + 1))
        self.desk.changed.connect(self._on_changed)
        self.set_up(
            {
                "walk": self.walk,
                "forces": self.forces,
                "buffer": self.buffer,
                "truth": self.truth,
                "outside": self.outside,
            },
            self.bar,
        )

    def set_mode(self, name: str) -> None:
        """How chains walk is no matter where none does."""
        super().set_mode(name)
        self.bar.setVisible(self.mode is not self.outside)

    # --- run ----------------------------------------------------------------------------------

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """Runs on which nothing can walk."""
        reason = _reason(info)
        return (f"Nothing walks on {info.card.title} here", reason) if reason else ("", "")

    def _open(self, info: RunInfo) -> None:
        super()._open(info)
        self.bar.show_desk()

    def show_answer(self, part: str, answer: Answer) -> None:
        """All answers go to the mode in front; an energy says which kernels can walk on it."""
        super().show_answer(part, answer)
        if self.run is not None:
            if part == "data" and self.mode is not self.walk:
                self.walk.show_answer(part, answer)  # they say for all modes what is in view
            if part == "surface" and self.desk.surface is not None:
                self._offer_kernels(self.desk.surface.kernels)
            self._show_chips()

    def _offer_kernels(self, kernels: tuple[str, ...]) -> None:
        """A kernel that this energy has not got gives way to the first."""
        if kernels and self.desk.kernel not in kernels:
            self.desk.set(0, kernel=kernels[0])
        self.bar.set_kernels(kernels)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: walks are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.bar.restyle()
        super().restyle()

    def save_state(self) -> dict[str, Value]:
        """The mode, how chains walk, and what is drawn."""
        switches: dict[str, Value] = {
            f"show_{toggle.name}": self.walk.tools.is_checked(toggle.name) for toggle in TOGGLES
        }
        return super().save_state() | {
            "view": self.walk.switch.current,
            "n_arrows": self.walk.stage.n_arrows, **switches, **self.desk.save(),
            "points": self.forces.tools.is_checked("points"), "longest": self.buffer.longest,
            "order": self.buffer.order,
            "log": self.buffer.tools.is_checked("log"), "which": self.truth.which,
            "compare": self.truth.tools.is_checked("compare"),
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state, self.walk.clock.place)
        for toggle in TOGGLES:
            on = state.get(f"show_{toggle.name}")
            if isinstance(on, bool):
                self.walk.set_shown(toggle.name, on)
        arrows = state.get("n_arrows")
        if arrows in dict(ARROWS).values() and isinstance(arrows, int):
            self.walk.set_arrows(arrows)
        self._restore_pages(state)
        if state.get("view") in [name for name, *_ in VIEWS]:
            self.walk.set_view(str(state["view"]))
        super().restore_state(state)
        self.bar.show_desk()
        self.walk.follow()

    def _restore_pages(self, state: Mapping[str, Value]) -> None:
        switches = (
            ("points", self.forces.set_shown), ("log", self.buffer.set_log),
            ("compare", self.truth.set_compared),
        )  # fmt: skip
        for name, switch in switches:
            on = state.get(name)
            if isinstance(on, bool):
                switch(name, on)
        longest, which = state.get("longest"), state.get("which")
        if isinstance(longest, int) and longest in dict(LONGEST).values():
            self.buffer.set_longest(longest)
        if state.get("order") in dict(ORDERS).values():
            self.buffer.set_order(str(state["order"]))
        if isinstance(which, int) and which in (0, 1, 2):
            self.truth.set_which(which)

    # --- by hand ------------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        """A setting: the walk goes on with it from here, or begins anew."""
        if name == "start" and value == "click":
            self.desk.at = self.desk.at or self._middle()
        self.desk.set(self.walk.clock.place, **{name: value})
        self.bar.show_desk()

    def _middle(self) -> tuple[float, float]:
        window = self.desk.window
        if window is None:
            return 0.0, 0.0
        (x0, y0), (x1, y1) = window
        return (x0 + x1) / 2, (y0 + y1) / 2

    def _on_changed(self) -> None:
        self.walk.side.draw()
        self._show_chips()
        self.asks_changed.emit()


def _reason(info: RunInfo) -> str:
    """Why no chain can walk, as a sentence, or ""."""
    event = info.data.event
    if event.support != "real":
        return (
            "Its values are levels, not real numbers: there is no gradient to follow. Models of "
            "binary units walk by Gibbs steps, block by block."
        )
    if None in event.shape or event.kind == "sequence":
        return "Its events have no fixed size."
    if event.size < 2:
        return "Its events have one value; the landscape needs two."
    if "continuous" in info.card.features:
        return (
            "Every log p(x) of a continuous flow is a solve of a differential equation, too slow "
            "for chains of many steps; RealNVP, NSF or a mixture walk."
        )
    return ""
