"""Settings that several flows share, as annotations for their ``Config``."""

from __future__ import annotations

from typing import Annotated

from engine.wire.fields import Field

AdamRateSetting = Annotated[
    float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", help="Step size of Adam.", live=True)
]
PointsSetting = Annotated[
    int, Field(1, 65536, scale="log", symbol="B", help="Points per step.", live=True)
]
GradientNormSetting = Annotated[
    float | None,
    Field(
        1e-3,
        1e6,
        scale="log",
        help="A longer gradient is shortened to this norm; none leaves it as it is.",
        live=True,
    ),
]
