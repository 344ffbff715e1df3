"""The shell's table of figures: each with its error, its unit and what kind it is."""

from __future__ import annotations

import math

from app.shell_figures import figure_rows
from engine.wire.fields import Value

VALUES: dict[str, Value] = {
    "kind": "exact", "label": "log p(x), exact", "n": 500, "nll": 3.95, "nll_error": 0.03,
    "kl": 0.5, "kl_error": 0.0002, "kl_kind": "exact", "reverse_kl": math.inf,
    "reverse_kl_error": 0.0, "reverse_kl_kind": "exact", "outside": 0.31, "outside_error": 1e-5,
    "outside_kind": "exact", "missed": 0.0, "tv": None, "total": 0.3, "total_error": 0.001,
    "mass_state": "off", "reason": "",
}  # fmt: skip


def test_each_figure_has_error_unit_and_kind() -> None:
    rows = {title: (value, kind) for title, value, kind in figure_rows(VALUES)}
    assert rows["KL(truth‖model)"] == ("0.5000 ± 0.0002 nats", "exact (quadrature)")
    assert rows["KL(model‖truth)"][0] == "∞ nats"
    assert rows["model's mass where the truth is 0"][0] == "0.3100 ± 1e-05"
    assert "truth's mass where the model is 0" not in rows
    assert "total variation" not in rows
    assert "NOT 1" in rows["mass in all"][1]


def test_bounds_and_scores_say_what_they_are() -> None:
    bound = dict(VALUES, kind="bound", kl_kind="bound", energy_distance=0.2, mmd=-0.001,
                 energy_distance_low=0.1, energy_distance_high=0.3)  # fmt: skip
    rows = {title: (value, kind) for title, value, kind in figure_rows(bound)}
    assert rows["KL(truth‖model)"][1] == "upper bound"
    assert rows["nll, held-out −log p(x)"][1].startswith("upper bound")
    assert rows["energy distance"][1] == "estimate; a perfect sampler at n = 500: 0.1000 … 0.3000"
    assert rows["MMD²"] == ("−0.0010", "estimate")


def test_the_reason_comes_last() -> None:
    assert figure_rows({"n": 3, "label": "x", "reason": "no truth"})[-1] == ("", "", "no truth")


def test_accuracy_is_a_share_with_its_error() -> None:
    found = figure_rows({"n": 447, "accuracy": 0.96, "accuracy_error": 0.0093,
                         "accuracy_kind": "share"})  # fmt: skip
    assert found[1] == (
        "accuracy, right classes", "0.9600 ± 0.0093", "share of the split; standard error",
    )  # fmt: skip
