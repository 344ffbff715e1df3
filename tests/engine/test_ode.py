"""The solvers against closed forms, their logs against what was called, and both gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.ode import solver as solver_module
from engine.ode.adjoint import solve_by_adjoint
from engine.ode.solver import Solver, State, StepLog, solve

DOUBLE = torch.float64
TIGHT = Solver("dopri5", 1e-10, 1e-10)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def growing(t: float, y: State) -> State:
    """y' = y cos t, so y = y₀ exp(sin t)."""
    return (y[0] * math.cos(t),)


def bump(t: float, y: State) -> State:
    """Calm but for a sudden push at t = 0.5, so that steps are rejected."""
    return (torch.full_like(y[0], 1.0 / (1e-4 + (t - 0.5) ** 2)),)


def swirl(t: float, y: State, parameters: Sequence[Tensor]) -> State:
    """A nonlinear field, and an integral along it that depends on other weights too."""
    matrix, weights = parameters
    turned = torch.tanh(y[0] @ matrix + math.sin(3.0 * t))
    return turned, (turned.square() * weights).sum(1)


@pytest.mark.parametrize("solver", [TIGHT, Solver("rk4", n_steps=400)], ids=lambda s: s.method)
@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, -0.5)])
def test_a_linear_equation_gives_the_matrix_exponential(
    solver: Solver, t0: float, t1: float
) -> None:
    matrix, y = noise(3, 3), noise(4, 3, seed=1)
    (end,) = solve(lambda _, state: (state[0] @ matrix.T,), (y,), t0, t1, solver)
    assert torch.allclose(end, y @ torch.matrix_exp((t1 - t0) * matrix).T, atol=2e-9)


def test_halving_the_step_divides_the_error_of_rk4_by_sixteen() -> None:
    def error(n: int) -> float:
        (end,) = solve(growing, (torch.ones(1, dtype=DOUBLE),), 0.0, 2.0, Solver("rk4", n_steps=n))
        return abs(float(end) - math.exp(math.sin(2.0)))

    for coarse, fine in pairwise([10, 20, 40]):
        assert error(coarse) / error(fine) == pytest.approx(16.0, rel=0.15)


def test_a_step_of_dormand_and_prince_is_of_order_five() -> None:
    loose = Solver("dopri5", 1e9, 1e9)

    def error(h: float) -> float:
        log = StepLog()
        y = (torch.ones(1, dtype=DOUBLE),)
        (end,) = solve(lambda _, state: (-100.0 * state[0],), y, 0.0, h, loose, log=log)
        assert len(log.times) == 1
        return abs(float(end) - math.exp(-100.0 * h))

    assert error(4e-3) / error(2e-3) == pytest.approx(2.0**6, rel=0.15)


@pytest.mark.parametrize("solver", [Solver(rtol=1e-6, atol=1e-6), Solver("rk4", n_steps=7)])
def test_evaluations_are_the_calls_that_were_made(solver: Solver) -> None:
    calls = 0

    def counting(t: float, y: State) -> State:
        nonlocal calls
        calls += 1
        return bump(t, y)

    log = StepLog()
    solve(counting, (torch.zeros(2, 1),), 0.0, 1.0, solver, log=log)
    assert log.n_evaluations == calls
    # Six a step, and two before the first; four a step of RK4.
    n_steps = len(log.times)
    assert calls == (4 * n_steps if solver.method == "rk4" else 6 * n_steps + 2)


def test_accepted_steps_lie_end_to_end_and_rejected_ones_are_tried_again_shorter() -> None:
    log, visited = StepLog(), []
    y = (torch.zeros(1, 1, dtype=DOUBLE),)
    (end,) = solve(
        bump, y, 0.0, 1.0, Solver(rtol=1e-6, atol=1e-6), log=log,
        visit=lambda t, _: visited.append(t),
    )  # fmt: skip
    assert float(end) == pytest.approx(2.0 / 1e-2 * math.atan(0.5 / 1e-2), rel=1e-6)
    table = log.tensors()
    accepted, times, sizes = table["accepted"], table["times"], table["sizes"]
    assert 0 < int((~accepted).sum()) < int(accepted.sum())
    assert torch.equal(accepted, table["errors"] <= 1.0)
    assert torch.allclose((times + sizes)[accepted][:-1], times[accepted][1:], atol=1e-14)
    assert visited[-1] == 1.0
    assert len(visited) == int(accepted.sum())
    for index in (~accepted).nonzero().flatten().tolist():
        assert times[index + 1] == times[index]
        assert sizes[index + 1] < sizes[index]


def test_the_error_falls_with_the_tolerance_and_evaluations_rise() -> None:
    y = (noise(5, 2).exp(),)
    errors, evaluations = [], []
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        solver, log = Solver(rtol=tolerance, atol=tolerance), StepLog()
        there = solve(growing, y, 0.0, 3.0, solver, log=log)
        back = solve(growing, there, 3.0, 0.0, solver)
        errors.append(float((back[0] - y[0]).abs().max()))
        evaluations.append(log.n_evaluations)
    assert all(loose > 3.0 * tight for loose, tight in pairwise(errors))
    assert evaluations == sorted(set(evaluations))
    assert errors[0] / errors[-1] > 1e4
    assert errors[-1] < 1e-7


