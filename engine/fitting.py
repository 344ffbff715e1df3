"""What the data decide about a model: how many levels it puts probability on, how many classes."""

from __future__ import annotations

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.wire.event import Event
from engine.wire.fields import Value, field_specs


def derived_settings(config: type, dataset: Dataset) -> dict[str, Value]:
    """Values of a model's derived settings (see :class:`engine.wire.fields.Field`) for some data.

    ``levels`` are those of the event (None where it is real), ``n_classes`` the data's labels,
    left at its default where they have none.
    """
    known: dict[str, Value] = {"levels": dataset.event.levels}
    if dataset.labels:
        known["n_classes"] = len(dataset.labels)
    wanted = [spec.name for spec in field_specs(config) if spec.field.derived]
    return {name: known[name] for name in wanted if name in known}


def check_values(model: GenerativeModel, dataset: Dataset) -> None:
    """Raise ``ValueError`` unless a model's levels and classes are those of the data.

    A model without a setting ``levels`` takes any values as real numbers.
    """
    title, event = model.card.title, dataset.event
    if hasattr(model.config, "levels") and model.config.levels != event.levels:
        raise ValueError(
            f"{title}: given data with {_worded(event)}, wanted {_levels(model.config.levels)}, "
            "for which it was built"
        )
    if not model.uses_labels:
        return
    if dataset.train_labels is None and model.labels_optional:
        return
    if dataset.train_labels is None:
        raise ValueError(
            f"{title}: class_conditional needs labels, and {dataset.card.title} has none"
        )
    n_classes = int(getattr(model.config, "n_classes", 0))
    if n_classes != len(dataset.labels):
        raise ValueError(
            f"{title}: given data with {len(dataset.labels)} classes, wanted {n_classes}, for "
            "which it was built"
        )


def _worded(event: Event) -> str:
    return _levels(None if event.support == "real" else event.levels)


def _levels(levels: int | None) -> str:
    return "real values" if levels is None else f"{levels} levels"
