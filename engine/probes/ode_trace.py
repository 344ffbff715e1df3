"""What the solver of a continuous flow does: its steps, the field, the trace, the tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.bijections.continuous_flow import ContinuousFlow
from engine.estimators.density import CancellationError
from engine.estimators.precision import in_double
from engine.model import GenerativeModel
from engine.nets.vector_field import NOISES, trace_noise
from engine.ode.solver import METHODS, Solver, State, StepLog
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, shown_data
from engine.probes.flow_path import Start, StatePlane, base_draws
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_POINTS, MOST_SIDE, MOST_NOISES, MOST_TOLERANCES = 1024, 64, 4096, 16
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
#: Tolerance of what the others are measured by.
REFERENCE = 1e-10
#: Margin of the field's window, as a share of the trajectories' extent, and the least extent.
MARGIN, LEAST = 0.15, 1e-3
#: Number of the stream of chance.
NOISE = 41


class Arguments(msgspec.Struct, frozen=True):
    """Which points, how they are solved, and what else is wanted.

    ``points``: events flat, one after the other, in data units (base points where ``start`` is
    "base"); none: ``n`` of the training split or draws of the base. ``along``: the number, from 0,
    of the point whose traces are told; beyond the last it is the last. ``solver`` "" and ``rtol``,
    ``atol`` and ``n_steps`` 0 take the model's settings. ``time`` and ``side``: the field is given
    at that time on side² places. ``tolerances``: rtol = atol of the sweep; none leaves it out.
    ``noise`` "" is the model's kind, and "rademacher" for a model without one.
    """

    points: tuple[float, ...] = ()
    n: int = 32
    along: int = 0
    start: Start = "data"
    solver: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    n_steps: int = 0
    time: float = 0.5
    side: int = 21
    tolerances: tuple[float, ...] = TOLERANCES
    n_noises: int = 256
    noise: str = ""
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@dataclass
class Solved:
    """One solve of points (N, D), at every accepted step."""

    times: list[float] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    log_dets: list[Tensor] = field(default_factory=list)
    log: StepLog = field(default_factory=StepLog)


@probe(
    summary="What the solver of a continuous flow does.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def ode_trace(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""All in float64, in the flow's own units, in which data have mean 0 and variance 1.

    N points, S accepted steps, T steps in all, d = 1 or 2 drawn values, G places, R noises, K
    tolerances. All points are solved together, with the same steps, which as in training are set
    by the points alone and not by their log-determinants.

    - ``times`` (S + 1,), ``states`` (S + 1, N, d), ``log_dets`` (S + 1, N): where the points are
      after each step, and log abs det of the way so far, in the direction data → base, nats.
    - ``step_times``, ``step_sizes``, ``step_errors`` (NaN for equal steps), ``step_accepted``
      (T,), in the order in which they were tried.
    - ``field_places``, ``field`` (G, d) and ``field_trace`` (G,): velocity and divergence at
      ``time``; of more than two values the places lie in the drawn plane through the origin.
    - ``trace_exact`` (S + 1,) and ``trace_estimates`` (S + 1, R): tr ∂f/∂z along the one point,
      and Hutchinson's estimates with R noises; ``log_det_estimates`` (R,): the whole way's, with
      one noise for each solve. ``trace_variance`` (S + 1,) and the value ``log_det_variance`` are
      variances of one estimate over those noises.
    - ``tolerances``, ``evaluations``, ``rejected``, ``round_trip``, ``log_det_error`` (K,): there
      and back with dopri5; evaluations and rejected steps of the way there, the farthest that a
      point comes back from where it began, the largest error of a log-determinant in nats.

    Values: ``n_evaluations``, ``n_accepted``, ``n_rejected``; ``solver``, ``rtol``, ``atol``;
    ``log_det`` of the one point; ``noise``, and ``trained_with``: that or "exact"; ``time``;
    ``low`` and ``high`` of the field; ``x_name``, ``y_name``, ``is_slice``. The sweep comes last,
    after a partial answer without it.

    Raises:
        ValueError: The model is no continuous flow, or an argument is out of range.
        RuntimeError: A solve takes too many steps.
    """
    _check(view.model, arguments)
    plane = StatePlane(make_plane(view.dataset, arguments.plane, arguments.axes))
    given = _points(view, arguments)
    flow, given = in_double(continuous(view.model), given)
    with suppress(CancellationError), torch.no_grad():
        z = given if arguments.start == "base" else (given - flow.location) / flow.scale
        solver = _solver(flow, arguments)
        solved = solve_from(flow, z, solver, arguments.start)
        arrays, values = _steps(solved, plane)
        own = min(arguments.along, len(z) - 1)
        values["log_det"] = float(solved.log_dets[-1][own])
        for found, told in (
            _field(flow, solved, plane, arguments),
            _traces(view, flow, _only(solved, own), solver, arguments),
        ):
            arrays |= found
            values |= told
        values |= {"solver": solver.method, "rtol": solver.rtol, "atol": solver.atol}
        values |= {"x_name": plane.names[0], "y_name": plane.names[1]}
        values |= {"is_slice": plane.plane.is_slice}
        yield Result(arrays, values, final=not arguments.tolerances)
        if arguments.tolerances:
            yield Result(arrays | _sweep(view, flow, z, arguments), values)


