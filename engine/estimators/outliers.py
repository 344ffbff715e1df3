r"""How well a score tells what lies outside the data from held-out data.

.. math::
    \mathrm{AUROC} = P(s(x_\text{out}) > s(x_\text{in}))
        + \tfrac12 P(s(x_\text{out}) = s(x_\text{in}))

over all pairs: 1 where the score parts them, ½ where it cannot tell. The standard error is that
of Hanley and McNeil, which takes the scores for exponential.

References:
    Hendrycks and Gimpel, *A Baseline for Detecting Misclassified and Out-of-Distribution Examples
    in Neural Networks*, ICLR 2017. Hanley and McNeil, *The Meaning and Use of the Area under a
    Receiver Operating Characteristic (ROC) Curve*, Radiology 143, 1982.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: What is put beside the data, in the order in which it is told.
OUTSIDERS = ("independent values", "noise", "two at once")


def outsiders(data: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """As many events (N, *E) of each kind that is unlike the data (N, *E), by name.

    - ``"independent values"``: each value from another event, so every one alone is the data's.
    - ``"noise"``: uniform between the least and the greatest value of the data.
    - ``"two at once"``: the mean of two events.

    Raises:
        ValueError: There are fewer than two events.
    """
    n = len(data)
    if n < 2:
        raise ValueError(f"outsiders: given {n} events, wanted at least 2")
    flat = data.reshape(n, -1)
    order = torch.rand(flat.shape, generator=generator).argsort(0)
    noise = torch.rand(flat.shape, generator=generator).to(flat)
    low, high = flat.min(), flat.max()
    partner = (torch.arange(n) + 1 + int(torch.randint(n - 1, (), generator=generator))) % n
    kinds = (flat.gather(0, order), low + (high - low) * noise, 0.5 * (flat + flat[partner]))
    return {
        name: events.reshape(data.shape) for name, events in zip(OUTSIDERS, kinds, strict=True)
    }


def auroc(inside: Tensor, outside: Tensor) -> tuple[float, float]:
    """The area of scores (N,) and (M,), greater = further outside, and its standard error.

    Raises:
        ValueError: One of them is empty, or a score is no number.
    """
    n, m = len(inside), len(outside)
    if not n or not m:
        raise ValueError(f"auroc: given {n} and {m} scores, wanted at least one of each")
    both = torch.cat([inside, outside]).double()
    if bool(both.isnan().any()):
        raise ValueError("auroc: given scores that are no numbers")
    ordered = inside.double().sort().values
    below = torch.searchsorted(ordered, outside.double(), right=False)
    upto = torch.searchsorted(ordered, outside.double(), right=True)
    area = float((below + upto).double().sum()) / (2.0 * n * m)
    two_out, two_in = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    spread = area * (1.0 - area)
    spread += (m - 1) * (two_out - area**2) + (n - 1) * (two_in - area**2)
    return area, math.sqrt(max(spread, 0.0) / (n * m))
