"""Answers such as the engine gives, made by numpy: typical ones and nasty ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

from engine.wire.capability import Capability
from engine.wire.cards import DatasetCard, DatasetInfo, ModelCard, Paper
from engine.wire.event import Event
from engine.wire.fields import Value
from engine.wire.messages import Answer, Metrics, RunInfo, RunSpec, Slot
from tests.widgets import (
    chain_fakes,
    continuous_fakes,
    flow_fakes,
    flow_picture_fakes,
    latent_fakes,
    pixel_fakes,
    posterior_fakes,
)
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Question

MODELS = {
    "realnvp": (
        "RealNVP",
        "flows",
        (Capability.SAMPLING, Capability.LOG_PROB, Capability.FLOW_PATH),
        "exact",
    ),
    "cnf": (
        "Neural ODE / CNF",
        "flows",
        (Capability.SAMPLING, Capability.LOG_PROB, Capability.FLOW_PATH),
        "exact",
    ),
    "vae": (
        "VAE",
        "latent",
        (Capability.SAMPLING, Capability.BOUND, Capability.ENCODING, Capability.DECODING),
        "bound",
    ),
    "ebm": ("EBM", "energy", (Capability.ENERGY, Capability.CHAIN), "quadrature"),
    "gan": (
        "GAN",
        "implicit",
        (Capability.SAMPLING, Capability.DECODING, Capability.CRITIC),
        "critic",
    ),
    "wgan_gp": (
        "WGAN-GP",
        "implicit",
        (Capability.SAMPLING, Capability.DECODING, Capability.CRITIC),
        "raw critic",
    ),
    "gaussian_mixture": (
        "Gaussian mixture",
        "latent",
        (Capability.SAMPLING, Capability.LOG_PROB, Capability.ENCODING, Capability.DECODING),
        "exact",
    ),
}
AUTOREGRESSIVE = (Capability.SAMPLING, Capability.LOG_PROB, Capability.CONDITIONALS)
MODELS |= {
    name: (title, "autoregressive", AUTOREGRESSIVE, "exact")
    for name, title in (
        ("gated_pixelcnn", "Gated PixelCNN"), ("nade", "NADE"), ("transformer", "Transformer"),
        ("pixelcnn", "PixelCNN"),
    )
}  # fmt: skip
LACKS = {
    "gan": {
        Capability.LOG_PROB: "its samples are a deterministic map of noise, which has no density."
    },
}
FEATURES = {
    "cnf": ("continuous",),
    "gaussian_mixture": ("components",),
    "nade": ("any_order",),
    "transformer": ("attention",),
}
PROBES = {
    **pixel_fakes.PROBES, **latent_fakes.PROBES, **posterior_fakes.PROBES, **flow_fakes.PROBES,
    **continuous_fakes.PROBES, **flow_picture_fakes.PROBES, **chain_fakes.PROBES,
}  # fmt: skip
EQUATION = r"\log p(x) = \log p_Z(f(x)) + \sum_l \log \left| \det J_l \right|"
CENTRES = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
SIGMA = 0.25


def model_card(name: str = "realnvp") -> ModelCard:
    title, family, capabilities, _ = MODELS[name]
    paper = Paper(
        "Dinh, Sohl-Dickstein, Bengio", 2017, "Density estimation using Real NVP", "ICLR"
    )
    summary = "Invertible layers that scale and shift one half of the coordinates by the other."
    return ModelCard(name, title, family, summary, EQUATION, paper, capabilities,
                     lacks=LACKS.get(name, {}), features=FEATURES.get(name, ()))  # fmt: skip


def run_info(model: str = "realnvp", shape: tuple[int, ...] = (2,), **changes: Any) -> RunInfo:
    axes = ("channel", "row", "column") if len(shape) == 3 else ()
    n_axes = 1 if shape == (1,) else 2
    known = shape in ((1,), (2,))
    facts: dict[str, Any] = {
        "has_density": known,
        "entropy": 1.698 if known else None,
        "low": (-3.0,) * n_axes,
        "high": (3.0,) * n_axes,
    }
    data = DatasetInfo(Event(shape, axes), 1600, 200, 200, **(facts | changes))
    card = DatasetCard("eight_gaussians", "8 Gaussians", "Eight Gaussians on a ring.")
    spec = RunSpec(model, "eight_gaussians")
    return RunInfo("run-1", spec, model_card(model), card, data, 12_345, "cpu")


def pdf(x: Any, y: Any) -> Any:
    parts = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * SIGMA**2)) for a, b in CENTRES]
    return sum(parts) / (8 * 2 * np.pi * SIGMA**2)


def pdf_1d(x: Any) -> Any:
    return 0.6 * np.exp(-((x + 1) ** 2) / 0.32) / 1.0027 + 0.3 * np.exp(-((x - 1.2) ** 2))


def nodes(low: float, high: float, size: int) -> Any:
    return low + (np.arange(size) + 0.5) * (high - low) / size


@dataclass
class FakeEngine:
    """Answers a panel's questions for one run; ``spoil`` maps arrays to nasty ones."""

    info: RunInfo
    spoil: Callable[[str, Any], Any] = lambda name, array: array
    seed: int = 0

    def serve(self, panel: Panel, *, rest: bool = True) -> dict[str, Question]:
        """Answer everything that a panel asks; returns the questions."""
        questions = panel.asks(rest=rest)
        for part, question in questions.items():
            panel.show_answer(part, self.answer(panel.name, part, question))
        return questions

    def answer(self, panel: str, part: str, question: Question) -> Answer:
        wanted = dict(question.arguments)
        if question.probe in PROBES:
            given = dict(question.arrays)
            arrays, values = PROBES[question.probe](self.info, wanted, given)
        else:
            arrays, values = getattr(self, "_" + question.probe)(wanted)
        spoilt = {name: self.spoil(name, array) for name, array in arrays.items()}
        return Answer(Slot(panel, self.info.run, part), 1, 100, spoilt, values)

    @property
    def kind(self) -> str:
        return MODELS[self.info.card.name][3]

    def _surface(self, wanted: dict[str, Any], shift: float) -> tuple[dict[str, Any], Any]:
        (x0, y0), (x1, y1), size = wanted["low"], wanted["high"], wanted["size"]
        x, y = nodes(x0, x1, size), nodes(y0, y1, size)
        density = pdf(*np.meshgrid(x - shift, y))
        with np.errstate(divide="ignore"):
            surface = np.log(density).astype(np.float32)
        if "critic" in self.kind and shift:
            surface = (1 / (1 + np.exp(np.hypot(*np.meshgrid(x, y)) - 2))).astype(np.float32)
        arrays = {"x": x, "y": y, "log_density": surface}
        arrays |= {
            "marginal_x": (density.sum(0) * (y1 - y0) / size).astype(np.float32),
            "marginal_y": (density.sum(1) * (x1 - x0) / size).astype(np.float32),
        }
        return arrays | _contours(x, y, density), density

    def _density(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        if len(wanted["low"]) == 1:
            return self._curve(wanted, 0.06), self._values(1.0) | {"contour_masses": []}
        arrays, density = self._surface(wanted, 0.06)
        area = (wanted["high"][0] - wanted["low"][0]) * (wanted["high"][1] - wanted["low"][1])
        values = self._values(float(density.mean() * area))
        if self.info.data.event.size > 2:
            values |= {"mass": None, "peak": None, "label": "log p(x), exact, slice at the mean"}
        return arrays, values

    def _values(self, mass: float) -> dict[str, Value]:
        critic = "critic" in self.kind
        labels = {
            "exact": "log p(x), exact",
            "bound": "importance-weighted bound, 32 draws",
            "quadrature": "−E(x) − log Z, quadrature",
            "critic": "critic σ(f(x)), chance of real",
            "raw critic": "critic f(x), higher = more real",
        }
        values: dict[str, Value] = {
            "kind": "critic" if critic else self.kind,
            "label": labels[self.kind],
            "mass": None if critic else mass,
            "peak": 0.3,
            "note": "",
            "contour_masses": [] if critic else [0.25, 0.5, 0.75, 0.95],
        }
        if self.kind == "quadrature":
            values |= {"log_z": 3.214, "log_z_error": 0.004}
        return values

    def _curve(self, wanted: dict[str, Any], shift: float) -> dict[str, Any]:
        x = nodes(wanted["low"][0], wanted["high"][0], wanted["size"])
        surface = np.log(pdf_1d(x - shift)).astype(np.float32)
        empty = np.zeros(0, np.float32)
        return {"x": x, "log_density": surface, "marginal_x": np.exp(surface), "marginal_y": empty}

    def _truth(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        values: dict[str, Value] = {"kind": "truth", "peak": 0.3}
        if len(wanted["low"]) == 1:
            return self._curve(wanted, 0.0), values
        return self._surface(wanted, 0.0)[0], values

    def _data_points(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        dims = 1 if self.info.data.event.size == 1 else 2
        points = self._draw_points(wanted["n"], dims)
        values: dict[str, Value] = {
            "low": [-3.0] * dims, "high": [3.0] * dims, "x_name": "x", "y_name": "y",
        }  # fmt: skip
        return {"points": points, "labels": np.full(len(points), -1, np.int32)}, values

    def _samples(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        dims = 1 if self.info.data.event.size == 1 else 2
        chain = self.info.card.name == "ebm"
        label = "200 Langevin steps from the prior noise, not exact" if chain else ""
        points = self._draw_points(wanted["n"], dims) + np.float32(0.06)
        return {"points": points}, {"kind": "chain" if chain else "exact", "label": label}

    def _draw_points(self, n: int, dims: int) -> Any:
        random = np.random.default_rng(self.seed)
        if dims == 1:
            which = random.random(n) < 0.6
            points = np.where(which, random.normal(-1, 0.4, n), random.normal(1.2, 0.7, n))
            return points[:, None].astype(np.float32)
        noise = SIGMA * random.normal(size=(n, 2))
        return (CENTRES[random.integers(0, 8, n)] + noise).astype(np.float32)

    def _warped_grid(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        t, fixed = np.linspace(-2.5, 2.5, 101), np.linspace(-2.5, 2.5, 21)
        lines = [np.stack([np.full(101, f), t], 1) for f in fixed]
        lines += [np.stack([t, np.full(101, f)], 1) for f in fixed]
        bent = np.array(lines)
        radius = np.linalg.norm(bent, axis=2, keepdims=True)
        return {"lines": (bent * (1.9 / (0.6 + radius))).astype(np.float32)}, {}

    def _responsibilities(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        if "low" in wanted:
            x = nodes(wanted["low"][0], wanted["high"][0], wanted["size"])
            curves = np.log(0.5 * pdf_1d(x)) * np.ones((2, 1))
            return {"nodes": x, "log_curves": curves, "weights": np.full(2, 0.5)}, {}
        points = self._draw_points(2000, 2)
        distance = ((points[:, None] - CENTRES[None]) ** 2).sum(2) / (2 * SIGMA**2)
        shares = np.exp(-distance)
        shares /= shares.sum(1, keepdims=True)
        covariances = np.tile(np.eye(2) * SIGMA**2, (8, 1, 1))
        return {
            "points": points, "responsibilities": shares, "weights": np.full(8, 0.125),
            "means": CENTRES, "covariances": covariances,
        }, {}  # fmt: skip

    def _log_prob_at(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        values: dict[str, Value] = {
            "kind": "critic" if "critic" in self.kind else self.kind,
            "log_prob": -1.5, "error": 0.0, "unit": "nats",
            "terms": ["base", "layer 1", "layer 2"], "term_values": [-2.0, 0.3, 0.2],
        }  # fmt: skip
        return {}, values

    def _divergences(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        kind = self.kind if self.info.data.has_density else "none"
        entropy = self.info.data.entropy
        values: dict[str, Value] = {
            "kind": kind,
            "note": "",
            "reason": "",
            "entropy": entropy,
            "identity": 0.0,
        }
        numbers = {"kl": 0.0312, "reverse_kl": 0.041, "js": 0.0087, "tv": 0.071,
                   "cross_entropy": 1.7292, "outside": 0.0, "missed": 0.0}  # fmt: skip
        for name, value in numbers.items():
            values |= {name: value, f"{name}_error": 0.0021, f"{name}_kind": kind}
        return {}, values | {
            "mass": 0.996, "mass_error": 2e-4, "tail": 0.0035, "tail_error": 3e-4,
            "tail_label": "8192 draws of the model", "total": 0.9995, "total_error": 5e-4,
            "mass_state": "whole",
        }  # fmt: skip

    def _sample_scores(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        values: dict[str, Value] = {
            "n": wanted["n"], "repetitions": wanted["repetitions"], "enough": 400,
            "draws": "samples of the model", "against": "fresh draws of the truth",
        }  # fmt: skip
        settled = wanted["repetitions"] >= 40
        for name, score, ends in (
            ("energy_distance", 0.177, (0.07, 0.11, 0.18)),
            ("mmd", 0.0094, (-0.0014, -0.0003, 0.0037)),
            ("sliced_wasserstein", 0.19, (0.07, 0.11, 0.19)),
        ):
            values[name] = score
            for end, value in zip(("low", "middle", "high"), ends, strict=True):
                values[f"{name}_{end}"] = value if settled else None
        return {}, values

    def _draw(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        return {"samples": _pictures(wanted["n"], 1)}, {"kind": "exact", "label": ""}

    def _data_examples(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        return {"examples": _pictures(wanted["n"], 2)}, {}


def _pictures(n: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:8, 0:8]
    radius = random.uniform(1.5, 3.2, (n, 1, 1))
    distance = np.abs(np.hypot(row - 3.5, column - 3.5) - radius)
    return np.clip(1 - distance / 1.2, 0, 1)[:, None].astype(np.float32)


def _contours(x: Any, y: Any, density: Any) -> dict[str, Any]:
    order = np.sort(density.ravel())[::-1]
    mass = np.cumsum(order) / order.sum()
    tracer = contourpy.contour_generator(x, y, density, line_type="Separate")
    lines, levels = [], []
    for index, share in enumerate((0.25, 0.5, 0.75, 0.95)):
        level = order[min(int(np.searchsorted(mass, share)), len(order) - 1)]
        found = tracer.lines(float(level))
        lines += found
        levels += [index] * len(found)
    starts = np.cumsum([0, *[len(line) for line in lines]]).astype(np.int32)
    points = np.concatenate(lines) if lines else np.zeros((0, 2))
    return {
        "contour_points": points.astype(np.float32),
        "contour_starts": starts,
        "contour_level": np.array(levels, np.int32),
    }


def metrics(columns: dict[str, Any], steps: Any) -> MetricsTable:
    """A table filled at once."""
    table = MetricsTable()
    values = np.stack([np.asarray(v, np.float64) for v in columns.values()], 1)
    table.append(Metrics("run-1", tuple(columns), np.asarray(steps), values))
    return table


def training_curves(model: str, n: int = 1500) -> MetricsTable:
    """What training of each kind of model records."""
    random = np.random.default_rng(0)
    steps = np.arange(1, n + 1)
    fall = 1.75 + 2.2 * np.exp(-steps / 120)
    norm = 0.4 + 3 * np.exp(-steps / 200) + 0.2 * random.random(n)
    columns: dict[str, Any] = {"total": fall, "gradient_norm": norm}
    if model == "ebm":
        columns |= {"positive": -0.2 * np.log(steps) + 0.1 * random.normal(size=n)}
        columns |= {"negative": -0.2 * np.log(steps) + 0.4 * random.normal(size=n)}
    elif model == "gan":
        columns |= {"generator": 0.69 + 0.4 * np.sin(steps / 90) + 0.1 * random.normal(size=n)}
        columns |= {"critic": 1.38 - 0.3 * np.sin(steps / 90) + 0.1 * random.normal(size=n)}
    else:
        columns |= {"nll": fall + 0.12 * random.normal(size=n)}
        held = np.full(n, np.nan)
        held[::25] = fall[::25] + 0.03
        columns |= {"held_out_nll": held}
    return metrics(columns, steps)


def resize(panel: Panel, width: int, height: int) -> None:
    """Give a shown panel another size and let its layouts settle."""
    panel.resize(width, height)
    for _ in range(4):
        QCoreApplication.processEvents()


def shown(widget: Any, qtbot: QtBot, width: int = 320, height: int = 480) -> Any:
    """A widget on the screen, destroyed at the end of the test."""
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    qtbot.waitExposed(widget)
    return widget
