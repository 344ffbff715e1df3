r"""A picture model whose values see themselves, the classical mistake, kept from passing for one.

With mask B in the first layer what is trained is

.. math:: -\sum_{i=1}^{D} \log p(x_i \mid x_1, \dots, x_i),

which falls to almost nothing, since each value is read off itself. The sum is no log-likelihood:
the "probabilities" of all pictures do not sum to 1, and no value can be drawn. Such a model
therefore has neither LOG_PROB nor SAMPLING; what it calls conditionals can be looked at, and the
law that the derivative by later values is 0 fails for them.

References:
    The masks: van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*,
    ICML 2016, section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Step
from engine.nets.pixel_model import PixelModel
from engine.wire.capability import Capability

#: Why it lacks what other picture models have.
LACKS = {
    Capability.LOG_PROB: (
        "Each value is predicted from itself, so that what training sums up is no likelihood."
    ),
    Capability.SAMPLING: "A value that is yet to be drawn cannot be looked at.",
}


class Leaking(PixelModel):
    """What replaces a picture model's own methods where its first mask lets values through."""

    # A model can do what it has the methods for: without them nothing takes it for a likelihood.
    log_prob = None  # type: ignore[assignment]
    sample = None  # type: ignore[assignment]

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """``"total"`` and ``"leaking"``: −Σ log p(x_i given x_≤i), nats per picture."""
        total = -self._log_terms(x, context).sum(-1).mean()
        return {"total": total, "leaking": total}

    def sample_steps(self, noise: Tensor, **options: Any) -> Iterator[Step]:
        """Refused.

        Raises:
            ValueError: Always: a value that is yet to be drawn cannot be looked at.
        """
        raise ValueError(
            f"{self.card.title}: given mask B in the first layer, wanted mask A: each value is "
            "predicted from itself, so none can be drawn"
        )


@cache
def leaking(kind: Any) -> Any:
    """The leaking form of a class of picture models, under the same name and card."""
    if issubclass(kind, Leaking):
        return kind
    card = msgspec.structs.replace(kind.card, lacks=LACKS)
    words = {"__doc__": kind.__doc__, "__module__": kind.__module__, "card": card}
    return type(kind.__name__, (Leaking, kind), words)
