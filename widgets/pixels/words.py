"""How the panel words numbers: nats and bits, log-probabilities, sharpening."""

from __future__ import annotations

import math


def plain(value: float, digits: int = 4) -> str:
    """A number as it is read aloud."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, decimals: int = 2) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    return f"{value:z.{decimals}f}".replace("-", "−") if math.isfinite(value) else "–"


def nats_and_bits(value: float) -> str:
    """Both units: ``1.23 nats = 1.77 bits``."""
    return f"{fixed(value)} nats = {fixed(value / math.log(2.0))} bits"


def spaced(number: int) -> str:
    """12345 as "12 345"."""
    return f"{number:,}".replace(",", " ")


def sharpened(temperature: float, top_p: float) -> str:
    """Such as ``T 0.8, top-p 0.9``; "" where the model is sampled as it is."""
    words = [] if temperature == 1.0 else [f"T {temperature:g}"]
    words += [] if top_p == 1.0 else [f"top-p {top_p:g}"]
    return ", ".join(words)


def bits_per_dim(log_prob: float, size: int) -> float:
    """−log p / (D ln 2)."""
    return -log_prob / (size * math.log(2.0))
