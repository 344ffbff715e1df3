r"""Mixed sounds: a few short sounds at once, heard by as many microphones (the cocktail party).

Constants: 8,000 samples a second. The sources are a bell (six inharmonic partials, struck again
every 0.7 s), a voice (harmonics of a gliding pitch through three formants, in syllables), a drum
(a falling tone with a burst of noise, four a second) and rain (drops at random times, each a short
resonance). Each has mean 0 and variance 1, and a kurtosis far above the 3 of a normal law.
Microphone i hears

.. math:: x_i(t) = \sum_j A_{ij} s_j(t), \qquad A_{ij} = \tfrac12 \delta_{ij} + u_{ij}

with u even on [0.2, 0.8]. One observation is one instant at all microphones; splits are drawn at
random from the instants, ``mixtures`` and ``sounds`` keep their order in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

RATE = 8000
SOURCES = ("bell", "voice", "drum", "rain")
#: Frequencies of the bell's partials as multiples of its note, and their loudness.
PARTIALS = ((0.56, 0.6), (0.92, 0.5), (1.19, 1.0), (1.71, 0.7), (2.0, 0.9), (2.74, 0.5))
NOTE, STRIKE_SECONDS, RING_SECONDS = 523.25, 0.7, 0.16
#: Centre and width of the voice's formants in hertz, vowel by vowel.
VOWELS = (
    ((730.0, 90.0), (1090.0, 110.0), (2440.0, 170.0)),
    ((270.0, 60.0), (2290.0, 140.0), (3010.0, 200.0)),
    ((570.0, 80.0), (840.0, 100.0), (2410.0, 170.0)),
)
PITCH, N_HARMONICS, SYLLABLE_SECONDS = 120.0, 28, 0.31
BEAT_SECONDS, THUD_SECONDS = 0.25, 0.045
DROPS_PER_SECOND, DROP_SECONDS, DROP_HERTZ = 14.0, 0.012, 1350.0


@dataclass(frozen=True)
class MixedSoundsConfig:
    """How many sounds, how long, and the split."""

    n_sources: Annotated[
        int, Field(2, 4, step=1, symbol="D", help="Sounds, and as many microphones.")
    ] = 3
    n_samples: Annotated[
        int, Field(2000, 80_000, scale="log", symbol="N", help="Instants, 8,000 a second.")
    ] = 16_000
    valid_fraction: Annotated[
        float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
    ] = 0.1
    test_fraction: Annotated[
        float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
    ] = 0.1
    seed: Annotated[
        int, Field(0, 2**31 - 1, help="Seed of the places, the rain and the split.")
    ] = 0


class MixedSounds(Dataset):
    """Instants (N, D) of D microphones.

    Attributes:
        rate: Samples a second.
        sounds: (T, D), the sources in time.
        mixing: (D, D), A: column j is what source j adds to each microphone.
        mixtures: (T, D), what the microphones hear.
        source_names: Names of the sources.
    """

    Config = MixedSoundsConfig
    card = DatasetCard(
        name="mixed_sounds",
        title="Mixed sounds",
        summary="Several sounds at once, heard by as many microphones: can they be unmixed?",
        kind="points",
    )
    rate = RATE

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        count = config.n_sources
        generator = torch.Generator().manual_seed(config.seed)
        self.source_names = SOURCES[:count]
        self.event = Event((count,), tuple(f"microphone {i + 1}" for i in range(count)))
        self.sounds = make_sounds(config.n_samples, generator)[:, :count]
        shares = 0.2 + 0.6 * torch.rand(count, count, generator=generator)
        self.mixing = shares + 0.5 * torch.eye(count)
        self.mixtures = self.sounds @ self.mixing.T
        order = torch.randperm(config.n_samples, generator=generator)
        self._split(self.mixtures[order])

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N instants (N, D) of the training split, with replacement."""
        return self._resample(n, generator)


def make_sounds(n: int, generator: torch.Generator) -> Tensor:
    """All four sources, (n, 4), each with mean 0 and variance 1."""
    t = torch.arange(n, dtype=torch.float64) / RATE
    made = (_bell(t), _voice(t), _drum(t, generator), _rain(t, generator))
    sounds = torch.stack(made, 1)
    sounds = sounds - sounds.mean(0)
    return (sounds / sounds.std(0)).float()


def _bell(t: Tensor) -> Tensor:
    since = t % STRIKE_SECONDS
    tones = [
        loud
        * torch.sin(2.0 * math.pi * NOTE * ratio * t)
        * torch.exp(-since * ratio / RING_SECONDS)
        for ratio, loud in PARTIALS
    ]
    return torch.stack(tones).sum(0)


def _voice(t: Tensor) -> Tensor:
    """Harmonics weighed by how near they are to the vowel's formants."""
    glide = 1.0 + 0.12 * torch.sin(2.0 * math.pi * 0.9 * t) + 0.01 * torch.sin(34.0 * t)
    phase = 2.0 * math.pi * PITCH * torch.cumsum(glide, 0) / RATE
    vowel = (t / SYLLABLE_SECONDS).long() % len(VOWELS)
    centres = torch.tensor([[c for c, _ in v] for v in VOWELS], dtype=torch.float64)[vowel]
    widths = torch.tensor([[w for _, w in v] for v in VOWELS], dtype=torch.float64)[vowel]
    total = torch.zeros_like(t)
    for k in range(1, N_HARMONICS + 1):
        away = (k * PITCH * glide[:, None] - centres) / widths
        total += (1.0 / (1.0 + away.square())).sum(1) * torch.sin(k * phase)
    within = (t % SYLLABLE_SECONDS) / SYLLABLE_SECONDS
    return total * torch.sin(math.pi * within).clamp_min(0.0).pow(1.5)


def _drum(t: Tensor, generator: torch.Generator) -> Tensor:
    since = t % BEAT_SECONDS
    fall = 2.0 * math.pi * (70.0 * since + 90.0 * 0.03 * (1.0 - torch.exp(-since / 0.03)))
    noise = torch.randn(len(t), generator=generator, dtype=torch.float64)
    thud = torch.exp(-since / THUD_SECONDS)
    return torch.sin(fall) * thud + 0.5 * noise * torch.exp(-since / 0.008)


def _rain(t: Tensor, generator: torch.Generator) -> Tensor:
    """Drops at random instants, each a short resonance, by convolution."""
    falls = torch.rand(len(t), generator=generator, dtype=torch.float64)
    loud = 0.3 + torch.rand(len(t), generator=generator, dtype=torch.float64)
    drops = torch.where(falls < DROPS_PER_SECOND / RATE, loud, torch.zeros_like(loud))
    length = int(8 * DROP_SECONDS * RATE)
    u = torch.arange(length, dtype=torch.float64) / RATE
    drop = torch.sin(2.0 * math.pi * DROP_HERTZ * u) * torch.exp(-u / DROP_SECONDS)
    size = len(t) + length
    spectrum = torch.fft.rfft(drops, size) * torch.fft.rfft(drop, size)
    hiss = 0.01 * torch.randn(len(t), generator=generator, dtype=torch.float64)
    fallen: Tensor = torch.fft.irfft(spectrum, size)
    return fallen[: len(t)] + hiss
