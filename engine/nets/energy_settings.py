"""Settings of models that learn an energy by their own chains, and what suits points or pictures.

Points and pictures want different things of a chain. In two dimensions a fresh start can be
offered with Metropolis' probability and is often taken; among pictures it never is, so a few
chains begin anew whatever happens, as Du and Mordatch do. Pictures of grey levels fill no volume
until a little noise is added; points do. So some settings are "automatic" or none, and
:func:`choose` fills them in by the shape of the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.nets.coders import SMALLEST_HALVED
from engine.nets.energy_mlp import SMOOTH_ACTIVATIONS
from engine.wire.fields import Field

#: The word for a setting that the shape of the data decides.
AUTOMATIC = "automatic"


@dataclass(frozen=True)
class EnergyConfig:
    """Settings that they share; lengths are in standard deviations of the data."""

    hidden_features: Annotated[
        tuple[int, ...],
        Field(1, 4096, help="Widths of the hidden layers, or channels of the convolutions."),
    ] = (64, 64, 64)
    network: Annotated[
        str,
        Field(
            choices=(AUTOMATIC, "dense", "convolutional"),
            help="Layers: automatic is convolutional for pictures, dense for points.",
        ),
    ] = AUTOMATIC
    activation: Annotated[
        str, Field(choices=tuple(SMOOTH_ACTIVATIONS), help="Nonlinearity; smooth, for its slope.")
    ] = "silu"
    confinement: Annotated[
        float,
        Field(
            0.01, 10.0, scale="log", symbol="c", help="Strength of c·|u|²/2, which keeps Z finite."
        ),
    ] = 1.0
    data_noise: Annotated[
        float | None,
        Field(
            0.0,
            2.0,
            step=0.05,
            symbol=r"\sigma_x",
            live=True,
            help="Noise added to the data; the model is then of data with that noise. None: 0.3 "
            "for pictures, 0 for points.",
        ),
    ] = None
    sampler: Annotated[
        str,
        Field(
            choices=(AUTOMATIC, "mala", "langevin", "decoupled"),
            live=True,
            help=(
                "mala: Langevin with accept or reject, exact. langevin: the lecture's step, "
                "biased at a finite step. decoupled: Du and Mordatch's, noise of its own scale, "
                "which is not Langevin's. automatic: mala for points, langevin for pictures."
            ),
        ),
    ] = AUTOMATIC
    langevin_steps: Annotated[
        int | None,
        Field(
            1,
            1000,
            scale="log",
            symbol="K",
            live=True,
            help="Chain steps per update. None: 5 for points, 20 for pictures.",
        ),
    ] = None
    step_size: Annotated[
        float | None,
        Field(
            1e-6,
            10.0,
            scale="log",
            symbol=r"\lambda",
            live=True,
            help="λ; its start, if adapted. None: 0.01 for points, 0.05 for pictures.",
        ),
    ] = None
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
            choices=(AUTOMATIC, "metropolis", "always"),
            live=True,
            help=(
                "A chain offered a fresh start takes it with Metropolis' probability, which "
                "keeps the chain exact, or always, as Du and Mordatch do. automatic: metropolis "
                "for points, always for pictures."
            ),
        ),
    ] = AUTOMATIC
    restart_share: Annotated[
        float | None,
        Field(
            0.0,
            1.0,
            step=0.05,
            live=True,
            help="Chains offered a fresh start at each update. None: all for points, 5 % for "
            "pictures, as in the paper.",
        ),
    ] = None
    buffer_size: Annotated[
        int, Field(1, 100_000, scale="log", help="Chains kept in the replay buffer.")
    ] = 512
    n_chains: Annotated[
        int | None,
        Field(
            1,
            65536,
            scale="log",
            live=True,
            help="Chains of the buffer that walk at each update. None: as many as the batch holds "
            "for points, 64 for pictures.",
        ),
    ] = None
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


@dataclass(frozen=True)
class Chosen:
    """The settings that may be left to the shape of the event, filled in."""

    network: str
    data_noise: float
    sampler: str
    langevin_steps: int
    step_size: float
    restart: str
    restart_share: float
    n_chains: int | None


FOR_POINTS = Chosen("dense", 0.0, "mala", 5, 0.01, "metropolis", 1.0, None)
FOR_PICTURES = Chosen("convolutional", 0.3, "langevin", 20, 0.05, "always", 0.05, 64)


def choose(config: EnergyConfig, event_shape: tuple[int, ...]) -> Chosen:
    """What is given, and for the rest what suits the event.

    Raises:
        ValueError: A convolutional network is wanted for events that are no pictures.
    """
    is_picture = len(event_shape) == 3 and min(event_shape[1:]) >= SMALLEST_HALVED
    suited = FOR_PICTURES if is_picture else FOR_POINTS
    given = {name: getattr(config, name) for name in Chosen.__dataclass_fields__}
    known = {name: value for name, value in given.items() if value not in (None, AUTOMATIC)}
    if known.get("network") == "convolutional" and len(event_shape) != 3:
        raise ValueError(
            f"network: given convolutional for events of shape {event_shape}, wanted dense: "
            "convolutions are for pictures (channel, row, column)"
        )
    return Chosen(**{**vars(suited), **known})
