"""Data whose files are not on this machine: a saved run can be looked at without them.

What they are (shape, levels, classes) is known, so the model samples, completes and explains. What
needs observations says so in a sentence, and training fetches them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from engine.checkpoint import Loaded
from engine.dataset import Dataset
from engine.datasets.pixels import SPLITS, Pixels
from engine.download import in_megabytes, missing_files
from engine.registry import build_dataset, datasets
from engine.wire.fields import make_config

if TYPE_CHECKING:
    from engine.run import Run


class _Absent(Pixels):
    """Goes before the class that it stands for; the splits are not there."""

    def __init__(self, config: Any, shape: tuple[int, ...]) -> None:
        Dataset.__init__(self, config)
        self.labels = self.class_names(config)
        self._describe(shape)
        size = in_megabytes(sum(file.size for file in missing_files(self.sources(config))))
        self.absent = (
            f"the pictures of {self.card.title} are not on this machine; press play to fetch "
            f"them ({size}) and to train on"
        )
        self.notes = (f"{self.absent[:1].upper()}{self.absent[1:]}. Sampling needs none.",)

    def __getattr__(self, name: str) -> Any:
        if name in SPLITS:
            raise ValueError(self.absent)
        raise AttributeError(name)


def are_absent(kind: type[Dataset], config: Any) -> bool:
    """Whether files are missing without which a run of these data can be opened all the same.

    Real values are not among them: a model is standardised by what it is trained on.
    """
    leveled = issubclass(kind, Pixels) and config.levels is not None
    return leveled and bool(missing_files(kind.sources(config)))


def data_of(loaded: Loaded) -> Dataset:
    """The data of a saved run, or what stands for them where their files are not here.

    Raises:
        ValueError: They cannot be built, or the file holds a bare model.
    """
    spec = loaded.spec
    kind = datasets().get(spec.dataset) if spec is not None else None
    if spec is None or kind is None or loaded.dataset is not None:
        return loaded.build_dataset()
    config: Any = make_config(kind.Config, spec.dataset_config)
    if not are_absent(kind, config):
        return loaded.build_dataset()
    stand_in = type(kind.__name__, (_Absent, kind), {})
    return cast(Dataset, stand_in(config, loaded.model.event_shape))


def supply(run: Run) -> None:
    """The files are here now: a run goes on with its own data, as it would have with them."""
    data = build_dataset(run.spec.dataset, **run.spec.dataset_config)
    run.trainer.set_data(data)
    run.dataset = run.exhibit.dataset = run.first_data = data
