"""Parts of a chain's step as lines and dots: whose they are, and that pieces add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from widgets.chains.step_parts import (
    ACCEPTED,
    DRIFT,
    HEAT,
    HOT,
    NOISE,
    PIECES,
    REFUSED,
    draped,
    parts_of,
    told_chains,
)

X = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 2.0]])
ROW: dict[str, Any] = {
    "points": X, "proposal": X + 1.0, "accepted": np.array([True, False, True]),
}  # fmt: skip


def test_the_first_chains_and_the_watched_one() -> None:
    assert told_chains(10, 3, 7).tolist() == [0, 1, 2, 7]
    assert told_chains(2, 16, 5).tolist() == [0, 1]
    assert told_chains(0, 16, 5).tolist() == []


def test_drift_then_noise_from_the_chain_to_its_proposal() -> None:
    row = ROW | {"drift": np.full((3, 2), 0.25), "noise": np.full((3, 2), 0.75)}
    found = parts_of(row, np.array([1]))
    shafts = found.lines[:: len(found.lines) // 2]
    np.testing.assert_allclose(shafts, [[X[1], X[1] + 0.25], [X[1] + 0.25, X[1] + 1.0]])
    assert np.unique(found.line_kinds).tolist() == [DRIFT, NOISE]
    np.testing.assert_allclose(found.dots, [X[1] + 1.0])
    assert found.dot_kinds.tolist() == [REFUSED]


def test_a_walk_without_a_gradient_is_noise_alone() -> None:
    for row in (ROW | {"noise": np.ones((3, 2))}, ROW):
        found = parts_of(row, np.array([0]))
        assert set(found.line_kinds.tolist()) == {NOISE}
        np.testing.assert_allclose(found.lines[0], [X[0], X[0] + 1.0])


def test_a_trajectory_is_joined_chain_by_chain() -> None:
    way = X + np.arange(4.0)[:, None, None]
    found = parts_of(ROW | {"trajectory": way}, np.array([0, 2]))
    assert len(found.lines) == 6
    np.testing.assert_allclose(found.lines[:, 0], np.concatenate([way[:3, 0], way[:3, 2]]))
    np.testing.assert_allclose(found.lines[:, 1], np.concatenate([way[1:, 0], way[1:, 2]]))
    assert found.dot_kinds.tolist() == [ACCEPTED, ACCEPTED]


def test_hot_replicas_are_dots_of_their_own() -> None:
    replicas = X * np.arange(1.0, 5.0)[:, None, None]
    found = parts_of(ROW | {"replicas": replicas}, np.array([1]))
    assert found.dot_kinds.tolist() == [HOT] * 3 + [REFUSED]
    np.testing.assert_allclose(found.dots[:3, 0], [2.0, 3.0, 4.0])
    assert set(found.line_kinds.tolist()) == {HEAT}


def test_pieces_lie_end_to_end() -> None:
    lines = np.array([[[0.0, 0.0], [6.0, 3.0]], [[1.0, 1.0], [1.0, -5.0]]])
    found = draped(lines).reshape(2, PIECES, 2, 2)
    np.testing.assert_allclose(found[:, 0, 0], lines[:, 0])
    np.testing.assert_allclose(found[:, -1, 1], lines[:, 1])
    np.testing.assert_allclose(found[:, 1:, 0], found[:, :-1, 1])
