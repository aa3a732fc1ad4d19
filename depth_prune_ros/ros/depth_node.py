"""
The executable `depth_node`.

Only the start and the end of the process are here. Everything heavy is imported inside, after
the signal handler stands: SIGINT and SIGTERM end the process with code 0 at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED = b'\0'


class SignalGate:
    """
    What a signal does: end the process at once or, once there is work to clean up, wake main.

    A pipe, because nothing else is free of races: a signal that comes just before a lock or a
    wait set starts to wait does not end that waiting. That is also why rclpy's own handlers,
    which now and then leave a spinning executor waiting, are not used.
    """

    def __init__(self) -> None:
        """Take the signals over."""
        self.exit_at_once = True
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def wait(self) -> bool:
        """Wait for a signal (True) or for :meth:`end` (False), also one that came before."""
        return os.read(self._read, 1) != ENDED

    def end(self) -> None:
        """Wake main without a signal; from any thread."""
        os.write(self._write, ENDED)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.exit_at_once:
            os._exit(0)


def main() -> int:
    """
    Run the depth node until it is told to stop.

    :return: 0 after SIGINT and SIGTERM, 1 if spinning ended by itself
    """
    gate = SignalGate()

    from depth_prune_ros.ros.context import spinning
    from depth_prune_ros.ros.node import DepthNode
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import try_shutdown

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    gate.exit_at_once = False
    try:
        node = DepthNode()
        node.start()
        with spinning(node, ended=gate.end):
            asked = gate.wait()
    finally:
        try_shutdown()
        # A second Ctrl-C (launch and the terminal both send one) must not spoil the exit code.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0 if asked else 1


if __name__ == '__main__':
    sys.exit(main())