def test_a_hard_row_is_solved_as_well_among_easy_ones() -> None:
    rates = torch.cat([torch.tensor([40.0]), torch.full((500,), 1e-3)]).to(DOUBLE)[:, None]
    y, alone, among = torch.ones(501, 1, dtype=DOUBLE), StepLog(), StepLog()
    for rows, log in ((slice(1), alone), (slice(None), among)):
        solve(lambda _, s, r=rows: (-rates[r] * s[0],), (y[rows],), 0.0, 1.0, TIGHT, log=log)
    assert alone.times == among.times


def test_an_integral_that_rides_along_does_not_set_the_steps() -> None:
    def both(t: float, y: State) -> State:
        return growing(t, y)[0], bump(t, y)[0]

    y, alone, beside = torch.ones(1, 1, dtype=DOUBLE), StepLog(), StepLog()
    solve(growing, (y,), 0.0, 1.0, TIGHT, log=alone)
    solve(both, (y, y), 0.0, 1.0, replace(TIGHT, n_controlled=1), log=beside)
    assert alone.sizes == beside.sizes


def test_nothing_to_do_and_nothing_to_hope_for(monkeypatch: pytest.MonkeyPatch) -> None:
    y = (torch.ones(2, 1),)
    (same,) = solve(growing, y, 0.3, 0.3, Solver())
    assert torch.equal(same, y[0])
    (empty,) = solve(growing, (torch.ones(0, 1),), 0.0, 1.0, Solver())
    assert empty.shape == (0, 1)
    (lost,) = solve(lambda _, s: (s[0] * math.nan,), y, 0.0, 1.0, Solver())
    assert bool(lost.isnan().all())
    monkeypatch.setattr(solver_module, "MOST_STEPS", 20)
    monkeypatch.setattr(solver_module, "MOST_KEPT_STEPS", 10)
    for kept, n in ((False, 20), (True, 10)):
        with (
            torch.set_grad_enabled(kept),
            pytest.raises(RuntimeError, match=f"{n} steps from t = 0"),
        ):
            solve(bump, (torch.zeros(1, 1, dtype=DOUBLE),), 0.0, 1.0, TIGHT)
    with pytest.raises(ValueError, match="dopri5, rk4"):
        solve(growing, y, 0.0, 1.0, Solver("euler"))


def test_what_escapes_in_finite_time_is_no_number() -> None:
    (end,) = solve(lambda _, s: (s[0].square(),), (torch.ones(1, 1),), 0.0, 2.0, Solver())
    assert not math.isfinite(float(end))


# --- gradients --------------------------------------------------------------------------------


def gradients(solver: Solver, adjoint: bool) -> list[Tensor]:
    y = (noise(6, 3, seed=2).requires_grad_(), torch.zeros(6, dtype=DOUBLE))
    parameters = (noise(3, 3, seed=3).requires_grad_(), noise(3, seed=4).requires_grad_())
    if adjoint:
        end = solve_by_adjoint(swirl, y, parameters, 0.0, 1.0, solver)
    else:
        end = solve(lambda t, s: swirl(t, s, parameters), y, 0.0, 1.0, solver)
    loss = end[0].square().mean() + (end[1] * torch.arange(6)).sum()
    return list(torch.autograd.grad(loss, (y[0], *parameters)))


@pytest.mark.parametrize("solver", [TIGHT, Solver("rk4", n_steps=100)], ids=lambda s: s.method)
def test_the_adjoint_gives_the_gradient_of_the_solvers_steps(solver: Solver) -> None:
    """To 1e-7 of the largest where the tolerance is 1e-10."""
    for by_steps, by_adjoint in zip(
        gradients(solver, False), gradients(solver, True), strict=True
    ):
        assert torch.allclose(by_steps, by_adjoint, atol=1e-7 * float(by_steps.abs().max()))


def test_the_gradient_of_the_steps_is_that_of_differences() -> None:
    """Of the numbers that the solver gives, however roughly it solves."""
    rough, direction, h = Solver("rk4", n_steps=3), noise(3, 3, seed=9), 1e-6

    def loss(matrix: Tensor) -> Tensor:
        y = (noise(6, 3, seed=2), torch.zeros(6, dtype=DOUBLE))
        end = solve(lambda t, s: swirl(t, s, (matrix, torch.ones(3))), y, 0.0, 1.0, rough)
        return end[0].square().mean() + end[1].sum()

    matrix = noise(3, 3, seed=3).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(matrix), matrix)
    with torch.no_grad():
        slope = (loss(matrix + h * direction) - loss(matrix - h * direction)) / (2.0 * h)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-7)


def test_the_adjoints_error_falls_with_the_tolerance() -> None:
    exact = gradients(TIGHT, False)
    errors = []
    for tolerance in (1e-3, 1e-6):
        found = gradients(Solver(rtol=tolerance, atol=tolerance), True)
        errors.append(max(float((a - b).abs().max()) for a, b in zip(found, exact, strict=True)))
    assert errors[0] > 50.0 * errors[1]


def test_the_adjoint_takes_a_field_without_weights_and_a_loss_of_one_part() -> None:
    y = (noise(4, 2).requires_grad_(), torch.zeros(4, dtype=DOUBLE))
    end = solve_by_adjoint(
        lambda t, s, _: (*growing(t, s), torch.ones(4, dtype=DOUBLE)), y, (), 0.0, 1.0, TIGHT
    )
    (gradient,) = torch.autograd.grad(end[0].sum(), y[0])
    assert torch.allclose(gradient, torch.full_like(gradient, math.exp(math.sin(1.0))), atol=1e-8)
    assert torch.allclose(end[1], torch.ones(4, dtype=DOUBLE), atol=1e-12)
