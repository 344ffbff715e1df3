"""A trained model as one ``.safetensors`` file: tensors, and a JSON header that describes them.

The header is one entry, ``genscope``, of the format's own metadata. The tensors are called
``model.…`` (weights), ``keyframe.…`` (what training goes on from) and ``data.…`` (the user's own
points). Nothing in such a file is code, and no pickle is ever opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import msgspec
import torch
from torch import Tensor

from engine.beside import Beside, read_beside
from engine.container import (
    CheckpointError,
    read_container,
    read_metadata,
    write_container,
)
from engine.dataset import Dataset
from engine.devices import choose_device
from engine.header import (
    FORMAT,
    DataHeader,
    Header,
    KeyframeHeader,
    KeyframeMeta,
    parse_header,
    program_version,
)
from engine.model import GenerativeModel
from engine.registry import build_dataset, datasets, models
from engine.training import Keyframe
from engine.wire.fields import Value, make_config
from engine.wire.messages import RunSpec

HEADER_KEY = "genscope"
WEIGHTS, KEYFRAME, DATA = "model.", "keyframe.", "data."


@runtime_checkable
class Embeddable(Protocol):
    """A data set that cannot be built again elsewhere and so travels in the file."""

    def embedded(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Its tensors and plain values."""
        ...

    @classmethod
    def from_embedded(
        cls, config: Any, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
    ) -> Self:
        """The same data set again."""
        ...


@dataclass(frozen=True)
class Loaded:
    """What :func:`load` found.

    Attributes:
        model: With its weights, in eval mode.
        spec: What decided the run, every setting written out; ``None`` for a bare model.
        step: Training steps taken.
        keyframe: Where training goes on bit for bit, if it was saved.
        header: All that the file says about itself.
        dataset: The user's own data where they came in the file.
    """

    model: GenerativeModel
    spec: RunSpec | None
    step: int
    keyframe: Keyframe | None
    header: Header
    dataset: Dataset | None = None

    def build_dataset(self) -> Dataset:
        """The run's data; raises ``ValueError`` when the file holds a bare model."""
        if self.dataset is not None:
            return self.dataset
        if self.spec is None:
            raise ValueError("the file holds a model without its data set; wanted a saved run")
        return build_dataset(self.spec.dataset, **self.spec.dataset_config)


# --- saving -----------------------------------------------------------------------------------


def save(
    path: str | Path,
    model: GenerativeModel,
    *,
    spec: RunSpec | None = None,
    step: int = 0,
    keyframe: Keyframe | None = None,
    notes: Mapping[str, str] | None = None,
    dataset: Dataset | None = None,
) -> None:
    """Write a model as one file; an older file of that name is replaced only at the very end.

    Args:
        path: Where to.
        model: Its weights and configuration are written.
        spec: What decided the run; without it the file holds a bare model.
        step: Training steps taken.
        keyframe: Where training is to go on from.
        notes: Any words of yours.
        dataset: The run's data as built. They are written too when they are the user's own, so
            that the file opens where theirs is not; ``None`` builds them from ``spec``.

    Raises:
        CheckpointError: The file cannot be written.
    """
    drafted = draft(model, spec=spec, step=step, keyframe=keyframe, notes=notes, dataset=dataset)
    drafted.write(path)


@dataclass(frozen=True)
class Draft:
    """A file that is to be written.

    Attributes:
        header: Without what the user's own data add to it.
        tensors: Weights and keyframe.
        own: The user's own data, if the run has any.
    """

    header: Header
    tensors: dict[str, Tensor]
    own: Embeddable | None = None

    def write(
        self, path: str | Path, *, durable: bool = True, beside: Beside | None = None
    ) -> None:
        """Write it; an older file of that name is replaced only at the very end.

        Args:
            path: Where to.
            durable: Whether to wait until the disk holds it.
            beside: Takes the user's own data, which otherwise go into the file.

        Raises:
            CheckpointError: It cannot be written.
        """
        tensors, header, digest = dict(self.tensors), self.header, ""
        if self.own is not None and header.data is not None:
            if beside is None:
                own, meta = self.own.embedded()
                tensors |= {DATA + name: value for name, value in own.items()}
            else:
                digest, meta = beside.keep(self.own)
            data = msgspec.structs.replace(header.data, embedded=meta, beside=digest)
            header = msgspec.structs.replace(header, data=data)
        text = msgspec.json.encode(header).decode()
        write_container(Path(path), tensors, {HEADER_KEY: text}, durable=durable)
        if beside is not None:
            beside.sweep(digest)


