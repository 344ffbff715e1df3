"""Settings that several autoregressive models share, as annotations for their ``Config``.

A model keeps its own default, and the order in which its form shows them::

    @dataclass(frozen=True)
    class Config:
        n_layers: RecurrentLayersSetting = 2
        output: OutputSetting = "categorical"
"""

from __future__ import annotations

from typing import Annotated

from engine.nets.orders import ORDER_NAMES
from engine.nets.outputs import OUTPUTS
from engine.nets.symbols import CODES
from engine.wire.fields import Field

# --- what a value is, and what it is given ----------------------------------------------------

OutputSetting = Annotated[
    str,
    Field(
        choices=OUTPUTS,
        help="The distribution of each value, given earlier ones; real values have one Gaussian "
        "or a mixture.",
    ),
]
CurvesSetting = Annotated[
    int, Field(1, 20, step=1, symbol="K", help="Curves of a mixture output.")
]
LevelsSetting = Annotated[
    int | None, Field(2, 256, derived=True, help="Levels of a value; none when real.")
]
SymbolsSetting = Annotated[
    int | None,
    Field(2, 65536, derived=True, symbol="V", help="Levels or symbols; none: real values."),
]
ConditionalSetting = Annotated[bool, Field(help="Learn p(x given class) from the data's labels.")]
ClassesSetting = Annotated[
    int, Field(0, 1000, derived=True, help="Classes that the data's labels name.")
]
OrderSetting = Annotated[
    str,
    Field(
        choices=ORDER_NAMES,
        symbol=r"\pi",
        help="The order in which values are generated: rows, columns, a spiral, at random …",
    ),
]
CodesSetting = Annotated[
    str, Field(choices=CODES, help="How a place of the order is told to the network.")
]

# --- how large a network is -------------------------------------------------------------------

RecurrentLayersSetting = Annotated[
    int, Field(1, 12, step=1, symbol="L", help="Recurrent layers after the first one.")
]
StateSetting = Annotated[
    int, Field(4, 128, step=8, symbol="C", help="Size of a state; 2C maps go past a layer.")
]
FirstKernelSetting = Annotated[
    int, Field(3, 15, step=2, help="Kernel of the first layer (mask A); odd.")
]

# --- how it is trained ------------------------------------------------------------------------

RateSetting = Annotated[
    float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
]
PicturesSetting = Annotated[
    int, Field(1, 1024, scale="log", live=True, help="Pictures per training step.")
]
ExamplesSetting = Annotated[
    int, Field(1, 4096, scale="log", live=True, help="Examples per training step.")
]
EventsSetting = Annotated[
    int, Field(1, 8192, scale="log", live=True, help="Events per training step.")
]
