"""A one-slot mailbox and the thread behind it: the newest frame wins."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Generic
from typing import TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """
    Hand the newest item from one thread to another; older ones not yet taken are dropped.

    A queue would make every frame wait for those before it: at 30 Hz in and 10 Hz out its age
    grows without end, here it stays below one period of the camera.
    """

    def __init__(self, patience: Callable[[T], float] = lambda _: 0.0) -> None:
        """
        Start empty and open.

        :param patience: seconds to wait for a newer item than one that has lain in the box
        """
        self._changed = threading.Condition()
        self._patience = patience
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """
        Leave an item, in place of one not yet taken; a closed mailbox takes nothing.

        :return: whether one not yet taken was dropped
        """
        with self._changed:
            if self._closed:
                return False
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
            return replaced

    def take(self) -> T | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._changed:
            lain = self._item
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            if lain is not None and not self._closed:
                self._changed.wait_for(lambda: self._item is not lain, self._patience(lain))
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Drop what lies in the box and wake whoever waits."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()


class Worker(Generic[T]):
    """A thread that handles the newest item put, one at a time."""

    def __init__(
        self,
        handle: Callable[[T], None],
        failed: Callable[[Exception], None],
        patience: Callable[[T], float] = lambda _: 0.0,
    ) -> None:
        """
        Start the thread.

        :param handle: called with each item taken, in the thread
        :param failed: called with what `handle` raised; the thread goes on
        :param patience: see :class:`Mailbox`
        """
        self._box: Mailbox[T] = Mailbox(patience)
        self._handle = handle
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name='depth_worker', daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Leave an item for the thread; True if it took the place of another."""
        return self._box.put(item)

    def stop(self) -> None:
        """Let the item at hand finish, drop the rest and join the thread."""
        self._box.close()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._box.take()) is not None:
            try:
                self._handle(item)
            except Exception as error:  # a dead worker would leave a node that looks alive
                self._failed(error)
