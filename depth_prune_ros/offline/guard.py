"""What makes a training stop before its end: signals, and a loss that goes astray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import math
import signal
import threading
from types import FrameType

_MEMORY = 50
_OBSERVED = 20


class StopRequest:
    """Whether somebody asked the training to stop."""

    def __init__(self) -> None:
        """Nobody has yet."""
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """
        Take Ctrl-C and SIGTERM as requests; a second one ends the process as it always did.

        Only the main thread is told of signals: elsewhere this changes nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.asked = True
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            restore()


def gradient_fault(norm: float) -> str:
    """Return what is wrong with gradients of this norm; empty where nothing is."""
    return '' if math.isfinite(norm) else f'expected finite gradients, found a norm of {norm}'


class LossGuard:
    """Knows what the loss has been lately, to tell when it explodes."""

    def __init__(self, factor: float) -> None:
        """Complain of a loss above ``factor`` times its running mean."""
        self._factor = factor
        self._mean = 0.0
        self._seen = 0

    def fault(self, loss: float) -> str:
        """Return what is wrong with a step's loss; empty where nothing is."""
        if not math.isfinite(loss):
            return f'expected a finite loss, found {loss}'
        limit = self._factor * self._mean
        if self._seen >= _OBSERVED and loss > limit:
            often = f'{self._factor:g} times its mean'
            return f'expected a loss below {limit:.3g} ({often}), found {loss:.3g}'
        self._seen += 1
        self._mean += (loss - self._mean) / min(self._seen, _MEMORY)
        return ''

    def state(self) -> dict[str, float]:
        """Return the mean so far, for a checkpoint."""
        return {'mean': self._mean, 'seen': self._seen}

    def load(self, state: dict[str, float]) -> None:
        """Take back what :meth:`state` gave."""
        self._mean, self._seen = state['mean'], int(state['seen'])