def draft(
    model: GenerativeModel,
    *,
    spec: RunSpec | None = None,
    step: int = 0,
    keyframe: Keyframe | None = None,
    copied: bool = False,
    notes: Mapping[str, str] | None = None,
    dataset: Dataset | None = None,
) -> Draft:
    """Prepare what :func:`save` writes, with the same arguments.

    ``copied`` says that the keyframe was captured of this model at this step: the weights are
    then taken from it, so that training may go on before the file is written.
    """
    weights = {WEIGHTS + name: value.detach() for name, value in model.state_dict().items()}
    words = dict(notes or {})
    frame = None
    tensors: dict[str, Tensor] = {}
    if keyframe is not None:
        if copied:
            weights = {name: keyframe.tensors[name] for name in weights}
        shared = [n for n, v in keyframe.tensors.items() if _same(v, weights.get(n))]
        tensors = {KEYFRAME + n: v for n, v in keyframe.tensors.items() if n not in shared}
        frame = KeyframeHeader(keyframe.meta, shared)
    data, own = _data_header(spec, dataset, words)
    header = Header(
        format=FORMAT,
        program=program_version(),
        model=model.card.name,
        event_shape=model.event_shape,
        config=_plain(model.config),
        data=data,
        step=step,
        seed=spec.seed if spec else 0,
        device=spec.device if spec else "auto",
        keyframe=frame,
        notes=words,
    )
    return Draft(header, weights | tensors, own)


def _same(value: Tensor, weight: Tensor | None) -> bool:
    if value is weight:
        return True
    return (
        weight is not None
        and value.dtype == weight.dtype
        and torch.equal(value.detach().cpu(), weight.cpu())
    )


def _plain(config: Any) -> dict[str, Value]:
    return dataclasses.asdict(config) if dataclasses.is_dataclass(config) else {}  # type: ignore[arg-type]


def _data_header(
    spec: RunSpec | None, dataset: Dataset | None, notes: dict[str, str]
) -> tuple[DataHeader | None, Embeddable | None]:
    """The data's part of the header, and the data themselves where they are the user's own."""
    if spec is None:
        return None, None
    kind = datasets().get(spec.dataset)
    if kind is None:
        return DataHeader(spec.dataset, spec.dataset_config), None
    config = _plain(make_config(kind.Config, spec.dataset_config))
    if dataset is None and _embeddable(kind):
        try:
            dataset = build_dataset(spec.dataset, **spec.dataset_config)
        except ValueError as error:
            notes["data"] = f"the data were not saved: {error}"
    source: object = dataset
    own = source if isinstance(source, Embeddable) else None
    return DataHeader(spec.dataset, config), own


# --- loading ----------------------------------------------------------------------------------


def load(path: str | Path, *, device: str = "cpu") -> Loaded:
    """Read a file written by :func:`save`.

    Args:
        path: The file.
        device: Where the model goes; ``"auto"`` takes the best at hand.

    Raises:
        CheckpointError: There is no such file, it is truncated, damaged, foreign, a pickle, of a
            newer version or of an unknown model, or its weights do not fit.
    """
    path = Path(path)
    metadata, tensors = read_container(path)
    if HEADER_KEY not in metadata:
        raise CheckpointError(
            f"{path.name} is a safetensors file of another program; wanted one saved by Genscope"
        )
    header = parse_header(path.name, metadata[HEADER_KEY])
    weights = _part(tensors, WEIGHTS)
    data = _part(tensors, DATA)
    if header.data is not None and header.data.beside:
        data = read_beside(path, header.data.beside)
    model = _build(path.name, header, weights).to(choose_device(device)).eval()
    return Loaded(
        model=model,
        spec=_spec(header),
        step=header.step,
        keyframe=_keyframe(path.name, header, tensors),
        header=header,
        dataset=_dataset(path.name, header, data),
    )