def continuous(model: GenerativeModel) -> ContinuousFlow:
    """The model as a continuous flow, or a ``ValueError`` that says why it is none."""
    if not isinstance(model, ContinuousFlow):
        raise ValueError(
            f"{model.card.title} has no velocity for a solver to follow; wanted a continuous flow"
        )
    return model


def solve_from(
    flow: ContinuousFlow,
    z: Tensor,
    solver: Solver,
    start: Start,
    noise: Tensor | None = None,
) -> Solved:
    """Solve (N, D) from the data's or the base's end to the other, and keep every step."""
    sign = 1.0 if start == "data" else -1.0
    solved = Solved([0.0 if start == "data" else 1.0], [z], [z.new_zeros(len(z))])

    def visit(t: float, state: State) -> None:
        solved.times.append(t)
        solved.states.append(state[0])
        solved.log_dets.append(sign * state[1])

    layer = flow.stretch(solver, noise=noise, log=solved.log, visit=visit)
    _ = layer.forward(z) if start == "data" else layer.inverse(z)
    return solved


def _check(model: GenerativeModel, arguments: Arguments) -> None:
    continuous(model)
    for name, most in (("n", MOST_POINTS), ("side", MOST_SIDE), ("n_noises", MOST_NOISES)):
        value = getattr(arguments, name)
        least = 2 if name == "n_noises" else 1
        if not least <= value <= most:
            raise ValueError(f"{name}: given {value}, wanted {least} to {most}")
    if arguments.along < 0:
        raise ValueError(f"along: given {arguments.along}, wanted a number from 0 on")
    if not 0.0 <= arguments.time <= 1.0:
        raise ValueError(f"time: given {arguments.time:g}, wanted a number from 0 to 1")
    if len(arguments.tolerances) > MOST_TOLERANCES:
        given = len(arguments.tolerances)
        raise ValueError(f"tolerances: given {given} of them, wanted at most {MOST_TOLERANCES}")
    for name, values in (
        ("tolerances", arguments.tolerances),
        ("rtol", (arguments.rtol or REFERENCE,)),
        ("atol", (arguments.atol or REFERENCE,)),
    ):
        if any(not REFERENCE <= value <= 1.0 for value in values):
            raise ValueError(f"{name}: given {values}, wanted numbers from {REFERENCE:g} to 1")
    if not 0 <= arguments.n_steps <= 10_000:
        raise ValueError(f"n_steps: given {arguments.n_steps}, wanted 0 to 10000")
    for name, value, words in (
        ("solver", arguments.solver, METHODS),
        ("noise", arguments.noise, NOISES),
    ):
        if value and value not in words:
            raise ValueError(f"{name}: given '{value}', wanted one of {', '.join(words)}")


def _points(view: View, arguments: Arguments) -> Tensor:
    """(N, D), in data units or of the base."""
    size = view.model.event_size
    if arguments.points:
        given = torch.tensor(arguments.points, dtype=torch.float64)
        n, rest = divmod(len(given), size)
        if rest or not 1 <= n <= MOST_POINTS or not bool(given.isfinite().all()):
            raise ValueError(
                f"points: given {len(given)} numbers, wanted {size} finite ones for each of at "
                f"most {MOST_POINTS} points"
            )
        return given.reshape(n, size)
    if arguments.start == "base":
        return base_draws(view, arguments.n)
    data, _ = shown_data(view)
    return data[choose(len(data), arguments.n, view)].flatten(1)


def _solver(flow: ContinuousFlow, arguments: Arguments) -> Solver:
    own = flow.training_solver
    return replace(
        own,
        method=arguments.solver or own.method,
        rtol=arguments.rtol or own.rtol,
        atol=arguments.atol or own.atol,
        n_steps=arguments.n_steps or own.n_steps,
    )


