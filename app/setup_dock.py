"""Set-up, on the left: data, model, the forms made from their fields, device and seed.

What may change while training is sent at once; what decides the run starts it again, and says so.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import columns_picker
from app.columns_picker import ColumnsPicker
from app.own_data import PICTURES, POINTS, own_dataset
from app.run_view import RunView
from engine.wire.cards import DatasetCard, ModelCard
from engine.wire.fields import FieldSpec, Value
from engine.wire.messages import Array, Hello, RunSpec
from widgets.controls.form import ConfigForm
from widgets.controls.pickers import DatasetPicker, ModelPicker
from widgets.look import Look

#: A change is acted on when nothing more was typed for so long.
SETTLE_MS = 450
#: Model and data set of a first run, where they exist.
FIRST = ("realnvp", "two_moons")


class SetupDock(QScrollArea):
    """The set-up of the run in view.

    Signals:
        spec_edited: A ``RunSpec`` that needs a fresh start, and words for undo.
        live_edited: Settings that change at once.
        device_edited: Another device.
        open_data_requested: The user wants to choose a file of points.
        open_pictures_requested: The user wants to choose a folder of pictures.
        preview_requested: A file, and an archive's array, whose columns are to be shown.
        start_requested: No run is open and the user pressed start (a ``RunSpec``).
    """

    spec_edited = Signal(object, str)
    live_edited = Signal(object)
    device_edited = Signal(str)
    open_data_requested = Signal()
    open_pictures_requested = Signal()
    preview_requested = Signal(str, str)
    start_requested = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._models: dict[str, ModelCard] = {}
        self._datasets: dict[str, DatasetCard] = {}
        self._spec: RunSpec | None = None
        self._words = ""
        self._previewed = ("", "")
        self._has_run = False
        self._make_widgets()
        self._lay_out()
        self._connect()
        look.changed.connect(lambda: QTimer.singleShot(0, self._fit_width))

    # --- the window tells -----------------------------------------------------------------------

    def show_catalogue(self, hello: Hello) -> None:
        """What models, data sets and devices there are."""
        self._models = {card.name: card for card in hello.models}
        self._datasets = {card.name: card for card in hello.datasets}
        self._dataset.set_cards(hello.datasets)
        self._model.set_cards(hello.models)
        with QSignalBlocker(self._device):
            self._device.clear()
            self._device.addItem("auto", "auto")
            for device in hello.devices:
                self._device.addItem(device, device)
        if self._spec is None:
            self._spec = self._first_spec()
            self._fill(self._spec)
        self.setEnabled(True)

    def show_run(self, view: RunView | None) -> None:
        """The set-up of the run in view."""
        self._settle.stop()
        self._has_run = view is not None
        self._start.setVisible(view is None)
        if view is not None and view.info is not None:
            self._spec = view.info.spec
            self._fill(view.info.spec)
            data = view.info.data
            self._refuse_models(data.event.support)
            self._notes.setText("\n".join(filter(None, (data.values, *data.notes))))
            self._notes.setVisible(bool(self._notes.text()))

    def _refuse_models(self, support: str) -> None:
        """Grey out the models that cannot learn values like the run's."""
        wanted = {name: card.supports for name, card in self._models.items()}
        self._model.set_refused({
            name: f"It learns {' or '.join(supports)} values, and these data are {support}."
            for name, supports in wanted.items()
            if supports and support not in supports
        })  # fmt: skip

    @property
    def spec(self) -> RunSpec | None:
        """What is set up."""
        return self._spec

    def start(self) -> None:
        """Start a run with what is set up."""
        if self._spec is not None:
            self.start_requested.emit(self._spec)

    def revert(self, view: RunView | None) -> None:
        """What was asked for could not be built: show what there is."""
        if view is not None:
            self.show_run(view)
        elif self._spec is not None and self._spec.dataset in (POINTS, PICTURES):
            self._spec = self._first_spec()
            self._fill(self._spec)

    def _first_spec(self) -> RunSpec:
        """A first run that is worth watching, or else the first of what there is."""
        model, dataset = FIRST
        return RunSpec(
            model if model in self._models else next(iter(self._models)),
            dataset if dataset in self._datasets else next(iter(self._datasets)),
        )

    def show_live(self, values: dict[str, Value]) -> None:
        """Live settings as the engine has them."""
        if not self._settle.isActive() and not self._model_form.isAncestorOf(
            self.focusWidget() or self
        ):
            self._model_form.set_values(values)

    def show_file(self, path: str) -> None:
        """The user dropped or chose a file of points, or pictures."""
        name = own_dataset(path)
        if self._spec is None or name not in self._datasets:
            return
        self._spec = msgspec.structs.replace(
            self._spec, dataset=name, dataset_config={"path": path}
        )
        self._fill(self._spec)
        self._commit(f"open {Path(path).name}")

    # --- making ---------------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        self._dataset = DatasetPicker(self._look)
        self._model = ModelPicker(self._look)
        self._dataset_form = ConfigForm(self._look)
        self._model_form = ConfigForm(self._look)
        self._device = QComboBox()
        self._device.setToolTip("Where the model trains; it moves there without losing a step.")
        self._seed = QSpinBox()
        self._seed.setRange(0, 2**31 - 1)
        self._seed.setToolTip("Seed of the weights, the batches and all noise. Restarts the run.")
        self._own_data = QPushButton("Open own data …")
        self._own_data.setToolTip("CSV, TSV, NPY or NPZ; or drop a file on the window")
        self._start = QPushButton("Start")
        self._start.setToolTip("Start a run with this set-up")
        self._columns = ColumnsPicker(self._look)
        self._columns.hide()
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        self._notes.hide()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        for title, parts in (
            (
                "DATA",
                (self._dataset, self._own_data, self._columns, self._notes, self._dataset_form),
            ),
            ("MODEL", (self._model, self._model_form)),
        ):
            column.addWidget(self._heading(title))
            for part in parts:
                column.addWidget(part)
        column.addWidget(self._heading("RUN"))
        rows = QFormLayout()
        rows.addRow("Device", self._device)
        rows.addRow("Seed", self._seed)
        column.addLayout(rows)
        column.addWidget(self._start)
        column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEnabled(False)

    def _fit_width(self) -> None:
        """Never narrower than what it holds: a clipped control is a control that is not there."""
        inner = self.widget()
        if inner is not None:
            bar = self.verticalScrollBar().sizeHint().width()
            self.setMinimumWidth(inner.minimumSizeHint().width() + bar)

    def _heading(self, text: str) -> QLabel:
        label = QLabel(text)
        font = label.font()
        font.setBold(True)
        label.setFont(font)
        return label

    def _connect(self) -> None:
        self._dataset.picked.connect(self._on_dataset_picked)
        self._model.picked.connect(self._on_model_picked)
        self._dataset_form.edited.connect(self._on_dataset_edited)
        self._columns.edited.connect(self._on_dataset_edited)
        self._model_form.edited.connect(self._on_model_edited)
        self._device.activated.connect(self._on_device_picked)
        self._seed.valueChanged.connect(self._on_seed_changed)
        self._own_data.clicked.connect(self.open_data_requested)
        self._start.clicked.connect(self.start)
        self._settle.timeout.connect(self._send)

    # --- the user edits -------------------------------------------------------------------------

    def _fill(self, spec: RunSpec) -> None:
        model, dataset = self._models.get(spec.model), self._datasets.get(spec.dataset)
        with QSignalBlocker(self._seed), QSignalBlocker(self._device):
            self._seed.setValue(spec.seed)
            self._device.setCurrentIndex(max(0, self._device.findData(spec.device)))
        if model is not None:
            self._model.set_current(spec.model)
            self._model_form.set_fields(model.fields)
            self._model_form.set_values(spec.model_config)
        if dataset is not None:
            self._dataset.set_current(spec.dataset)
            own = spec.dataset == POINTS
            hidden = columns_picker.FIELDS if own else ()
            fields = tuple(field for field in dataset.fields if field.name not in hidden)
            self._dataset_form.set_fields(fields)
            names = {field.name for field in fields}
            shown = {n: v for n, v in spec.dataset_config.items() if n in names}
            self._dataset_form.set_values(shown)
            self._show_columns(spec, own)
        QTimer.singleShot(0, self._fit_width)

    def _show_columns(self, spec: RunSpec, own: bool) -> None:
        self._columns.setVisible(own)
        wanted = (str(spec.dataset_config.get("path")), str(spec.dataset_config.get("key") or ""))
        if own and wanted != self._previewed:
            self._previewed = wanted
            self.preview_requested.emit(*wanted)
        elif own:
            self._columns.set_values(spec.dataset_config)

    def show_sample(self, dataset: str, sample: Array) -> None:
        """Points or a picture for the list of data sets."""
        self._dataset.set_preview(dataset, sample)

    def show_preview(self, text: str) -> None:
        """The engine's look into the user's file."""
        self._columns.show_preview(text)
        if self._spec is not None:
            self._columns.set_values(self._spec.dataset_config)

    def _on_dataset_picked(self, name: str) -> None:
        if self._spec is None or name == self._spec.dataset:
            return
        if name in (POINTS, PICTURES):
            self._dataset.set_current(self._spec.dataset)
            (self.open_data_requested if name == POINTS else self.open_pictures_requested).emit()
            return
        self._edit(f"data: {self._datasets[name].title}", dataset=name, dataset_config={})
        self._fill(self._spec)

    def _on_model_picked(self, name: str) -> None:
        if self._spec is not None and name != self._spec.model:
            self._edit(f"model: {self._models[name].title}", model=name, model_config={})
            self._fill(self._spec)

    def _on_dataset_edited(self, values: dict[str, Value]) -> None:
        if self._spec is not None:
            config = {**self._spec.dataset_config, **values}
            self._edit(_wording(values), dataset_config=config)

    def _on_model_edited(self, values: dict[str, Value]) -> None:
        if self._spec is None:
            return
        fields = {spec.name: spec for spec in self._models[self._spec.model].fields}
        live = {name: value for name, value in values.items() if _is_live(fields[name])}
        rest = {name: value for name, value in values.items() if name not in live}
        if live and self._has_run:
            config = {**self._spec.model_config, **live}
            self._spec = msgspec.structs.replace(self._spec, model_config=config)
            self.live_edited.emit(live)
        else:
            rest = values
        if rest:
            self._edit(_wording(rest), model_config={**self._spec.model_config, **rest})

    def _on_device_picked(self, _: int) -> None:
        if self._has_run:
            self.device_edited.emit(str(self._device.currentData()))
        elif self._spec is not None:
            device = str(self._device.currentData())
            self._spec = msgspec.structs.replace(self._spec, device=device)

    def _on_seed_changed(self, seed: int) -> None:
        self._edit(f"seed {seed}", seed=seed)

    def _edit(self, words: str, **changes: object) -> None:
        """Note a change that needs a fresh start; it is sent once the user has settled."""
        if self._spec is None:
            return
        self._spec = msgspec.structs.replace(self._spec, **changes)
        self._words = words
        self._settle.start()

    def _commit(self, words: str) -> None:
        self._words = words
        self._settle.stop()
        self._send()

    def _send(self) -> None:
        if self._spec is not None and self._has_run:
            self.spec_edited.emit(self._spec, self._words)
        elif self._spec is not None and self._words.startswith("open "):
            self.start_requested.emit(self._spec)


def _is_live(spec: FieldSpec) -> bool:
    return spec.field.live


def _wording(values: dict[str, Value]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
