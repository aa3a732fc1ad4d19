"""Reading ahead in one thread and working in others, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
import queue
import threading
from typing import Generic
from typing import TypeVar

Item = TypeVar('Item')
Done = TypeVar('Done')

_POLL_S = 0.05


class _Reader(threading.Thread, Generic[Item]):
    """
    Takes items out of an iterable in a thread of its own, a few ahead of whoever wants them.

    A bag is opened, read and closed here alone: SQLite refuses other threads.
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        super().__init__(name='depth-prune-reader', daemon=True)
        self._items = items
        self._queue: queue.Queue[tuple[Item] | None] = queue.Queue(maxsize=ahead)
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        items = iter(self._items)
        try:
            for item in items:
                if not self._put((item,)):
                    break
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes items
            self._error = error
        finally:
            close = getattr(items, 'close', None)
            if close is not None:
                close()
            self._put(None)

    def _put(self, item: tuple[Item] | None) -> bool:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def take(self) -> tuple[Item] | None:
        """Return the next item in a tuple, or None at the end or at an error."""
        return self._queue.get()

    def check(self) -> None:
        """
        Look, after the last item, whether there was an error.

        :raises BaseException: what reading raised
        """
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Stop reading and wait until the iterable is closed."""
        self._ended.set()
        self.join()


def in_order(
    items: Iterable[Item], work: Callable[[Item], Done], workers: int = 1
) -> Iterator[Done]:
    """
    Work on items while further ones are read, and give the results in the items' order.

    At most 3 * `workers` + 1 items are in memory, however many there are.

    :param items: read in a thread of its own
    :param work: called in `workers` threads at a time
    :raises BaseException: what reading or working raised, in the place of that item
    """
    reader = _Reader(items, workers)
    pending: deque[Future[Done]] = deque()
    reader.start()
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix='depth-prune-worker') as pool:
            while (found := reader.take()) is not None:
                pending.append(pool.submit(work, found[0]))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        reader.check()
    finally:
        reader.end()
