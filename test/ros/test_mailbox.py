"""The one-slot mailbox and its worker."""

from __future__ import annotations

import threading

from depth_prune_ros.ros.mailbox import Mailbox
from depth_prune_ros.ros.mailbox import Worker
import pytest

SOON_S = 60.0


def test_the_newest_wins_and_the_others_are_told_of() -> None:
    box: Mailbox[int] = Mailbox()
    assert [box.put(item) for item in (1, 2, 3)] == [False, True, True]
    assert box.take() == 3
    assert not box.put(4)
    assert box.take() == 4


def test_one_that_has_lain_too_long_waits_for_the_next() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def patience(item: int) -> float:
        assert item == 1
        asked.set()
        assert go_on.wait(SOON_S)
        return SOON_S

    box: Mailbox[int] = Mailbox(patience)
    box.put(1)
    replaced: list[bool] = []

    def camera() -> None:
        assert asked.wait(SOON_S)
        go_on.set()
        replaced.append(box.put(2))

    thread = threading.Thread(target=camera)
    thread.start()
    assert box.take() == 2
    thread.join()
    assert replaced == [True]


def test_one_that_nothing_follows_is_taken() -> None:
    box: Mailbox[int] = Mailbox(lambda _: 0.01)
    box.put(1)
    assert box.take() == 1


def test_one_that_is_waited_for_is_taken_at_once() -> None:
    box: Mailbox[int] = Mailbox(lambda _: pytest.fail('it has not lain in the box'))
    timer = threading.Timer(0.05, box.put, (1,))
    timer.start()
    assert box.take() == 1


def test_closing_ends_the_wait_for_the_next() -> None:
    box: Mailbox[int] = Mailbox(lambda _: SOON_S)
    box.put(1)
    timer = threading.Timer(0.05, box.close)
    timer.start()
    assert box.take() is None


def test_closing_wakes_the_reader_and_refuses_more() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    reader = threading.Thread(target=lambda: taken.append(box.take()))
    reader.start()
    box.close()
    reader.join(SOON_S)
    assert not reader.is_alive()
    assert not box.put(1)
    taken.append(box.take())
    assert taken == [None, None]


def test_a_busy_worker_skips_to_the_newest() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    handled: list[int] = []

    def handle(item: int) -> None:
        handled.append(item)
        begun.set()
        assert go_on.wait(SOON_S)
        if item == 3:
            done.set()

    worker = Worker(handle, failed=lambda error: None)
    worker.put(1)
    assert begun.wait(SOON_S)
    assert not worker.put(2)
    assert worker.put(3)
    go_on.set()
    assert done.wait(SOON_S)
    worker.stop()
    assert handled == [1, 3]


def test_a_failure_is_reported_and_the_worker_goes_on() -> None:
    failures: list[str] = []
    done = threading.Event()

    def handle(item: str) -> None:
        if item == 'bad':
            raise ValueError(item)
        done.set()

    def failed(error: Exception) -> None:
        failures.append(str(error))
        worker.put('good')

    worker = Worker(handle, failed)
    worker.put('bad')
    assert done.wait(SOON_S)
    worker.stop()
    assert failures == ['bad']


def test_stopping_waits_for_the_item_at_hand() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[int] = []

    def handle(item: int) -> None:
        begun.set()
        assert go_on.wait(SOON_S)
        handled.append(item)

    worker = Worker(handle, failed=lambda error: pytest.fail(str(error)))
    worker.put(1)
    assert begun.wait(SOON_S)
    timer = threading.Timer(0.05, go_on.set)
    timer.start()
    worker.stop()
    assert handled == [1]
