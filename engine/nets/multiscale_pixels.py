r"""Two PixelRNNs: a small one paints every f-th pixel, a large one the rest, given the small one.

The small picture is enlarged by transposed convolutions; a 1 × 1 convolution of the result is
added to the gates of every layer of the large network, as upsampled bias maps.

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.nets.painting import PixelCache
from engine.nets.pixel_model import raster_order
from engine.nets.recurrent_cache import RecurrentCache
from engine.nets.recurrent_pixels import RecurrentPixels

#: Plain 3 × 3 convolutions of the small picture before it is enlarged: they reach three pixels
#: far, which is all of a picture of 4 × 4 and most of one of 7 × 7.
N_WIDENING = 3


class Upsampler(nn.Module):
    """Small pictures (B, colours, h, w) → maps (B, C, H, W), by transposed convolutions.

    Three plain convolutions come first: they bring what lies around to every place.

    Args:
        n_colours: Colours of a pixel.
        n_maps: C.
        factor: f; steps of 2 where it is even, else one step of f.
        size: (H, W), to which the result is cut.
    """

    def __init__(self, n_colours: int, n_maps: int, factor: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        for place in range(N_WIDENING):
            n_in = n_maps if place else n_colours
            layers += [nn.Conv2d(n_in, n_maps, 3, padding=1), nn.ReLU()]
        while factor > 1:
            step = 2 if factor % 2 == 0 else factor
            layers += [nn.ConvTranspose2d(n_maps, n_maps, step, stride=step), nn.ReLU()]
            factor //= step
        self.layers = nn.Sequential(*layers)

    def forward(self, small: Tensor) -> Tensor:
        """(B, colours, h, w) → (B, C, H, W)."""
        y: Tensor = self.layers(small)
        return y[:, :, : self.size[0], : self.size[1]]


class MultiscalePixels(nn.Module):
    """Pictures (B, colours, H, W) → parameters (B, colours·P, H, W) of their conditionals.

    Args:
        kind: The recurrent layer, ``"row"`` or ``"diagonal"``.
        picture: (C, H, W).
        factor: f, one pixel in f · f belongs to the small picture.
        n_maps: Size of a state in both networks.
        n_layers: Recurrent layers of both.
        n_params: P, parameters of one value.
    """

    def __init__(
        self,
        kind: str,
        picture: tuple[int, int, int],
        factor: int,
        *,
        n_maps: int,
        n_layers: int,
        n_params: int,
    ) -> None:
        super().__init__()
        n_colours, height, width = picture
        self.picture, self.factor = picture, factor

        def network(kernel: int) -> RecurrentPixels:
            return RecurrentPixels(
                kind,
                n_colours,
                n_maps,
                n_layers=n_layers,
                first_kernel=kernel,
                n_params=n_params,
            )

        self.small, self.large = network(3), network(7)
        self.upsampler = Upsampler(n_colours, n_maps, factor, (height, width))
        self.to_gates = nn.ModuleList(
            nn.Conv2d(n_maps, layer.n_gates, 1, bias=False) for layer in self.large.recurrent
        )

    def pick(self, x: Tensor) -> Tensor:
        """(…, H, W) → the small picture (…, ⌈H/f⌉, ⌈W/f⌉) that it contains."""
        return x[..., :: self.factor, :: self.factor]

    def biases(self, small: Tensor) -> list[Tensor]:
        """What a small picture adds to the gates of each layer, (B, gates, H, W)."""
        maps = self.upsampler(small)
        return [to_gates(maps) for to_gates in self.to_gates]

    def forward(self, u: Tensor) -> Tensor:
        """Parameters of all conditionals: of the small picture's values, and of the rest."""
        small = self.pick(u)
        y: Tensor = self.large(u, self.biases(small)).clone()
        y[..., :: self.factor, :: self.factor] = self.small(small)
        return y

    def stages(self) -> tuple[Tensor, Tensor]:
        """Flat indices of the small picture's values, and of the others, in raster order each."""
        n_colours, height, width = self.picture
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[:: self.factor, :: self.factor] = True
        order = raster_order(self.picture)
        chosen = inside.expand(n_colours, -1, -1).reshape(-1)[order]
        return order[chosen], order[~chosen]


class MultiscaleCache(PixelCache):
    """Samples from :class:`MultiscalePixels`: the small network's cache, then the large one's.

    Args:
        net: The network; its weights are read when a stage begins.
        n: Pictures painted at once.
    """

    def __init__(self, net: MultiscalePixels, n: int) -> None:
        self._net = net
        like = net.large.head.weight
        self._u = like.new_zeros(n, *net.picture)
        first, rest = net.stages()
        self._n_small = len(first)
        raster = torch.argsort(raster_order(net.picture))
        self._raster_of = raster[rest].tolist()
        self._indices = torch.cat([first, rest]).tolist()
        self._of_raster = raster_order(net.picture).tolist()
        self._small: RecurrentCache | None = None
        self._large: RecurrentCache | None = None
        self._next = 0

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs (N, C, H, W) as painted up to ``place``."""
        self._u.copy_(u)
        self._large = None
        if place >= self._n_small:
            self._start_large(place)
            return
        small = self._net.pick(self._u)
        self._small = RecurrentCache(self._net.small, _shape(small), len(u))
        self._small.begin(small, place)

    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``."""
        if place < self._n_small:
            if self._small is None:
                raise ValueError("params: asked before begin")
            return self._small.params(place)
        large = self._large or self._start_large(place)
        target = self._raster_of[place - self._n_small]
        while self._next < target:  # values of the small picture on the way
            large.params(self._next)
            large.put(self._next, self._u.flatten(1)[:, self._of_raster[self._next]])
            self._next += 1
        return large.params(target)

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``."""
        self._u.flatten(1)[:, self._indices[place]] = u
        if place >= self._n_small and self._large is not None:
            self._large.put(self._next, u)
            self._next += 1
        elif self._small is not None:
            self._small.put(place, u)

    def _start_large(self, place: int) -> RecurrentCache:
        later = self._raster_of[place - self._n_small :]
        self._next = later[0] if later else len(self._indices)
        biases = self._net.biases(self._net.pick(self._u))
        self._large = RecurrentCache(self._net.large, self._net.picture, len(self._u), biases)
        self._large.begin(self._u, self._next)
        return self._large


def _shape(pictures: Tensor) -> tuple[int, int, int]:
    n_colours, height, width = pictures.shape[1:]
    return n_colours, height, width
