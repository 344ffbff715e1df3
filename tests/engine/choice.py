"""Which models a test can build on points: some take values of levels alone."""

from __future__ import annotations

from engine.registry import model_names, models


def takes(name: str, support: str) -> bool:
    """Whether a model learns events of this support."""
    supports = models()[name].card.supports
    return not supports or support in supports


POINT_MODELS = tuple(name for name in model_names() if takes(name, "real"))
