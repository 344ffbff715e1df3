r"""The restricted Boltzmann machine: hidden units that vote for patterns of the visible ones.

No unit is joined to one of its own kind, so all hidden units are drawn at once given the visible
ones, and back; and the sum over the hidden ones has a closed form, the free energy F.

.. math::
    E(x, z) = -b^\top x - c^\top z - x^\top W z, \qquad
    F(x) = -b^\top x - \sum_j \log\bigl(1 + e^{c_j + W_j^\top x}\bigr), \qquad
    p(x) = \frac{e^{-F(x)}}{Z}

The gradient needs the model's own averages. Contrastive divergence takes those of chains that
start at the data and walk k steps; persistent chains go on from where the last update left them.
Real data are standardised to u, and visible units are Gaussian with a variance of their own:

.. math:: E(u, z) = \sum_i \frac{u_i^2 - 2 b_i u_i}{2 \sigma_i^2}
    - c^\top z - \sum_i \frac{u_i}{\sigma_i^2} (W z)_i

References:
    Smolensky, *Information Processing in Dynamical Systems: Foundations of Harmony Theory*, 1986;
    Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, Neural Computation
    2002. Persistent chains: Tieleman, ICML 2008. Gaussian units: Cho, Ilin and Raiko, ICANN 2011.
    Centred gradient: Melchior, Fischer and Wiskott, JMLR 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.capabilities import ChainState
from engine.mcmc import gibbs
from engine.model import GenerativeModel, TrainState
from engine.nets.boltzmann import Boltzmann, layer_given
from engine.nets.boltzmann_steps import Gradients, descend, descent, running_means
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Spread of the first weights: of binary units, and of Gaussian ones with one visible unit.
BINARY_SPREAD, GAUSSIAN_SPREAD = 0.01, 0.1
#: The first variance of Gaussian units, bounds of its log, and how much slower it learns, since a
#: variance that rushes ahead takes the hidden units' work away.
FIRST_VARIANCE = 0.1
VARIANCE_RATE = 0.1
LOG_VARIANCE_BOUNDS = (math.log(1e-4), math.log(4.0))
#: Rates of pixels in the data stay so far from 0 and 1 when they become biases.
SMALLEST_RATE = 1e-3


@dataclass(frozen=True)
class RBMConfig:
    """Settings of :class:`RBM`."""

    hidden_units: Annotated[
        int, Field(1, 4096, scale="log", symbol="H", help="Number of hidden units.")
    ] = 64
    algorithm: Annotated[
        str,
        Field(
            choices=("cd", "pcd"),
            live=True,
            help=(
                "Where the chains of the negative phase start: cd: at the data, each time; pcd: "
                "where the last update left them, which is the truer gradient while they mix."
            ),
        ),
    ] = "cd"
    gibbs_steps: Annotated[
        int, Field(1, 1000, scale="log", symbol="k", live=True, help="Sweeps per update.")
    ] = 5
    n_chains: Annotated[
        int, Field(1, 10_000, scale="log", symbol="N", help="Persistent chains (pcd only).")
    ] = 100
    centred: Annotated[
        bool,
        Field(
            live=True,
            help=(
                "Take the gradient of units minus their means, which treats 0 and 1 alike and "
                "learns faster; off is the gradient as in the papers."
            ),
        ),
    ] = True
    momentum: Annotated[
        float,
        Field(
            0.0,
            0.99,
            step=0.05,
            live=True,
            help="Share of the last move kept; a steady gradient then moves 1/(1 − it) as far.",
        ),
    ] = 0.9
    weight_decay: Annotated[
        float,
        Field(0.0, 0.1, step=0.0001, live=True, help="Pulls W towards 0; biases are left alone."),
    ] = 1e-4
    learning_rate: Annotated[
        float, Field(1e-5, 1.0, scale="log", symbol=r"\eta", live=True, help="Step size.")
    ] = 0.02
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Events per step.")
    ] = 100
    levels: Annotated[
        int | None,
        Field(2, 256, derived=True, help="2: binary visible units; none: Gaussian ones."),
    ] = None


class RBM(GenerativeModel):
    """Restricted Boltzmann machine with ``W`` (V, H), ``b`` (V,), ``c`` (H,).

    Visible units are binary for data of two levels and Gaussian for real data, with σ² =
    exp ``log_variance`` (V,) in units of the standardised data.

    Raises:
        ValueError: The values have more than two levels.
    """

    Config = RBMConfig
    card = ModelCard(
        name="rbm",
        title="Restricted Boltzmann machine",
        family="energy",
        summary=(
            "Hidden units vote for patterns of the visible ones, and are drawn all at once. "
            "Training lowers the energy at the data and raises it where its own chains go."
        ),
        equation=r"E(x,z)=-b^\top x-c^\top z-x^\top Wz,\quad p(x)=\frac{1}{Z}\sum_z e^{-E(x,z)}",
        paper=Paper(
            authors="Paul Smolensky; Geoffrey Hinton",
            year=1986,
            title="Information Processing in Dynamical Systems: Foundations of Harmony Theory",
            where="Parallel Distributed Processing, vol. 1",
        ),
        lacks={
            Capability.SAMPLING: (
                "Visible and hidden units are drawn given each other, in turns: the chain "
                "forgets its start only slowly, and no number of turns makes a draw exact."
            ),
            Capability.LOG_PROB: (
                "log p(x) = −F(x) − log Z, and Z sums over all states of the smaller side: 2^20 "
                "of them can be counted, beyond that annealed importance sampling estimates it."
            ),
        },
        supports=("binary", "real"),
    )

    log_variance: Tensor | None

    def __init__(self, event_shape: tuple[int, ...], config: RBMConfig) -> None:
        if config.levels not in (None, 2):
            raise ValueError(
                f"Restricted Boltzmann machine: given data with {config.levels} levels, wanted "
                "binary values (2 levels) or real ones"
            )
        super().__init__(event_shape, config)
        n_visible, n_units = self.event_size, config.hidden_units
        spread = GAUSSIAN_SPREAD / math.sqrt(n_visible) if self.is_gaussian else BINARY_SPREAD
        self.W = nn.Parameter(spread * torch.randn(n_visible, n_units))
        self.b = nn.Parameter(torch.zeros(n_visible))
        self.c = nn.Parameter(torch.zeros(n_units))
        first = torch.full((n_visible,), math.log(FIRST_VARIANCE))
        self.register_parameter("log_variance", nn.Parameter(first) if self.is_gaussian else None)

    @property
    def is_gaussian(self) -> bool:
        """Whether the visible units are real."""
        return self.config.levels is None

    @property
    def machine(self) -> Boltzmann:
        """The machine over (u, z) as plain tensors, which share the weights' memory where binary.

        Its log Z is that of :meth:`energy` as well, whatever units the data have.
        """
        if self.log_variance is None:
            return Boltzmann((self.b, self.c), (self.W,))
        variance = self.log_variance.exp()
        return Boltzmann((self.b / variance, self.c), (self.W / variance[:, None],), variance)

    def machine_data(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Events (B, *E) as the machine's visible units (B, V), standardised."""
        return self.standardise(x)

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise real data; give binary units the biases at which W = 0 fits best."""
        if self.is_gaussian:
            super().prepare(data, generator=generator)
            return
        rates = data.reshape(len(data), -1).mean(0, dtype=torch.float32)
        self.b.copy_(torch.logit(rates.clamp(SMALLEST_RATE, 1.0 - SMALLEST_RATE)))

    # --- the energy ---------------------------------------------------------------------------

    def energy(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """The free energy F of (B, *E), (B,), nats, up to the constant log Z.

        Of real data it is F(u) + Σ log s, so that Z is the same in units of the data and of u.
        """
        u = self.standardise(x)
        return self.machine.free_energy([u, None]) - self.standardise_log_det

    def score(self, x: Tensor) -> Tensor:
        """−∂F/∂x, (B, *E), per unit of the data, without a graph.

        Of binary data it is the slope of F's formula between 0 and 1: which units it wants on.
        """
        with torch.no_grad():
            u, machine = self.standardise(x), self.machine
            hidden = machine.means(1, machine.inputs([u, None], 1))
            slope = machine.inputs([None, hidden], 0)
            if machine.variance is not None:
                slope = slope - u / machine.variance
            return (slope / self.scale).reshape(x.shape)

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The contrast of data (B, *E) with chains that start there, k sweeps on (CD-k)."""
        u, machine = self.standardise(x), self.machine
        with torch.no_grad():
            hidden = machine.means(1, machine.inputs([u, None], 1))
            v = self._walk(machine.draw(1, hidden, generator), generator)
        return self.contrast(u, v)

    def contrast(self, u: Tensor, v: Tensor) -> dict[str, Tensor]:
        r"""Free energies of data u (B, V) and chains v (N, V), standardised, nats.

        ``total`` = mean F(u) − mean F(v): its gradient is that of −log p where the v come from p.
        """
        machine = self.machine
        positive = machine.free_energy([u, None]).mean()
        negative = machine.free_energy([v, None]).mean()
        return {"total": positive - negative, "positive": positive, "negative": negative}

    # --- training -----------------------------------------------------------------------------

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """Gradient descent with momentum."""
        model = descent([self.W], [self.b, self.c], learning_rate, self.config.momentum)
        if self.log_variance is not None:
            rate = VARIANCE_RATE * learning_rate
            slow = {"params": [self.log_variance], "lr": rate, "rate_ratio": VARIANCE_RATE}
            model.add_param_group(slow)
        return {"model": model}

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Walk the chains k sweeps, then one update; persistent ones are ``memory["chains"]``.

        Chains are kept as their hidden units, (N, H). Returns the losses of :meth:`contrast`.
        """
        u = self.standardise(batch)
        persistent = self.config.algorithm == "pcd"
        starts = state.memory.get("chains") if persistent else None
        v = self._walk(self._starts(u, generator) if starts is None else starts, generator)
        gradients, losses, hidden = self.gradients(u, v)
        if persistent:
            state.memory["chains"] = self.machine.draw(1, hidden[len(u) :], generator)
        self._turn(gradients, u, hidden[: len(u)], state)
        descend(
            state.optimisers["model"],
            [(parameter, gradients[name]) for name, parameter in self.named_parameters()],
            momentum=self.config.momentum,
            weight_decay=self.config.weight_decay,
        )
        if self.log_variance is not None:
            self.log_variance.clamp_(*LOG_VARIANCE_BOUNDS)
        return losses

    def _starts(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """Hidden units to start from: given the data (B, H), or those of W = 0 (N, H)."""
        machine = self.machine
        if self.config.algorithm == "cd":
            means = machine.means(1, machine.inputs([u, None], 1))
        else:
            means = torch.sigmoid(self.c).expand(self.config.n_chains, -1)
        return machine.draw(1, means, generator)

    def _walk(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """k draws of v, with h between them: from h (N, H) to v (N, V)."""
        machine = self.machine
        for _ in range(self.config.gibbs_steps - 1):
            v = machine.draw(0, machine.means(0, machine.inputs([None, hidden], 0)), generator)
            hidden = machine.draw(1, machine.means(1, machine.inputs([v, None], 1)), generator)
        return machine.draw(0, machine.means(0, machine.inputs([None, hidden], 0)), generator)

    @torch.no_grad()
    def gradients(
        self, u: Tensor, v: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        r"""The gradient of :meth:`contrast` in closed form, from one product of matrices each way.

        .. math:: \partial_W = \langle v\, p(h \mid v)^\top \rangle_{\text{chains}}
            - \langle u\, p(h \mid u)^\top \rangle_{\text{data}}

        Args:
            u: Data (B, V), standardised.
            v: Chains (N, V).

        Returns:
            The gradient by parameter, the losses, and means of the hidden units (B + N, H).
        """
        machine, n = self.machine, len(u)
        both = torch.cat([u, v])
        inputs = machine.inputs([both, None], 1)
        free = machine.own_energy([both, None], (0,)) - machine.log_partition(1, inputs)
        positive, negative = free[:n].mean(), free[n:].mean()
        hidden = machine.means(1, inputs)
        signs = both.new_full((len(both), 1), 1.0 / len(v))
        signs[:n] = -1.0 / n
        signed = hidden * signs
        found = {"W": both.t() @ signed, "b": both.t().mv(signs[:, 0]), "c": signed.sum(0)}
        if machine.variance is not None:
            fitted = torch.addmm(self.b, hidden, self.W.t())
            slope = both * (0.5 * both - fitted) * signs
            found["log_variance"] = slope.sum(0) / machine.variance
            found["W"] /= machine.variance[:, None]
            found["b"] /= machine.variance
        return (
            found,
            {"total": positive - negative, "positive": positive, "negative": negative},
            hidden,
        )

    def _turn(
        self, gradients: dict[str, Tensor], u: Tensor, hidden: Tensor, state: TrainState
    ) -> None:
        r"""Change a gradient's units in place: σ² per Gaussian unit, and those of centred units.

        With running means μ and λ of data and hidden units, kept in memory, the step of W is that
        for units v − μ and h − λ, and the biases take up what it moves at the means.
        """
        if self.log_variance is not None:
            variance = self.log_variance.exp()
            gradients["W"] *= variance[:, None]
            gradients["b"] *= variance
        if not self.config.centred:
            return
        means = running_means(state.memory, [u, hidden])
        Gradients([gradients["b"], gradients["c"]], [gradients["W"]]).centre(means)

    # --- chains -------------------------------------------------------------------------------

    @property
    def kernels(self) -> tuple[str, ...]:
        """``"gibbs"`` draws h, then v; ``"hidden"`` and ``"visible"`` are its halves."""
        return ("gibbs", "hidden", "visible")

    def init(self, n: int, generator: torch.Generator) -> ChainState:
        """N chains, ``{"v": (N, *E), "h": (N, H)}``, drawn as if W were 0."""
        machine = self.machine
        v = machine.draw(0, machine.means(0, machine.biases[0]).expand(n, -1), generator)
        h = machine.draw(1, machine.means(1, machine.biases[1]).expand(n, -1), generator)
        return {"v": self.unstandardise(v.detach()), "h": h.detach()}

    @torch.no_grad()
    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of ``{"v": (N, *E), "h": (N, H)}``, v in units of the data.

        Returns:
            The new state; ``energy`` (N,), E at it, and ``free_energy`` (N,), F of its v, both up
            to log Z; and of the units drawn ``mean_v`` (N, *E) or ``mean_h`` (N, H), the means
            that they were drawn from: probabilities where they are binary.

        Raises:
            ValueError: The kernel is unknown.
        """
        if kernel not in self.kernels:
            raise ValueError(f"kernel: given '{kernel}', wanted one of {', '.join(self.kernels)}")
        machine = self.machine
        halves = {name: layer_given(machine, ("v", "h"), i) for i, name in enumerate(("v", "h"))}
        names = {"gibbs": ("h", "v"), "hidden": ("h",), "visible": ("v",)}[kernel]
        start = gibbs.init({"v": self.standardise(state["v"]), "h": state["h"]})
        after, info = gibbs.step(start, {n: halves[n] for n in names}, generator=generator)
        shift = self.standardise_log_det
        info["energy"] = machine.energy([after["v"], after["h"]]) - shift
        info["free_energy"] = machine.free_energy([after["v"], None]) - shift
        if "mean_v" in info:
            info["mean_v"] = self.unstandardise(info["mean_v"])
        v = self.unstandardise(after["v"]) if "v" in names else state["v"]
        return {"v": v, "h": after["h"]}, info
