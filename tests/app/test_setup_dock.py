"""The set-up: models that cannot learn the data in view are grey, and say why."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.setup_dock import SetupDock
from tests.widgets.fakes import model_card
from widgets.look import Look

NAME = Qt.ItemDataRole.UserRole


def test_models_that_cannot_learn_the_values_say_why(qtbot: QtBot) -> None:
    dock = SetupDock(Look())
    qtbot.addWidget(dock)
    binary = msgspec.structs.replace(model_card("nade"), supports=("binary",))
    dock._models = {"realnvp": model_card(), "nade": binary}
    dock._model.set_cards(tuple(dock._models.values()))
    items = {item.data(NAME): item for item in dock._model._named_items()}
    dock._refuse_models("real")
    assert items["realnvp"].isEnabled()
    assert not items["nade"].isEnabled()
    assert items["nade"].toolTip() == "It learns binary values, and these data are real."
    dock._refuse_models("binary")
    assert items["nade"].isEnabled()
