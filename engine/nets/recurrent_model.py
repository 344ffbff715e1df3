"""What Row LSTM and Diagonal BiLSTM have in common: all but the way that their states take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from engine.nets.pixel_model import PixelModel
from engine.nets.recurrent_cache import RecurrentCache
from engine.nets.recurrent_pixels import RecurrentPixels
from engine.nets.settings import (
    CurvesSetting,
    FirstKernelSetting,
    LevelsSetting,
    OutputSetting,
    PicturesSetting,
    RateSetting,
    RecurrentLayersSetting,
    StateSetting,
)


@dataclass(frozen=True)
class PixelRNNConfig:
    """Settings of a :class:`PixelRNN`."""

    n_layers: RecurrentLayersSetting = 2
    n_channels: StateSetting = 32
    first_kernel: FirstKernelSetting = 7
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    learning_rate: RateSetting = 3e-3
    batch_size: PicturesSetting = 32
    levels: LevelsSetting = 2


class PixelRNN(PixelModel):
    """Recurrent layers over a picture; a subclass names their kind."""

    #: A name from :data:`engine.nets.recurrent_pixels.LAYERS`.
    kind: ClassVar[str]

    def __init__(self, event_shape: tuple[int, ...], config: PixelRNNConfig) -> None:
        super().__init__(event_shape, config)
        self.net = RecurrentPixels(
            self.kind,
            self.picture[0],
            config.n_channels,
            n_layers=config.n_layers,
            first_kernel=config.first_kernel,
            n_params=self.family.n_params,
        )
        self.start_head(self.net.last)

    def cache(self, n: int, labels: Tensor | None) -> RecurrentCache:
        """An empty cache for n pictures."""
        return RecurrentCache(self.net, self.picture, n)
