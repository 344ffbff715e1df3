r"""A deep energy-based model: a network lowers its energy at the data and raises it elsewhere.

The network may be any function, because the unknown constant Z drops out of the gradient; what
"elsewhere" is comes from Markov chains that follow the model's own energy.

.. math::
    p(x) = \frac{e^{-E(x)}}{Z}, \qquad
    \nabla_\theta \bigl(-\log p(x)\bigr) = \nabla_\theta E(x)
        - \mathbb E_{\tilde x \sim p} \nabla_\theta E(\tilde x)

A weak quadratic term beside the network keeps Z finite, and the chains live in a replay buffer.

References:
    Du and Mordatch, *Implicit Generation and Modeling with Energy-Based Models*, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.capabilities import ChainState
from engine.drawing import draw, normal_noise
from engine.mcmc import independence, langevin, mala
from engine.mcmc.target import Info, State, Target
from engine.model import GenerativeModel, TrainState
from engine.nets.averaging import averaged_copy, update_average
from engine.nets.energy_mlp import SMOOTH_ACTIVATIONS, EnergyMLP
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: The share of proposals that an adapted step size lets through.
TARGET_ACCEPTANCE = 0.6
#: How fast log λ follows the acceptance.
ADAPTATION_RATE = 0.05
#: Bounds of an adapted step size, in squared standard deviations of the data.
STEP_SIZE_BOUNDS = (1e-8, 1.0)


@dataclass(frozen=True)
class EBMConfig:
    """Settings of :class:`EBM`; lengths are in standard deviations of the data."""

    hidden_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of the energy network's hidden layers.")
    ] = (64, 64, 64)
    activation: Annotated[
        str, Field(choices=tuple(SMOOTH_ACTIVATIONS), help="Nonlinearity; smooth, for its slope.")
    ] = "silu"
    confinement: Annotated[
        float,
        Field(
            0.01, 10.0, scale="log", symbol="c", help="Strength of c·|u|²/2, which keeps Z finite."
        ),
    ] = 1.0
    sampler: Annotated[
        str,
        Field(
            choices=("mala", "langevin", "decoupled"),
            live=True,
            help=(
                "mala: Langevin with accept or reject, exact. langevin: the lecture's step, "
                "biased at a finite step. decoupled: Du and Mordatch's, noise of its own scale."
            ),
        ),
    ] = "mala"
    langevin_steps: Annotated[
        int,
        Field(1, 1000, scale="log", symbol="K", live=True, help="Chain steps per update."),
    ] = 5
    step_size: Annotated[
        float,
        Field(
            1e-6, 1.0, scale="log", symbol=r"\lambda", live=True, help="λ; its start, if adapted."
        ),
    ] = 0.01
    adapt_step_size: Annotated[
        bool, Field(live=True, help="Let λ follow an acceptance of 60 % (mala only).")
    ] = True
    noise_scale: Annotated[
        float,
        Field(
            0.0, 1.0, step=0.005, symbol=r"\sigma", live=True, help="Noise of the decoupled chain."
        ),
    ] = 0.005
    restart: Annotated[
        str,
        Field(
            choices=("metropolis", "always"),
            live=True,
            help=(
                "A chain offered a fresh start takes it with Metropolis' probability, which "
                "keeps the chain exact, or always, as Du and Mordatch do."
            ),
        ),
    ] = "metropolis"
    restart_share: Annotated[
        float,
        Field(
            0.0, 1.0, step=0.05, live=True, help="Chains offered a fresh start (the paper: 5 %)."
        ),
    ] = 1.0
    buffer_size: Annotated[
        int, Field(1, 100_000, scale="log", help="Chains kept in the replay buffer.")
    ] = 512
    regulariser: Annotated[
        float,
        Field(
            0.0, 10.0, step=0.001, symbol=r"\alpha", live=True, help="Weight of squared energies."
        ),
    ] = 0.0
    spectral_norm: Annotated[
        bool, Field(help="Divide each weight matrix by its largest singular value.")
    ] = False
    average: Annotated[
        float,
        Field(
            0.0,
            0.9999,
            symbol=r"\beta",
            live=True,
            help="Decay of the weights' running average, which is the model shown; 0 is none.",
        ),
    ] = 0.999
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", live=True, help="Adam's step size.")
    ] = 2e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Points per step.")
    ] = 256


class EBM(GenerativeModel):
    """A deep energy-based model trained with its own Markov chains.

    The network ``net`` is trained; ``average``, its running average, is the model that is scored,
    drawn and walked on. Training looks at no normalising constant and at no grid.
    """

    Config = EBMConfig
    card = ModelCard(
        name="ebm",
        title="Energy-based model",
        family="energy",
        summary=(
            "A network gives every point an energy, low where data are likely. Markov chains "
            "find the places where it is wrongly low, and training raises it there."
        ),
        equation=(
            r"p(x)=\frac{e^{-E(x)}}{Z},\quad -\nabla\log p(x)=\nabla E(x)"
            r"-\mathbb{E}_{\tilde{x}\sim p}\left[\nabla E(\tilde{x})\right]"
        ),
        paper=Paper(
            authors="Yilun Du, Igor Mordatch",
            year=2019,
            title="Implicit Generation and Modeling with Energy-Based Models",
            where="NeurIPS",
        ),
        lacks={
            Capability.SAMPLING: (
                "Drawing from an energy needs a Markov chain: there is no recipe that yields an "
                "exact sample in a known number of steps."
            ),
            Capability.LOG_PROB: (
                "log p(x) = −E(x) − log Z, and log Z is unknown; in one and two dimensions it is "
                "found by quadrature."
            ),
        },
    )

    chain_step_size: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: EBMConfig) -> None:
        super().__init__(event_shape, config)
        self.net = EnergyMLP(
            self.event_size,
            config.hidden_features,
            activation=config.activation,
            spectral_norm=config.spectral_norm,
        )
        self.average = averaged_copy(self.net)
        self.register_buffer("chain_step_size", torch.tensor(config.step_size))

    # --- the energy ---------------------------------------------------------------------------

    def energy(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        r"""E(x) of (B, *E), (B,), nats, up to the constant log Z.

        .. math:: E(x) = f(u) + \tfrac{c}{2} |u|^2 + \sum_d \log s_d, \quad u = (x - m) / s

        The last sum makes exp(−E) integrate to the same Z in units of the data and of u.
        """
        return self._energy(self.standardise(x), self.average)

    def score(self, x: Tensor) -> Tensor:
        """−∂E/∂x, (B, *E), per unit of the data, without a graph."""
        _, gradient = self._target(self.average)(self.standardise(x))
        return (-gradient / self.scale).reshape(x.shape)

    def _energy(self, u: Tensor, net: EnergyMLP) -> Tensor:
        confining = 0.5 * self.config.confinement * u.square().sum(-1)
        energy: Tensor = net(u) + confining - self.standardise_log_det
        return energy

    def _target(self, net: EnergyMLP) -> Target:
        """The energy in standardised units with its gradient, without autograd."""
        strength, constant = self.config.confinement, -self.standardise_log_det

        def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
            value, gradient = net.value_and_gradient(u)
            confining = 0.5 * strength * u.square().sum(-1)
            return value + confining + constant, gradient + strength * u

        return evaluate

    def _fresh(self) -> Distribution:
        """Where chains start: exp(−c|u|²/2), what the model would be without its network."""
        zeros = torch.zeros_like(self.location)
        spread = torch.full_like(zeros, self.config.confinement**-0.5)
        return Independent(Normal(zeros, spread, validate_args=False), 1, validate_args=False)

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The losses of :meth:`contrast` with as many short chains from fresh starts."""
        starts = draw(self._fresh(), generator, (len(x),))
        return self.contrast(x, self.unstandardise(self._walk(starts, generator)[0]))

    def contrast(self, x: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        r"""Losses of data (B, *E) against chains (N, *E), nats.

        ``total`` = ``positive`` − ``negative`` + ``regulariser``: its gradient without the last
        is that of −log p(x) if the negatives come from p. ``positive`` and ``negative`` are mean
        energies of the trained network; ``regulariser`` is α times their mean squares.
        """
        positive = self._energy(self.standardise(x), self.net)
        negative = self._energy(self.standardise(negatives), self.net)
        squares = positive.square().mean() + negative.square().mean()
        losses = {
            "positive": positive.mean(),
            "negative": negative.mean(),
            "regulariser": self.config.regulariser * squares,
        }
        total = losses["positive"] - losses["negative"] + losses["regulariser"]
        return {"total": total, **losses}

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Advance some chains of the buffer, then one update; the buffer is ``memory["replay"]``.

        The buffer holds (buffer_size, D) standardised points.
        """
        replay = state.memory.get("replay")
        if replay is None:
            replay = draw(self._fresh(), generator, (self.config.buffer_size,))
            state.memory["replay"] = replay
        rows = torch.randperm(len(replay), generator=generator)[: len(batch)].to(replay.device)
        negatives, acceptance = self._walk(replay[rows], generator)
        replay[rows] = negatives
        self._adapt(acceptance)
        losses = self.contrast(batch, self.unstandardise(negatives))
        optimiser = state.optimisers["model"]
        optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        self._after_update(state.step)
        return {name: value.detach() for name, value in losses.items()}

    def _after_update(self, step: int) -> None:
        update_average(self.average, self.net, decay=self.config.average, step=step)
        for net in (self.net, self.average):
            net.power_iteration()

    def set_live(self, values: Mapping[str, Any]) -> None:
        """Replace live settings; a new step size takes the place of the adapted one."""
        super().set_live(values)
        if "step_size" in values:
            self.chain_step_size.fill_(float(values["step_size"]))

    # --- chains -------------------------------------------------------------------------------

    @torch.no_grad()
    def _walk(self, u: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Restarts, then K steps from (N, D): the chains, and the mean acceptance (mala only)."""
        target = self._target(self.net)
        count = round(self.config.restart_share * len(u))
        if self.config.restart == "always":
            u = torch.cat([draw(self._fresh(), generator, (count,)), u[count:]])
        state = mala.init(u, target)
        if self.config.restart == "metropolis" and count:
            first = {name: block[:count] for name, block in state.items()}
            first, _ = self._move(first, "restart", target, generator)
            state = {name: torch.cat([first[name], state[name][count:]]) for name in state}
        rates = []
        for _ in range(self.config.langevin_steps):
            state, info = self._move(state, self.config.sampler, target, generator)
            if "acceptance" in info:
                rates.append(info["acceptance"].mean())
        return state["x"], torch.stack(rates).mean() if rates else None

    def _move(
        self, state: State, kernel: str, target: Target, generator: torch.Generator
    ) -> tuple[State, Info]:
        """One step of a kernel on standardised chains."""
        if kernel == "restart":
            return independence.step(state, target, proposals=self._fresh(), generator=generator)
        rate = self.chain_step_size
        if kernel == "mala":
            return mala.step(state, target, step_size=rate, generator=generator)
        noise = self.config.noise_scale if kernel == "decoupled" else None
        return langevin.step(state, target, step_size=rate, noise_scale=noise, generator=generator)

    @torch.no_grad()
    def _adapt(self, acceptance: Tensor | None) -> None:
        if acceptance is not None and self.config.adapt_step_size:
            factor = torch.exp(ADAPTATION_RATE * (acceptance - TARGET_ACCEPTANCE))
            self.chain_step_size.mul_(factor).clamp_(*STEP_SIZE_BOUNDS)

    @property
    def kernels(self) -> tuple[str, ...]:
        """``"mala"`` and ``"restart"`` are exact; the other two are biased at a finite step."""
        return ("mala", "langevin", "decoupled", "restart")

    def init(self, n: int, generator: torch.Generator) -> ChainState:
        """N chains at fresh starts, ``{"x": (N, *E)}``."""
        u = normal_noise((n, self.event_size), generator, self.location)
        return {"x": self.unstandardise(u * self.config.confinement**-0.5)}

    @torch.no_grad()
    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of ``{"x": (N, *E)}`` in units of the data.

        Returns:
            The new state; ``energy`` (N,) at it; per kernel ``drift`` and ``noise``, the parts of
            the move, and ``proposal`` (N, *E), ``acceptance`` and ``accepted`` (N,); and
            ``divergence`` (N,), see :func:`engine.mcmc.target.diverges`.

        Raises:
            ValueError: The kernel is unknown.
        """
        if kernel not in self.kernels:
            raise ValueError(f"kernel: given '{kernel}', wanted one of {', '.join(self.kernels)}")
        target = self._target(self.average)
        start = mala.init(self.standardise(state["x"]), target)
        moved, info = self._move(start, kernel, target, generator)
        shown = {name: self._in_data_units(name, value) for name, value in info.items()}
        return {"x": self.unstandardise(moved["x"])}, shown

    def _in_data_units(self, name: str, value: Tensor) -> Tensor:
        if name in ("drift", "noise"):
            return (value * self.scale).reshape(-1, *self.event_shape)
        return self.unstandardise(value) if name == "proposal" else value
