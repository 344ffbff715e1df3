"""Output distributions of autoregressive models, behind one interface.

``make_output("logistic_mixture", levels=256, n_components=5)`` gives an
:class:`~engine.nets.outputs.family.OutputFamily` that says how many parameters a network has to
put out for each value (``n_params``) and turns them into distributions. What comes out of a model,
whatever the family, is read by :func:`level_probs`, :func:`icdf`, :func:`tempered`,
:func:`entropy` and :func:`select`.
"""

from __future__ import annotations

from engine.nets.outputs.binned import (
    BinnedGaussianOutput,
    BinnedMixture,
    LogisticMixtureOutput,
)
from engine.nets.outputs.family import (
    BernoulliOutput,
    CategoricalOutput,
    OutputFamily,
    check_level_values,
    scale_levels,
)
from engine.nets.outputs.reading import (
    check_temper,
    entropy,
    icdf,
    is_discrete,
    level_log_probs,
    level_probs,
    nucleus,
    select,
    tempered,
)
from engine.nets.outputs.real import GaussianMixtureOutput

#: What a form offers for pictures of levels; two levels make a categorical a Bernoulli.
OUTPUTS = ("categorical", "gaussian", "logistic_mixture")


def make_output(name: str, *, levels: int | None, n_components: int = 5) -> OutputFamily:
    """The family of a name, for values of so many levels.

    Args:
        name: One of :data:`OUTPUTS` (``"bernoulli"`` too, for two levels). Real values have
            mixtures of Gaussians, of one for ``"gaussian"``.
        levels: Number of levels, or None for real values.
        n_components: K, curves in a mixture; the others have none.

    Raises:
        ValueError: The name is unknown, or does not fit the levels.
    """
    if name not in (*OUTPUTS, "bernoulli"):
        raise ValueError(f"output: given '{name}', wanted one of {', '.join(OUTPUTS)}")
    if levels is None:
        return GaussianMixtureOutput(1 if name == "gaussian" else n_components)
    if levels < 2:
        raise ValueError(f"levels: given {levels}, wanted 2 or more, or none for real values")
    if name == "bernoulli" and levels != 2:
        raise ValueError(f"output: given 'bernoulli' for {levels} levels, wanted 2 levels")
    if name == "gaussian":
        return BinnedGaussianOutput(levels)
    if name == "logistic_mixture":
        return LogisticMixtureOutput(levels, n_components)
    return BernoulliOutput() if levels == 2 else CategoricalOutput(levels)


__all__ = [
    "OUTPUTS",
    "BernoulliOutput",
    "BinnedGaussianOutput",
    "BinnedMixture",
    "CategoricalOutput",
    "GaussianMixtureOutput",
    "LogisticMixtureOutput",
    "OutputFamily",
    "check_level_values",
    "check_temper",
    "entropy",
    "icdf",
    "is_discrete",
    "level_log_probs",
    "level_probs",
    "make_output",
    "nucleus",
    "scale_levels",
    "select",
    "tempered",
]
