"""Items stay in order, few are read ahead, errors come out, threads end."""

from __future__ import annotations

from collections.abc import Iterator
import threading

from depth_prune_ros.evaluation.pipeline import in_order
import pytest


def ours() -> list[str]:
    """Return the threads of the pipeline that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith('depth-prune')]


@pytest.mark.parametrize('workers', [1, 2, 3])
def test_results_come_in_order_however_long_each_takes(workers: int) -> None:
    gates = [threading.Event() for _ in range(20)]

    def work(i: int) -> int:
        # an even item waits until the odd one after it is done, where there are workers enough
        if workers > 1 and i % 2 == 0 and i + 1 < len(gates):
            gates[i + 1].wait()
        gates[i].set()
        return i * i

    assert list(in_order(range(20), work, workers)) == [i * i for i in range(20)]
    assert ours() == []


def test_reading_and_working_happen_at_the_same_time() -> None:
    reading_second, working_first = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        reading_second.set()
        # only a reader with a thread of its own gets here before the first item is done
        assert working_first.wait(30)
        yield 1

    def work(i: int) -> int:
        if i == 0:
            working_first.set()
            assert reading_second.wait(30)
        return i

    assert list(in_order(items(), work)) == [0, 1]


def test_few_items_are_in_memory() -> None:
    read = []
    alive = []

    def items() -> Iterator[int]:
        for i in range(200):
            read.append(i)
            yield i

    for done in in_order(items(), lambda i: i, 2):
        alive.append(len(read) - done)
    assert len(alive) == 200
    assert max(alive) <= 3 * 2 + 2


def test_an_error_while_reading_comes_after_what_was_read() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        msg = 'the bag ends here'
        raise ValueError(msg)

    seen = []
    with pytest.raises(ValueError, match='the bag ends here'):
        for i in in_order(items(), lambda i: i):
            seen.append(i)
    assert seen == [0, 1]
    assert ours() == []


def test_an_error_while_working_ends_everything() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    def work(i: int) -> float:
        return 1 / (3 - i)

    with pytest.raises(ZeroDivisionError):
        list(in_order(items(), work, 2))
    assert closed.is_set()
    assert ours() == []


def test_leaving_early_closes_the_bag_in_the_thread_that_opened_it() -> None:
    threads = []

    def items() -> Iterator[int]:
        threads.append(threading.get_ident())
        try:
            yield from range(10**9)
        finally:
            threads.append(threading.get_ident())

    found = in_order(items(), lambda i: i)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert threads[0] == threads[1] != threading.get_ident()
    assert ours() == []
