"""What FVSBN, NADE and MADE have in common: parameters per flat value, and an order by name."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from engine.nets.masked import shallow
from engine.nets.orders import check_order, named_order
from engine.nets.pixel_model import PixelModel


class OrderedModel(PixelModel):
    """Conditionals of D flat values in an order that the configuration names.

    A subclass gives ``params(u, labels)`` → (B, D, P) for the flat indices in their natural
    places, whatever the order.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("_order", named_order(config.order, self.event_shape))

    def _by_value(self, maps: Tensor) -> Tensor:
        """Already (B, D, P)."""
        return maps

    def reordered(self, order: Tensor) -> Self:
        """A view with the same weights under another order (D,).

        Raises:
            ValueError: ``order`` does not hold each of 0 … D − 1 once.
        """
        view = shallow(self)
        view._buffers["_order"] = check_order(order, self.event_size).to(self._order.device)
        return view
