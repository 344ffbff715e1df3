"""A link without an engine, whose records the test writes itself."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QObject, Signal

from app.engine_pool import MAIN
from app.notices import Notice, Notices
from app.session import Session
from engine.wire import messages as m
from engine.wire.capability import Capability
from engine.wire.cards import DatasetCard, DatasetInfo, ModelCard, Paper
from engine.wire.event import Event

CARD = ModelCard(
    "toy", "Toy", "flows", "", "p(x)", Paper("A", 2020, "T"), (Capability.LOG_PROB,), ()
)


class FakeLink(QObject):
    """Remembers what was sent; ``engine.answer`` and friends are called by the test."""

    greeted = Signal(object)
    answered = Signal(object)
    failed = Signal(object)
    acknowledged = Signal(object)
    metrics = Signal(object)
    state_changed = Signal(object)
    beat = Signal(str, object)
    silent = Signal(str, float)
    revived = Signal(str)
    died = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self.is_alive = True
        self.restarts = 0
        self.places: dict[str, str] = {}
        self._last = 0

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def send(self, record: Any) -> bool:
        self.sent.append(record)
        return self.is_alive

    def restart(self, engine: str = MAIN) -> None:
        self.restarts += 1

    def assign(self, run: str, engine: str = MAIN) -> None:
        self.places[run] = engine

    def engine_of(self, run: str) -> str:
        return self.places.get(run, MAIN)

    def forget(self, run: str) -> None:
        self.places.pop(run, None)

    def stop(self) -> None:
        self.is_alive = False

    # --- what an engine would do ----------------------------------------------------------------

    def last(self, kind: type) -> Any:
        return [record for record in self.sent if isinstance(record, kind)][-1]

    def count(self, kind: type) -> int:
        return sum(isinstance(record, kind) for record in self.sent)

    def admit(self) -> m.RunInfo:
        """Acknowledge the newest StartRun or OpenRun."""
        kinds = m.StartRun | m.OpenRun | m.ForkRun
        command = [r for r in self.sent if isinstance(r, kinds)][-1]
        spec = command.spec if isinstance(command, m.StartRun) else m.RunSpec("toy", "points")
        info = make_info(command.run, spec)
        self.acknowledged.emit(m.Ack(command.id, info))
        return info

    def tell(self, run: str, state: str, step: int, **more: Any) -> None:
        self.state_changed.emit(m.RunState(run, state, step, **more))


def make_info(run: str, spec: m.RunSpec, card: ModelCard = CARD) -> m.RunInfo:
    data = DatasetInfo(
        Event((2,), ("x", "y")), 100, 10, 10, True, 1.5, (-3.0, -3.0), (3.0, 3.0), ("x", "y")
    )
    return m.RunInfo(run, spec, card, DatasetCard(spec.dataset, "Data", ""), data, 12, "cpu")


@pytest.fixture
def link(qtbot: Any) -> FakeLink:
    return FakeLink()


@pytest.fixture
def said() -> list[Notice]:
    return []


@pytest.fixture
def session(link: FakeLink, said: list[Notice]) -> Session:
    notices = Notices()
    notices.posted.connect(said.append)
    return Session(link, notices)  # type: ignore[arg-type]
