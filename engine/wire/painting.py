"""A painting as it crosses the wire: dabs (x, y, σ, weight) as one line of text.

A painting is a mixture of round Gaussians, p(x) = Σ_k w_k N(x; m_k, σ_k² I) with weights that are
divided by their sum. Its text is the base64 of the little-endian float32 rows, so that a painting
is the same, bit for bit, in the window, in the engine, in a run's file and on another machine.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Dabs: TypeAlias = npt.NDArray[np.float32]

#: Columns of a dab, and how many dabs a painting may have.
COLUMNS = ("x", "y", "sigma", "weight")
MOST_DABS = 20_000
#: The smallest σ as a share of the painting's longer side.
FINEST = 1e-3
#: The default painting: outline, mouth and eyes.
FACE_RADIUS, MOUTH_RADIUS, LINE_SIGMA = 3.0, 1.8, 0.14
EYES = (-1.1, 1.1)


def no_dabs() -> Dabs:
    """An empty canvas, (0, 4)."""
    return np.zeros((0, len(COLUMNS)), np.float32)


def encode_dabs(dabs: npt.NDArray[Any]) -> str:
    """Dabs (K, 4) as text; an empty canvas is an empty text."""
    rows = np.ascontiguousarray(dabs, dtype="<f4").reshape(-1, len(COLUMNS))
    return base64.b64encode(rows.tobytes()).decode("ascii")


def decode_dabs(text: str) -> Dabs:
    """The dabs (K, 4) of a text that :func:`encode_dabs` made.

    Raises:
        ValueError: The text is no painting.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _no_painting(text) from None
    if len(data) % (4 * len(COLUMNS)):
        raise _no_painting(text)
    return np.frombuffer(data, "<f4").reshape(-1, len(COLUMNS)).astype(np.float32)


def check_dabs(dabs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The dabs (K, 4) that weigh anything, as float64.

    Raises:
        ValueError: There is none, there are too many, a number is not finite, a weight is
            negative, or a σ is not positive or too small for the painting's size.
    """
    if len(dabs) > MOST_DABS:
        raise ValueError(f"the painting has {len(dabs)} dabs; wanted at most {MOST_DABS}")
    rows = np.asarray(dabs, dtype=np.float64).reshape(-1, len(COLUMNS))
    if not np.isfinite(rows).all() or (rows[:, 2] <= 0.0).any() or (rows[:, 3] < 0.0).any():
        raise ValueError(
            "the painting holds a dab that is none; wanted finite x and y, a positive sigma and "
            "a weight of at least 0 in every row"
        )
    rows = rows[rows[:, 3] > 0.0]
    if not len(rows):
        raise ValueError("the painting is empty; wanted at least one dab that weighs something")
    side = float(np.ptp(rows[:, :2], axis=0).max())
    if rows[:, 2].min() < FINEST * side:
        raise ValueError(
            f"the finest dab has sigma {rows[:, 2].min():.3g} in a painting {side:.3g} wide; "
            f"wanted at least a thousandth of the width"
        )
    return rows


def first_painting() -> Dabs:
    """What is painted before the user paints: a face that smiles, (188, 4)."""
    outline = _arc((0.0, 0.0), FACE_RADIUS, 0.0, 360.0, 120)
    mouth = _arc((0.0, 0.15), MOUTH_RADIUS, 205.0, 335.0, 52)
    eyes = np.concatenate([_eye(x) for x in EYES])
    return np.concatenate([outline, mouth, eyes]).astype(np.float32)


def _arc(
    centre: tuple[float, float], radius: float, first: float, last: float, n: int
) -> npt.NDArray[np.float64]:
    """Dabs along an arc in degrees; each weighs as much as the length that it stands for."""
    angle = np.radians(first + (np.arange(n) + 0.5) * (last - first) / n)
    length = radius * math.radians(last - first) / n
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return np.stack([x, y, np.full(n, LINE_SIGMA), np.full(n, length)], axis=1)


def _eye(x: float) -> npt.NDArray[np.float64]:
    y = 0.75 + 0.08 * np.arange(8)
    return np.stack([np.full(8, x), y, np.full(8, 0.2), np.full(8, 0.25)], axis=1)


def _no_painting(text: str) -> ValueError:
    given = text if len(text) <= 20 else f"{text[:20]}… ({len(text)} characters)"
    return ValueError(
        f"dabs: given '{given}', wanted the base64 of float32 rows (x, y, sigma, weight)"
    )