def _steps(solved: Solved, plane: StatePlane) -> tuple[dict[str, Tensor], dict[str, Value]]:
    table = solved.log.tensors()
    accepted = table["accepted"]
    arrays = {
        "times": torch.tensor(solved.times, dtype=torch.float64),
        "states": plane.project(torch.stack(solved.states)),
        "log_dets": torch.stack(solved.log_dets),
        "step_times": table["times"],
        "step_sizes": table["sizes"],
        "step_errors": table["errors"],
        "step_accepted": accepted,
    }
    return arrays, {
        "n_evaluations": int(table["n_evaluations"]),
        "n_accepted": int(accepted.sum()),
        "n_rejected": int((~accepted).sum()),
    }


def _field(
    flow: ContinuousFlow, solved: Solved, plane: StatePlane, arguments: Arguments
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    places = plane.project(torch.stack(solved.states)).reshape(-1, plane.dims)
    low, high = places.amin(0), places.amax(0)
    room = MARGIN * (high - low).clamp_min(LEAST)
    low, high = low - room, high + room
    ends = zip(low.tolist(), high.tolist(), strict=True)
    lines = [torch.linspace(*end, arguments.side, dtype=torch.float64) for end in ends]
    lattice = torch.cartesian_prod(*lines).reshape(-1, plane.dims)
    z = plane.lift(lattice, "base").to(flow.location)
    velocity, trace = flow.network.with_trace(arguments.time, z, flow.network.prepared())
    arrays = {"field_places": lattice, "field": plane.project(velocity), "field_trace": trace}
    return arrays, {"time": arguments.time, "low": low.tolist(), "high": high.tolist()}


def _only(solved: Solved, point: int) -> Solved:
    """One point's way, (1, D) at every step."""
    own = slice(point, point + 1)
    states, log_dets = ([row[own] for row in rows] for rows in (solved.states, solved.log_dets))
    return Solved(solved.times, states, log_dets, solved.log)


def _traces(
    view: View, flow: ContinuousFlow, solved: Solved, solver: Solver, arguments: Arguments
) -> tuple[dict[str, Tensor], dict[str, Value]]:
    """Exact and estimated traces along one point."""
    own = str(getattr(flow.config, "noise", ""))
    kind, n = arguments.noise or own or NOISES[0], arguments.n_noises
    like = flow.location
    noise = trace_noise(kind, (n, flow.event_size), view.generator(NOISE), like)
    prepared, exact, estimates = flow.network.prepared(), [], []
    for t, states in zip(solved.times, solved.states, strict=True):
        if view.cancelled():
            raise CancellationError
        exact.append(flow.network.with_trace(t, states, prepared)[1][0])
        copies = states.expand(n, -1)
        estimates.append(flow.network.with_estimate(t, copies, noise, prepared)[1])
    begin = solved.states[0].expand(n, -1)
    whole = solve_from(flow, begin, solver, arguments.start, noise).log_dets[-1]
    table = torch.stack(estimates)
    arrays = {
        "trace_exact": torch.stack(exact),
        "trace_estimates": table,
        "trace_variance": table.var(1),
        "log_det_estimates": whole,
    }
    return arrays, {
        "noise": kind,
        "trained_with": own or "exact",
        "log_det_variance": float(whole.var()),
    }


def _sweep(view: View, flow: ContinuousFlow, z: Tensor, arguments: Arguments) -> dict[str, Tensor]:
    there: Start = arguments.start
    back: Start = "base" if there == "data" else "data"
    fine = solve_from(flow, z, Solver("dopri5", REFERENCE, REFERENCE), there).log_dets[-1]
    rows: list[tuple[float, ...]] = []
    for tolerance in arguments.tolerances:
        if view.cancelled():
            raise CancellationError
        solver = replace(flow.training_solver, method="dopri5", rtol=tolerance, atol=tolerance)
        out = solve_from(flow, z, solver, there)
        home = solve_from(flow, out.states[-1], solver, back).states[-1]
        distance = torch.linalg.vector_norm(home - z, dim=1).max()
        error = (out.log_dets[-1] - fine).abs().max()
        n_rejected = out.log.accepted.count(False)
        rows.append((out.log.n_evaluations, n_rejected, float(distance), float(error)))
    table = torch.tensor(rows, dtype=torch.float64)
    return {
        "tolerances": torch.tensor(arguments.tolerances, dtype=torch.float64),
        "evaluations": table[:, 0].to(torch.int32),
        "rejected": table[:, 1].to(torch.int32),
        "round_trip": table[:, 2],
        "log_det_error": table[:, 3],
    }
