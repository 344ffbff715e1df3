"""What the continuous flows share: one velocity field, solved loosely to train, finely to show."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.bijections.base import walk
from engine.bijections.continuous import GRADIENTS, Continuous
from engine.bijections.flow import CHUNK, Flow
from engine.capabilities import FlowPath
from engine.drawing import normal_noise
from engine.nets.vector_field import ACTIVATION_NAMES, VectorField
from engine.ode.solver import METHODS, Solver, State, StepLog
from engine.wire.fields import Field

#: rtol and atol of everything that is no training step, by number type.
FINE = {torch.float64: 1e-9, torch.float32: 1e-6}

HiddenSetting = Annotated[
    tuple[int, ...], Field(1, 1024, help="Widths of the network that gives the velocity.")
]
ActivationSetting = Annotated[
    str,
    Field(
        choices=ACTIVATION_NAMES,
        symbol=r"\phi",
        help="Nonlinearity; a kink in its slope, as the ELU has, costs solver steps.",
    ),
]
SolverSetting = Annotated[
    str,
    Field(
        choices=METHODS,
        help="In training: Dormand–Prince 5(4) with steps that adapt, or RK4 with equal ones.",
        live=True,
    ),
]
RelativeSetting = Annotated[
    float,
    Field(
        1e-9,
        1e-1,
        scale="log",
        help="In training: error allowed per step, relative to a value.",
        live=True,
        when=("solver", "dopri5"),
    ),
]
AbsoluteSetting = Annotated[
    float,
    Field(
        1e-9,
        1e-1,
        scale="log",
        help="In training: absolute error allowed per step.",
        live=True,
        when=("solver", "dopri5"),
    ),
]
StepsSetting = Annotated[
    int,
    Field(
        1, 1000, scale="log", help="In training: equal steps.", live=True, when=("solver", "rk4")
    ),
]
GradientSetting = Annotated[
    str,
    Field(
        choices=GRADIENTS,
        help="Through the solver's own steps, or by a second ODE backwards, in constant memory.",
        live=True,
    ),
]
TimesSetting = Annotated[
    int, Field(1, 64, step=1, help="Moments at which a path is told.", live=True)
]
RateSetting = Annotated[
    float,
    Field(1e-6, 0.1, scale="log", symbol=r"\eta", help="Step size of Adam.", live=True),
]
BatchSetting = Annotated[
    int, Field(1, 65536, scale="log", symbol="B", help="Points per step.", live=True)
]


class ContinuousFlow(Flow):
    r"""Points are carried from data (t = 0) to the base (t = 1) along a velocity f(z, t).

    .. math:: \log p(x) = \log \mathcal N(z(1); 0, I)
        + \int_0^1 \mathrm{tr}\,\frac{\partial f}{\partial z}\, dt + \log|\det S|

    S standardises. The settings of the solver count in training alone. Densities, paths and
    samples are solved to :data:`FINE` with the exact trace, so they are numbers of the model and
    not of a solver's choice.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self.network = VectorField(self.event_size, config.hidden_features, config.activation)

    @abstractmethod
    def trace_noise(self, n: int, generator: torch.Generator) -> Tensor | None:
        """ε (N, D) with which a training step estimates the trace; None: it is exact."""

    @property
    def training_solver(self) -> Solver:
        """How a training step solves, from the settings.

        The points alone set the steps; the log-determinant, an integral along their way, rides
        along. On two moons that spares a third of the evaluations, and the mean of the loss is
        off by about the tolerance, in nats.
        """
        config = self.config
        return Solver(config.solver, config.rtol, config.atol, config.n_steps, n_controlled=1)

    @property
    def fine_solver(self) -> Solver:
        """How everything else is solved: to what the number type can hold."""
        tolerance = FINE.get(self.location.dtype, FINE[torch.float32])
        return Solver("dopri5", tolerance, tolerance)

    def trained_layers(self) -> Sequence[Continuous]:
        """The whole flow as one layer, finely solved, with the exact trace."""
        return (self.stretch(self.fine_solver),)

    def stretch(
        self,
        solver: Solver,
        *,
        noise: Tensor | None = None,
        log: StepLog | None = None,
        visit: Callable[[float, State], None] | None = None,
    ) -> Continuous:
        """The whole flow of standardised points as one layer, solved in a given way."""
        return Continuous(
            self.network,
            self.network.prepared(),
            solver,
            self.config.gradient,
            noise,
            log=StepLog() if log is None else log,
            visit=visit,
        )

    def path(
        self,
        x: Tensor,
        *,
        inverse: bool = False,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> FlowPath:
        """The path of (B, *E) data, or with ``inverse`` of (B, D) base points; see ``FlowPath``.

        After standardisation it is told at ``n_times`` moments. ``trace`` holds what
        :meth:`StepLog.tensors` says, in the order in which it was solved, and ``evaluations``
        (L,) of each layer's stretch, data → base. In eval mode all is solved finely and the
        trace is exact; in training mode, which is how a flow is fitted to an energy, the settings
        hold, and with a generator a trace that training estimates is estimated here.
        """
        self._refuse(context)
        if inverse and x.shape[1:] != (self.event_size,):
            raise ValueError(
                f"{self.card.title}: given base points of shape {tuple(x.shape[1:])}, "
                f"wanted ({self.event_size},)"
            )
        noise = None
        if self.training and generator is not None:
            noise = self.trace_noise(len(x), generator)
        start = x.to(self.location) if inverse else self._enter(x)
        pieces = self._pieces(noise)
        told = walk((*self.layers()[:1], *pieces), start, inverse=inverse)
        return FlowPath(told.states, told.log_dets, told.names, _trace(pieces, inverse))

    def _pieces(self, noise: Tensor | None) -> list[Continuous]:
        solver = self.training_solver if self.training else self.fine_solver
        prepared, gradient = self.network.prepared(), self.config.gradient
        n = self.config.n_times
        moments = [index / n for index in range(n + 1)]
        return [
            Continuous(self.network, prepared, solver, gradient, noise, a, b, f"t = {b:.4g}")
            for a, b in pairwise(moments)
        ]

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N draws (N, *E): base noise carried back from t = 1 to 0."""
        self._refuse(context)
        noise = normal_noise((n, self.event_size), generator, self.location)
        flow = self.stretch(self.fine_solver)
        pieces = [flow.place_before(piece) for piece in torch.split(noise, CHUNK)]
        return self.unstandardise(torch.cat(pieces))

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """``"total"`` and ``"nll"``: −mean log p(x), nats per event, as the settings solve it.

        ``"evaluations"``: how often the network was asked on the way to the base.
        """
        self._refuse(context)
        flow = self.stretch(self.training_solver, noise=self.trace_noise(len(x), generator))
        nll = -self._log_prob((self.layers()[0], flow), self._flat(x)).mean()
        n_evaluations = torch.tensor(float(flow.log.n_evaluations), device=nll.device)
        return {"total": nll, "nll": nll, "evaluations": n_evaluations}


def _trace(pieces: Sequence[Continuous], inverse: bool) -> dict[str, Tensor]:
    log = StepLog()
    for piece in reversed(pieces) if inverse else pieces:
        log.extend(piece.log)
    counts = [piece.log.n_evaluations for piece in pieces]
    return {**log.tensors(), "evaluations": torch.tensor([0, *counts])}
