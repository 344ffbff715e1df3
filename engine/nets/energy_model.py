r"""What models have in common that learn an energy by chains of their own.

.. math:: E(x) = h(f(u)) + \tfrac{c}{2} |u|^2 + \sum_d \log s_d, \quad u = (x - m) / s

f is a network, h makes one number of what it puts out (:meth:`EnergyModel.head`), and the
quadratic term keeps Z finite. Training lowers the energy of data and raises it where chains of a
replay buffer have walked to:

.. math:: \nabla_\theta \bigl(-\log p(x)\bigr) = \nabla_\theta E(x)
        - \mathbb E_{\tilde x \sim p} \nabla_\theta E(\tilde x)

The buffer is ``state.memory["replay"]`` (N, D), standardised, and ``state.memory["ages"]`` (N,),
int64: the steps that each chain has walked since it began.

A model file subclasses :class:`EnergyModel`, gives ``card`` and ``Config``, and replaces
:meth:`~EnergyModel.head` and :meth:`~EnergyModel.reduced` where the network puts out several
numbers, and :meth:`~EnergyModel.losses` where more than the contrast is learned.

References:
    Du and Mordatch, *Implicit Generation and Modeling with Energy-Based Models*, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.capabilities import ChainState
from engine.drawing import draw, normal_noise
from engine.mcmc import independence, langevin, mala
from engine.mcmc.target import Info, State, Target
from engine.model import GenerativeModel, TrainState, centre_and_spread
from engine.nets.averaging import averaged_copy, update_average
from engine.nets.energy_conv import EnergyConv
from engine.nets.energy_mlp import EnergyMLP, Head
from engine.nets.energy_settings import choose
from engine.wire.capability import Capability

#: The share of proposals that an adapted step size lets through.
TARGET_ACCEPTANCE = 0.6
#: How fast log λ follows the acceptance.
ADAPTATION_RATE = 0.05
#: Bounds of an adapted step size, in squared standard deviations of the data.
STEP_SIZE_BOUNDS = (1e-8, 1.0)
KERNELS = ("mala", "langevin", "decoupled", "restart")
#: Why such a model has neither exact draws nor a density.
LACKS = {
    Capability.SAMPLING: (
        "Drawing from an energy needs a Markov chain: there is no recipe that yields an "
        "exact sample in a known number of steps."
    ),
    Capability.LOG_PROB: (
        "log p(x) = −E(x) − log Z, and log Z is unknown; in one and two dimensions it is "
        "found by quadrature."
    ),
}


class EnergyModel(GenerativeModel):
    """A network's energy, trained with its own Markov chains.

    The network ``net`` is trained; ``average``, its running average, is the model that is scored,
    drawn and walked on. Training looks at no normalising constant and at no grid.

    Args:
        event_shape: The shape *E of one observation.
        config: An :class:`engine.nets.energy_settings.EnergyConfig`.
    """

    chain_step_size: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self.chosen = choose(config, self.event_shape)
        self.net = self._network()
        self.average = averaged_copy(self.net)
        self.register_buffer("chain_step_size", torch.tensor(self.chosen.step_size))

    def _network(self) -> EnergyMLP:
        config, n_outputs = self.config, self.n_outputs
        more = {"activation": config.activation, "spectral_norm": config.spectral_norm}
        if self.chosen.network == "convolutional":
            return EnergyConv(
                self.event_shape, config.hidden_features, out_features=n_outputs, **more
            )
        return EnergyMLP(self.event_size, config.hidden_features, out_features=n_outputs, **more)

    # --- what a model file may replace --------------------------------------------------------

    @property
    def n_outputs(self) -> int:
        """Numbers that the network puts out."""
        return 1

    def reduced(self, outputs: Tensor, context: Tensor | None) -> Tensor:
        """h: what the network puts out of each event, (B,) or (B, K) → (B,), with a graph."""
        return outputs

    def head(self, context: Tensor | None) -> Head | None:
        """h and its gradient, for chains; ``None`` where the only output is the energy."""
        return None

    def losses(
        self,
        x: Tensor,
        negatives: Tensor,
        context: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Named losses of data (B, *E) with labels (B,) or None, against chains (N, *E).

        The data come with the noise of ``data_noise``.
        """
        return self.contrast(x, negatives)

    # --- data units ---------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Centre and spread of each coordinate; of pictures those of all pixels of a channel.

        A spread of its own would blow up a pixel at the rim that is nearly always black.
        """
        if len(self.event_shape) != 3:
            return super().prepare(data, generator=generator)
        channels, height, width = self.event_shape
        pixels = data.reshape(len(data), channels, -1).transpose(1, 2).reshape(-1, channels)
        centre, spread = centre_and_spread(pixels)
        self.location.copy_(centre.repeat_interleave(height * width))
        self.scale.copy_(spread.repeat_interleave(height * width))
        return None

    # --- the energy ---------------------------------------------------------------------------

    def energy(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        r"""E(x) of (B, *E), (B,), nats, up to the constant log Z.

        The sum of log s makes exp(−E) integrate to the same Z in units of the data and of u.
        """
        return self._energy(self.standardise(x), self.average, context)

    def score(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """−∂E/∂x, (B, *E), per unit of the data, without a graph."""
        return self.energy_and_score(x, context=context)[1]

    def energy_and_score(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both of (B, *E) by one pass forth and one back, without a graph."""
        value, gradient = self._target(self.average, context)(self.standardise(x))
        return value, (-gradient / self.scale).reshape(x.shape)

    def denoised(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        r"""The mean picture behind a noisy one, (B, *E): :math:`x + \sigma_x^2 s^2 \nabla\log p`.

        That is exact for the law that the model stands for, of data with Gaussian noise σ_x
        (M. C. K. Tweedie; H. Robbins 1956); without such noise it is x.
        """
        widths = (self.chosen.data_noise * self.scale).square()
        return x + widths.reshape(self.event_shape) * self.score(x, context=context)

    def _energy(self, u: Tensor, net: EnergyMLP, context: Tensor | None = None) -> Tensor:
        return self.reduced(net(u), context) + self._beside(u)

    def _beside(self, u: Tensor) -> Tensor:
        """What stands beside the network: confinement and units, (B,)."""
        beside: Tensor = 0.5 * self.config.confinement * u.square().sum(-1)
        return beside - self.standardise_log_det

    def _target(self, net: EnergyMLP, context: Tensor | None = None) -> Target:
        """The energy in standardised units with its gradient, without autograd."""
        strength, constant = self.config.confinement, -self.standardise_log_det
        head = self.head(context)

        def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
            value, gradient = net.value_and_gradient(u, head)
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
        """The losses against as many short chains from fresh starts."""
        starts = draw(self._fresh(), generator, (len(x),))
        negatives = self._walk(starts, generator)[0]
        x, negatives = self._noisy(x, generator), self.unstandardise(negatives)
        return self.losses(x, negatives, context, generator=generator)

    def contrast(self, x: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        r"""Losses of data (B, *E) against chains (N, *E), nats.

        ``total`` = ``positive`` − ``negative`` + ``regulariser``: its gradient without the last
        is that of −log p(x) if the negatives come from p. ``positive`` and ``negative`` are mean
        energies of the trained network; ``regulariser`` is α times the mean squares of what the
        network itself adds to them, h(f(u)), which do not depend on the units.
        """
        data, drawn = self.standardise(x), self.standardise(negatives)
        parts = [self.reduced(self.net(u), None) for u in (data, drawn)]
        positive, negative = (
            part + self._beside(u) for part, u in zip(parts, (data, drawn), strict=True)
        )
        squares = sum((part.square().mean() for part in parts), torch.zeros_like(positive[0]))
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
        """Advance some chains of the buffer, then one update; see the module for the buffer."""
        replay, ages = self._buffer(state, generator)
        n_rows = self.chosen.n_chains or len(batch)
        rows = torch.randperm(len(replay), generator=generator)[:n_rows].to(replay.device)
        negatives, fresh, acceptance = self._walk(replay[rows], generator)
        replay[rows] = negatives
        ages[rows] = ages[rows].masked_fill(fresh, 0) + self.chosen.langevin_steps
        self._adapt(acceptance)
        x, negatives = self._noisy(batch, generator), self.unstandardise(negatives)
        losses = self.losses(x, negatives, state.context, generator=generator)
        optimiser = state.optimisers["model"]
        optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        self._after_update(state.step)
        return {name: value.detach() for name, value in losses.items()}

    def _buffer(self, state: TrainState, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """All chains and their ages; runs from before ages were kept begin to count."""
        memory = state.memory
        if "replay" not in memory:
            memory["replay"] = draw(self._fresh(), generator, (self.config.buffer_size,))
        replay = memory["replay"]
        if "ages" not in memory:
            memory["ages"] = torch.zeros(len(replay), dtype=torch.int64, device=replay.device)
        return replay, memory["ages"]

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(B, *E) with the noise of ``data_noise``, of which the model is the law."""
        return self._with_noise(x, self.chosen.data_noise, generator)

    def _with_noise(self, x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        """(B, *E) with noise of σ standard deviations of the data."""
        if not sigma:
            return x
        noise = normal_noise((len(x), self.event_size), generator, self.location)
        return x + (sigma * noise * self.scale).reshape(x.shape)

    def _after_update(self, step: int) -> None:
        update_average(self.average, self.net, decay=self.config.average, step=step)
        for net in (self.net, self.average):
            net.power_iteration()

    def set_live(self, values: Mapping[str, Any]) -> None:
        """Replace live settings; a new step size takes the place of the adapted one."""
        super().set_live(values)
        self.chosen = choose(self.config, self.event_shape)
        if "step_size" in values:
            self.chain_step_size.fill_(self.chosen.step_size)

    # --- chains -------------------------------------------------------------------------------

    @torch.no_grad()
    def _walk(self, u: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Restarts, then K steps from (N, D).

        Returns:
            The chains, which of them began anew (N,), and the mean acceptance (mala only).
        """
        target = self._target(self.net)
        state, fresh = self._restarted(u, target, generator)
        rates = []
        for _ in range(self.chosen.langevin_steps):
            state, info = self._move(state, self.chosen.sampler, target, generator)
            if "acceptance" in info:
                rates.append(info["acceptance"].mean())
        return state["x"], fresh, torch.stack(rates).mean() if rates else None

    def _restarted(
        self, u: Tensor, target: Target, generator: torch.Generator
    ) -> tuple[State, Tensor]:
        """Offer the first chains a fresh start; which of all (N,) took it."""
        count = round(self.chosen.restart_share * len(u))
        fresh = torch.zeros(len(u), dtype=torch.bool, device=u.device)
        if self.chosen.restart == "always":
            fresh[:count] = True
            u = torch.cat([draw(self._fresh(), generator, (count,)), u[count:]])
        state = mala.init(u, target)
        if self.chosen.restart == "always" or not count:
            return state, fresh
        first = {name: block[:count] for name, block in state.items()}
        first, info = self._move(first, "restart", target, generator)
        fresh[:count] = info["accepted"]
        return {name: torch.cat([first[name], state[name][count:]]) for name in state}, fresh

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
        """First the one of training; "mala" and "restart" are exact, the others are biased."""
        usual = self.chosen.sampler
        return (usual, *[kernel for kernel in KERNELS if kernel != usual])

    def init(
        self, n: int, generator: torch.Generator, *, context: Tensor | None = None
    ) -> ChainState:
        """N chains at fresh starts, ``{"x": (N, *E)}``; labels (N,) stay with them as "y"."""
        u = normal_noise((n, self.event_size), generator, self.location)
        state = {"x": self.unstandardise(u * self.config.confinement**-0.5)}
        return state if context is None else {**state, "y": context.to(u.device)}

    @torch.no_grad()
    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of ``{"x": (N, *E)}`` in units of the data.

        Args:
            state: As :meth:`init` makes it; chains with a label walk on the energy given it.
            kernel: One of :attr:`kernels`.
            generator: The source of all noise.

        Returns:
            The new state; ``energy`` (N,) at it; per kernel ``drift`` and ``noise``, the parts of
            the move, and ``proposal`` (N, *E), ``acceptance`` and ``accepted`` (N,); and
            ``divergence`` (N,), see :func:`engine.mcmc.target.diverges`.

        Raises:
            ValueError: The kernel is unknown.
        """
        if kernel not in self.kernels:
            raise ValueError(f"kernel: given '{kernel}', wanted one of {', '.join(self.kernels)}")
        target = self._target(self.average, state.get("y"))
        start = mala.init(self.standardise(state["x"]), target)
        moved, info = self._move(start, kernel, target, generator)
        shown = {name: self._in_data_units(name, value) for name, value in info.items()}
        return {**state, "x": self.unstandardise(moved["x"])}, shown

    def _in_data_units(self, name: str, value: Tensor) -> Tensor:
        if name in ("drift", "noise"):
            return (value * self.scale).reshape(-1, *self.event_shape)
        return self.unstandardise(value) if name == "proposal" else value
