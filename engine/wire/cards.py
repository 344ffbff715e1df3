"""Cards: what a model, a data set or a probe tells the window about itself."""

from __future__ import annotations

import msgspec

from engine.wire.capability import Capability
from engine.wire.event import Event
from engine.wire.fields import FieldSpec


class Paper(msgspec.Struct, frozen=True):
    """Where a model was first described."""

    authors: str
    year: int
    title: str
    where: str = ""


class ModelCard(msgspec.Struct, frozen=True):
    """What stands in a model's file about itself.

    Attributes:
        name: The word used in files and arguments, such as ``"realnvp"``.
        title: As written in the paper, such as ``"RealNVP"``.
        family: ``"autoregressive"``, ``"latent"``, ``"flows"``, ``"energy"`` or ``"implicit"``.
        summary: The idea in two sentences.
        equation: LaTeX, without dollar signs.
        paper: The first description.
        capabilities: Filled in by the registry from the methods that the class has.
        fields: Filled in by the registry from the class's ``Config``.
        lacks: Why a capability is missing, where a sentence teaches something.
        features: What the model is made of that can be shown beyond its capabilities:
            ``"components"`` (a mixture, whose responsibilities can be asked), ``"half_steps"``
            (fitted by EM, whose next E- and M-steps the probe ``em_bars`` takes), ``"any_order"``,
            ``"attention"``, ``"common_draw"`` (what it decodes to has no mean that can be
            computed; a draw on noise that never changes is shown), ``"continuous"`` (a solver
            carries points in time, whose steps the probe ``ode_trace`` tells), ``"sweeps"``
            (turns and marginals, which the probe ``sweeps`` tells one by one), ``"mean_field"``
            (layers of units that settle, which the probe ``mean_field`` tells), ``"directed"``
            (layers below the top two that are drawn from above only), ``"class_energy"`` (an
            energy of each class alone, on which chains can walk), ``"relaxed"`` (categories that
            training draws as points of the simplex, as the probe ``relaxed_draws`` does).
        supports: The supports of events that it learns (see :class:`engine.wire.event.Event`);
            none: any.
    """

    name: str
    title: str
    family: str
    summary: str
    equation: str
    paper: Paper
    capabilities: tuple[Capability, ...] = ()
    fields: tuple[FieldSpec, ...] = ()
    lacks: dict[Capability, str] = {}
    features: tuple[str, ...] = ()
    supports: tuple[str, ...] = ()


class DatasetCard(msgspec.Struct, frozen=True):
    """What stands in a data set's file about itself; the registry fills in the last two fields.

    ``kind`` is the heading under which it is listed; ``icon`` the kind whose icon stands for it
    where that is another one.
    """

    name: str
    title: str
    summary: str
    kind: str = "2-D"
    icon: str = ""
    has_density: bool = False
    fields: tuple[FieldSpec, ...] = ()


class ProbeCard(msgspec.Struct, frozen=True):
    """One question that a panel can ask."""

    name: str
    summary: str
    needs: tuple[Capability, ...] = ()


class DatasetInfo(msgspec.Struct, frozen=True):
    """A data set as built: what the window must know to draw and describe it.

    Attributes:
        event: The space of one observation.
        n_train, n_valid, n_test: Sizes of the splits.
        has_density: Whether the true density is known.
        entropy: Its entropy in nats, where known.
        low, high: A box (one number per drawn axis) that holds the data with a margin.
        columns: Names of the coordinates.
        notes: Sentences for the user, such as rows that were dropped.
        labels: Names of the classes, where observations carry a label.
        values: What the numbers are, in words, such as ``"binary, static binarisation"``.
        factors: Names of the known factors of variation.
        absent: Why its observations are not on this machine, as a sentence, or "".
    """

    event: Event
    n_train: int
    n_valid: int
    n_test: int
    has_density: bool
    entropy: float | None
    low: tuple[float, ...]
    high: tuple[float, ...]
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    values: str = ""
    factors: tuple[str, ...] = ()
    absent: str = ""
