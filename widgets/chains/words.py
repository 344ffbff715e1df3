"""What kernels and starts are called, and what they do, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelWords:
    """A kernel for people.

    Attributes:
        title: In the list.
        equation: LaTeX of one step.
        note: What it is exact for, in one sentence.
        settings: Sliders that it has.
    """

    title: str
    equation: str
    note: str
    settings: tuple[str, ...]


KERNELS = {
    "langevin": KernelWords(
        "Langevin",
        r"x\leftarrow x-\frac{\lambda}{2}\nabla E(x)+\varepsilon,\quad"
        r"\varepsilon\sim\mathcal{N}(0,\lambda T)",
        "The lecture's step, without accept or reject: biased at a finite λ.",
        ("step_size", "temperature"),
    ),
    "decoupled": KernelWords(
        "decoupled (not Langevin)",
        r"x\leftarrow x-\frac{\lambda}{2}\nabla E(x)+\varepsilon,\quad"
        r"\varepsilon\sim\mathcal{N}(0,\sigma^2)",
        "Du and Mordatch's: σ is no √λ, so exp(−E) is not its law, however small λ is.",
        ("step_size", "noise"),
    ),
    "mala": KernelWords(
        "MALA",
        r"x'=x-\frac{\lambda}{2}\nabla E(x)+\varepsilon,\quad"
        r"\alpha=\min\left(1,\frac{p(x')\,q(x\mid x')}{p(x)\,q(x'\mid x)}\right)",
        "Langevin's step as a proposal, accepted or refused: exact at every λ.",
        ("step_size", "temperature"),
    ),
    "hmc": KernelWords(
        "HMC",
        r"\dot{x}=p,\quad\dot{p}=-\nabla E(x),\quad\alpha=\min\left(1,e^{-\Delta H/T}\right)",
        "A push, then L leapfrog steps of length √λ over the energy: exact, and far-reaching.",
        ("step_size", "n_leapfrog", "temperature"),
    ),
    "metropolis": KernelWords(
        "Metropolis",
        r"x'=x+\varepsilon,\quad\varepsilon\sim\mathcal{N}(0,\lambda T),\quad"
        r"\alpha=\min\left(1,e^{-\Delta E/T}\right)",
        "A random walk without a gradient, accepted or refused: exact.",
        ("step_size", "temperature"),
    ),
    "tempering": KernelWords(
        "parallel tempering",
        r"\alpha=\min\left(1,e^{(E(x_r)-E(x_{r+1}))(1/T_r-1/T_{r+1})}\right)",
        "MALA at four temperatures; neighbours change places. The coldest is exact and hops.",
        ("step_size", "hottest"),
    ),
}
OWN = "own:"
OWN_NOTE = "The model's own kernel, with the step size that its training has found."
STARTS = (
    ("noise", "from noise", "Fresh starts: the model's own noise, else as wide as the data"),
    ("data", "from data", "Observations; of a target exact draws of its grid"),
    ("buffer", "from the buffer", "The training's own chains, as they stand in its replay buffer"),
    ("click", "from a click", "All chains begin where you click into the picture"),
)
COUNTS = (1, 10, 100, 1000, 2000, 5000, 10_000)
LENGTHS = (100, 400, 1000, 4000)
#: Chains times steps that a film holds.
MOST_ROWS = 4_000_000


def counted(n: int, word: str) -> str:
    """12345 chains as "12 345 chains", and 1 as "1 chain"."""
    return f"{n:,}".replace(",", "\u2009") + f" {word}" + ("s" if n != 1 else "")


def kernel_words(name: str) -> KernelWords:
    """A kernel's words; a model's own have those of its kind, and no sliders."""
    plain = name.removeprefix(OWN)
    if name == plain:
        return KERNELS[name]
    kind = KERNELS.get(plain)
    equation = kind.equation if kind is not None else ""
    if plain == "restart":
        equation = r"x'\sim q,\quad\alpha=\min\left(1,\frac{p(x')\,q(x)}{p(x)\,q(x')}\right)"
    return KernelWords(f"the model's own: {plain}", equation, OWN_NOTE, ())