def peek(path: str | Path) -> Header | None:
    """What a file says about itself, without its tensors; None where :func:`load` would raise."""
    path = Path(path)
    metadata = read_metadata(path)
    if metadata is None or HEADER_KEY not in metadata:
        return None
    try:
        return parse_header(path.name, metadata[HEADER_KEY])
    except CheckpointError:
        return None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _build(name: str, header: Header, weights: Mapping[str, Tensor]) -> GenerativeModel:
    kind = models().get(header.model)
    if kind is None:
        raise CheckpointError(
            f"{name} holds a model '{header.model}' that is not installed; "
            f"there are: {', '.join(models())}"
        )
    location = weights.get("location", torch.empty(0))
    size = 1
    for side in header.event_shape:
        size *= side
    # Checked before anything is built, since a wrong shape might ask for absurd memory.
    if location.shape != (size,):
        raise CheckpointError(
            f"the weights in {name} do not fit events of shape {header.event_shape}"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            config: Any = make_config(kind.Config, header.config)
            model = kind.kind_for(config)(header.event_shape, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{name} cannot be built as {kind.card.title}: {error}") from None
    _fill(name, model, weights)
    return model


def _fill(name: str, model: GenerativeModel, weights: Mapping[str, Tensor]) -> None:
    wanted = model.state_dict()
    for key in sorted(wanted.keys() | weights.keys()):
        given = tuple(weights[key].shape) if key in weights else "nothing"
        shape = tuple(wanted[key].shape) if key in wanted else "nothing"
        if given != shape:
            raise CheckpointError(
                f"the weights in {name} do not fit {model.card.title}: "
                f"{key} is given {given}, wanted {shape}"
            )
    kind = weights["location"].dtype
    if not kind.is_floating_point:
        raise CheckpointError(f"the weights in {name} are of type {kind}, wanted real numbers")
    model.to(kind).load_state_dict(dict(weights))


def _spec(header: Header) -> RunSpec | None:
    if header.data is None:
        return None
    return RunSpec(
        model=header.model,
        dataset=header.data.name,
        model_config=header.config,
        dataset_config=header.data.config,
        seed=header.seed,
        device=header.device,
    )


def _keyframe(name: str, header: Header, tensors: Mapping[str, Tensor]) -> Keyframe | None:
    if header.keyframe is None:
        return None
    lost = [key for key in header.keyframe.shared if key not in tensors]
    if lost:
        raise CheckpointError(f"{name} is damaged: its keyframe lacks {', '.join(lost)}")
    try:
        msgspec.convert(header.keyframe.meta, KeyframeMeta)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{name} is damaged: its keyframe: {error}") from None
    shared = {key: tensors[key].clone() for key in header.keyframe.shared}
    return Keyframe(shared | _part(tensors, KEYFRAME), header.keyframe.meta)


def _dataset(name: str, header: Header, tensors: Mapping[str, Tensor]) -> Dataset | None:
    if header.data is None or header.data.embedded is None:
        return None
    kind = datasets().get(header.data.name)
    own = _embeddable(kind)
    if kind is None or own is None:
        return None
    try:
        config: object = make_config(kind.Config, header.data.config)
        built = own.from_embedded(config, tensors, header.data.embedded)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"the data in {name} are damaged: {error}") from None
    return built if isinstance(built, Dataset) else None


def _embeddable(kind: Any) -> type[Embeddable] | None:
    return kind if isinstance(kind, type) and issubclass(kind, Embeddable) else None


__all__ = ["CheckpointError", "Draft", "Header", "Loaded", "draft", "load", "save"]
