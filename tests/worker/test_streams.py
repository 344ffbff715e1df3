"""Streams of a real child: every piece in order, credit, cancel, failure."""

from __future__ import annotations

from engine.wire import messages as m
from tests.worker.conftest import Client

SLOT = m.Slot("p", "a", "stream")


def open_stream(client: Client, generation: int, value: int, probe: str = "count") -> None:
    arguments = {"value": value, "seconds": 0.0}
    client.send(m.Ask(SLOT, generation, probe, arguments, stream=True))


def numbers(client: Client, generation: int) -> list[int]:
    return [
        record.number
        for record in client.heard
        if isinstance(record, m.Answer) and record.generation == generation
    ]


def test_all_pieces_arrive_in_order_with_credit(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 101, 40)
    while True:
        piece = shared.wait_for(m.Answer, generation=101)
        assert piece.values["value"] == piece.number
        if piece.final:
            break
        shared.send(m.Credit(SLOT, 101))
    assert numbers(shared, 101) == list(range(40))


def test_without_credit_a_stream_waits(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 102, 40)
    for _ in range(m.STREAM_CREDIT):
        shared.wait_for(m.Answer, generation=102)
    assert shared.is_answering()
    assert numbers(shared, 102) == list(range(m.STREAM_CREDIT))
    shared.send(m.Credit(SLOT, 102, 2))
    shared.wait_for(m.Answer, generation=102, number=m.STREAM_CREDIT + 1)
    assert shared.is_answering()
    assert numbers(shared, 102) == list(range(m.STREAM_CREDIT + 2))
    shared.send(m.Cancel(SLOT, 102))


def test_a_cancelled_stream_says_no_more(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 103, 40)
    shared.wait_for(m.Answer, generation=103, number=m.STREAM_CREDIT - 1)
    shared.send(m.Cancel(SLOT, 103))
    shared.send(m.Credit(SLOT, 103, 100))
    assert shared.is_answering()
    assert numbers(shared, 103) == list(range(m.STREAM_CREDIT))


def test_a_newer_stream_of_the_slot_ends_the_older(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 104, 40)
    shared.wait_for(m.Answer, generation=104, number=m.STREAM_CREDIT - 1)
    open_stream(shared, 105, 3)
    shared.wait_for(m.Answer, generation=105, final=True)
    shared.send(m.Credit(SLOT, 104, 100))
    assert shared.is_answering()
    assert numbers(shared, 104) == list(range(m.STREAM_CREDIT))


def test_a_stream_that_breaks_says_so_after_its_pieces(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 106, 0, "breaks_midway")
    failed = shared.wait_for(m.Failed, generation=106)
    assert "planted stream fault" in failed.message
    assert failed.slot == SLOT
    assert numbers(shared, 106) == [0, 1]
    assert shared.is_answering()


def test_a_probe_without_a_last_piece_ends_with_an_empty_one(shared: Client) -> None:
    shared.start(run="a")
    open_stream(shared, 107, 0)
    last = shared.wait_for(m.Answer, generation=107)
    assert (last.number, last.final, last.values) == (0, True, {})


def test_a_stream_of_no_run_is_refused(shared: Client) -> None:
    slot = m.Slot("p", "nobody", "stream")
    shared.send(m.Ask(slot, 108, "count", {"value": 3}, stream=True))
    failed = shared.wait_for(m.Failed, generation=108)
    assert failed.message.endswith("there is no run 'nobody'")


def test_closing_a_run_ends_its_streams(shared: Client) -> None:
    shared.start(run="a")
    shared.start(run="b")
    slot = m.Slot("p", "b", "stream")
    shared.send(m.Ask(slot, 109, "count", {"value": 40, "seconds": 0.0}, stream=True))
    shared.wait_for(m.Answer, generation=109, number=m.STREAM_CREDIT - 1)
    shared.command(m.CloseRun, "b")
    shared.send(m.Credit(slot, 109, 100))
    assert shared.is_answering()
    assert numbers(shared, 109) == list(range(m.STREAM_CREDIT))
