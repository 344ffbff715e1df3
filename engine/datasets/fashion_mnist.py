"""Fashion-MNIST: 70,000 pictures of clothes, 28×28 pixels with 256 grey levels.

Split 50,000 / 10,000 / 10,000: the first and the other ones of the training file, and the test
file. There are no published fixed draws in black and white.

References:
    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.datasets.idx import N_TRAIN, IdxPictures, Sample, idx_files
from engine.datasets.pixels import Binarisation, Levels, Seed
from engine.wire.cards import DatasetCard

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FILES = (
    (
        "train-images-idx3-ubyte",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    (
        "train-labels-idx1-ubyte",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    (
        "t10k-images-idx3-ubyte",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    (
        "t10k-labels-idx1-ubyte",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)


class FashionMnist(IdxPictures):
    """Pictures (N, 1, 28, 28) with the labels of ten kinds of clothes."""

    card = DatasetCard(
        name="fashion_mnist",
        title="Fashion-MNIST",
        summary="70,000 grey pictures of clothes, 28×28; fetched at first use (31 MB).",
        kind="pictures",
    )
    files = idx_files("fashion_mnist", MIRRORS, FILES)
    names = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
        "ankle boot",
    )  # fmt: skip

    @dataclass(frozen=True)
    class Config:
        """Training pictures, levels and the kind of black and white."""

        n_samples: Sample = N_TRAIN
        levels: Levels = 2
        binarisation: Binarisation = "dynamic"
        seed: Seed = 0
