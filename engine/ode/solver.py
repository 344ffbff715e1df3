r"""Two Runge–Kutta solvers of dy/dt = f(t, y) that keep a log of every step.

Dormand and Prince's pair takes a step of order 5 and estimates its error by the difference from
one of order 4. A step is accepted where the error is at most 1 in units of the tolerance,

.. math::
    \mathrm{err} = \max_b \sqrt{\tfrac 1m \sum_i \Bigl(\frac{e_{bi}}{\mathrm{atol}
        + \mathrm{rtol}\,\max(|y_{bi}|, |y'_{bi}|)}\Bigr)^2},

the largest over the rows of a batch, so that no row is solved worse because of its neighbours.
The next size is h · 0.9 · err^−0.17 · err_before^0.04 (a PI controller). The classic method of
order 4 takes equal steps and estimates nothing.

All sums are torch's, so autograd goes through a solve; step sizes count as constants.

References:
    Dormand and Prince, *A family of embedded Runge–Kutta formulae*, J. Comput. Appl. Math. 1980.
    Hairer, Nørsett and Wanner, *Solving Ordinary Differential Equations I*, sections II.4, IV.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

#: Several tensors that move together; those under error control have the batch in front.
State = tuple[Tensor, ...]
#: (t, state) → time derivative of each tensor of the state.
Derivative = Callable[[float, State], State]

METHODS = ("dopri5", "rk4")
#: Steps after which a solve is given up as hopeless; fewer where autograd keeps each of them.
MOST_STEPS, MOST_KEPT_STEPS = 5000, 1000

_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
#: The last row is the step of order 5 itself, so its derivative begins the next step.
_STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
#: Weights of order 5 minus those of order 4.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_SAFETY, _NOW, _BEFORE, _LEAST, _MOST = 0.9, 0.17, 0.04, 0.2, 10.0


@dataclass(frozen=True)
class Solver:
    """How to solve.

    Attributes:
        method: One of :data:`METHODS`.
        rtol: Allowed error per step relative to a value (dopri5).
        atol: Allowed absolute error per step (dopri5).
        n_steps: Equal steps per unit of time (rk4).
        n_controlled: So many tensors of the state set the steps, and the others ride along; None
            for all (dopri5).
    """

    method: str = "dopri5"
    rtol: float = 1e-5
    atol: float = 1e-5
    n_steps: int = 20
    n_controlled: int | None = None


@dataclass
class StepLog:
    """What a solver did, step by step.

    Attributes:
        times: Where each step began.
        sizes: Its signed size.
        errors: Its error in units of the tolerance; NaN where none is estimated.
        accepted: Whether it was taken.
        n_evaluations: Calls of f, those before the first step and in rejected steps included.
    """

    times: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    n_evaluations: int = 0

    def note(self, time: float, size: float, error: float, accepted: bool) -> None:
        """Add one step."""
        self.times.append(time)
        self.sizes.append(size)
        self.errors.append(error)
        self.accepted.append(accepted)

    def extend(self, other: StepLog) -> None:
        """Add all that another solve did."""
        self.times += other.times
        self.sizes += other.sizes
        self.errors += other.errors
        self.accepted += other.accepted
        self.n_evaluations += other.n_evaluations

    def tensors(self) -> dict[str, Tensor]:
        """``times``, ``sizes``, ``errors`` (S,) float64, ``accepted`` (S,), ``n_evaluations``."""
        lists = {"times": self.times, "sizes": self.sizes, "errors": self.errors}
        found = {name: torch.tensor(v, dtype=torch.float64) for name, v in lists.items()}
        found["accepted"] = torch.tensor(self.accepted, dtype=torch.bool)
        found["n_evaluations"] = torch.tensor(self.n_evaluations)
        return found


def solve(
    f: Derivative,
    y: State,
    t0: float,
    t1: float,
    solver: Solver,
    *,
    log: StepLog | None = None,
    visit: Callable[[float, State], None] | None = None,
) -> State:
    """The state at t1, given that at t0; t1 may lie before t0.

    Args:
        f: The time derivative.
        y: The state at t0.
        t0: Where to begin.
        t1: Where to end.
        solver: How to solve.
        log: Takes down every step.
        visit: Called with time and state after each accepted step.

    Returns:
        The state at t1; NaN where f was not finite at the beginning.

    Raises:
        RuntimeError: :data:`MOST_STEPS` did not suffice, or :data:`MOST_KEPT_STEPS` with autograd.
        ValueError: The method is unknown.
    """
    if solver.method not in METHODS:
        raise ValueError(f"solver: given '{solver.method}', wanted one of {', '.join(METHODS)}")
    log = StepLog() if log is None else log
    visit = visit or _pass
    if t0 == t1:
        return tuple(value.clone() for value in y)

    def counted(t: float, state: State) -> State:
        log.n_evaluations += 1
        return f(t, state)

    if solver.method == "rk4":
        return _equal_steps(counted, y, t0, t1, solver, log, visit=visit)
    n = len(y) if solver.n_controlled is None else solver.n_controlled
    return _adaptive(counted, y, t0, t1, solver, log, n=n, visit=visit)


def _equal_steps(
    f: Derivative,
    y: State,
    t0: float,
    t1: float,
    solver: Solver,
    log: StepLog,
    *,
    visit: Callable[[float, State], None],
) -> State:
    n = max(1, math.ceil(solver.n_steps * abs(t1 - t0) - 1e-9))
    h = (t1 - t0) / n
    for index in range(n):
        t = t0 + index * h
        k1 = f(t, y)
        k2 = f(t + 0.5 * h, _moved(y, (k1,), (0.5,), h))
        k3 = f(t + 0.5 * h, _moved(y, (k2,), (0.5,), h))
        k4 = f(t + h, _moved(y, (k3,), (1.0,), h))
        y = _moved(y, (k1, k2, k3, k4), (1 / 6, 1 / 3, 1 / 3, 1 / 6), h)
        log.note(t, h, math.nan, True)
        visit(t1 if index == n - 1 else t + h, y)
    return y


def _adaptive(
    f: Derivative,
    y: State,
    t0: float,
    t1: float,
    solver: Solver,
    log: StepLog,
    *,
    n: int,
    visit: Callable[[float, State], None],
) -> State:
    first = f(t0, y)
    size = _first_size(f, y, first, t0, t1, solver, n=n)
    t, before = t0, 1e-4
    most = MOST_KEPT_STEPS if torch.is_grad_enabled() else MOST_STEPS
    for _ in range(most):
        h, at_end = _fitted(size, t, t1)
        if not math.isfinite(h) or abs(h) <= 1e-14 * max(abs(t), abs(t1 - t0)):
            return tuple(torch.full_like(value, math.nan) for value in y)
        slopes, after = _step(f, t, y, first, h)
        error = _error(y, after, slopes, h, solver, n=n)
        accepted = error <= 1.0
        log.note(t, h, error, accepted)
        size = h * _factor(error, before, accepted)
        if not accepted:
            continue
        y, first, before = after, slopes[-1], max(error, 1e-4)
        t = t1 if at_end else t + h
        visit(t, y)
        if at_end:
            return y
    raise RuntimeError(
        f"the solver took {most} steps from t = {t0:g} and came to t = {t:.4g}: the field "
        f"changes too fast for a tolerance of {solver.rtol:g}; choose a larger one, or go back "
        "to a step where it was tamer"
    )


def _step(f: Derivative, t: float, y: State, first: State, h: float) -> tuple[list[State], State]:
    """All seven slopes, and the state of order 5."""
    slopes, after = [first], y
    for node, row in zip(_NODES[1:], _STAGES[1:], strict=True):
        after = _moved(y, slopes, row, h)
        slopes.append(f(t + node * h, after))
    return slopes, after


def _moved(
    y: State, slopes: tuple[State, ...] | list[State], weights: tuple[float, ...], h: float
) -> State:
    """y + h Σ weight · slope."""
    moved = []
    for index, value in enumerate(y):
        for weight, slope in zip(weights, slopes, strict=True):
            if weight:
                value = torch.add(value, slope[index], alpha=h * weight)
        moved.append(value)
    return tuple(moved)


@torch.no_grad()
def _error(
    y: State, after: State, slopes: list[State], h: float, solver: Solver, *, n: int
) -> float:
    zeros = tuple(torch.zeros_like(value) for value in y[:n])
    return _size(_moved(zeros, slopes, _ERROR, h), y, after, solver)


def _size(values: State, y: State, other: State, solver: Solver) -> float:
    """The root mean square over a row in units of the tolerance, of the worst row."""
    total: Tensor | None = None
    count = 0
    if not len(y[0]):
        return 0.0
    for value, a, b in zip(values, y, other, strict=False):
        allowed = torch.maximum(a.abs(), b.abs()).mul_(solver.rtol).add_(solver.atol)
        rows = (value / allowed).square_().reshape(len(value), -1)
        total = rows.sum(1) if total is None else total.add_(rows.sum(1))
        count += rows.shape[1]
    return 0.0 if total is None else math.sqrt(float(total.max()) / count)


@torch.no_grad()
def _first_size(
    f: Derivative, y: State, first: State, t0: float, t1: float, solver: Solver, *, n: int
) -> float:
    """Hairer's guess, from the slope and a second slope after a small Euler step."""
    span = t1 - t0
    position, slope = _size(y[:n], y, y, solver), _size(first[:n], y, y, solver)
    if not (math.isfinite(position) and math.isfinite(slope)):
        return math.nan
    h = 0.01 * position / slope if min(position, slope) > 1e-5 else 1e-4
    h = math.copysign(min(h, abs(span)), span)
    second = f(t0 + h, _moved(y, (first,), (1.0,), h))
    bend = tuple(b - a for a, b in zip(first[:n], second[:n], strict=True))
    largest = max(slope, _size(bend, y, y, solver) / abs(h))
    size = (0.01 / largest) ** 0.2 if largest > 1e-15 else abs(span)
    return math.copysign(min(100.0 * abs(h), size, abs(span)), span)


def _fitted(size: float, t: float, t1: float) -> tuple[float, bool]:
    """The size of the next step, and whether it ends at t1; no sliver is left over."""
    left = t1 - t
    if abs(size) >= abs(left) * (1.0 - 1e-9):
        return left, True
    return (0.5 * left if abs(size) > 0.5 * abs(left) else size), False


def _factor(error: float, before: float, accepted: bool) -> float:
    if not math.isfinite(error):
        return _LEAST
    wished = _SAFETY * math.pow(max(error, 1e-10), -_NOW) * math.pow(before, _BEFORE)
    if not accepted:
        wished = min(_SAFETY * math.pow(error, -0.2), 1.0)
    return min(_MOST, max(_LEAST, wished))


def _pass(_t: float, _y: State) -> None:
    """Nobody wants to see the steps."""
