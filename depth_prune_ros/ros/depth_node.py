"""
The executable `depth_node`.

Only the start and the end of the process are here. Everything heavy is imported inside, after
the signal handler stands: SIGINT and SIGTERM end the process with code 0 at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED = b'\0'
# Launch and supervisors want a node gone within a second.
SHUTDOWN_S = 0.7
# How long the worker waits for the interpreter after an image was handed to it, while the executor
# goes through its entities: 0.1 to 0.5 ms sooner at the network than with Python's 5 ms.
HANDOVER_S = 0.00005


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

    :return: 0 after SIGINT and SIGTERM, 1 if it could not start or spinning ended by itself
    """
    gate = SignalGate()
    sys.setswitchinterval(HANDOVER_S)

    from depth_prune_ros.ros.context import log_arguments
    from depth_prune_ros.ros.context import spinning
    from depth_prune_ros.ros.node import DepthNode
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import try_shutdown

    try:
        rclpy.init(
            args=[*sys.argv, *log_arguments()], signal_handler_options=SignalHandlerOptions.NO
        )
        gate.exit_at_once = False
        node = DepthNode()
    except Exception as error:  # rcl's errors about arguments and log folders have no other base
        sys.stderr.write(f'error: {" ".join(str(error).split())}\n')
        return 1
    try:
        with spinning(node, ended=gate.end, first=node.start):
            asked = gate.wait()
            if asked:
                _end_within(SHUTDOWN_S)
    finally:
        try_shutdown()
        # A second Ctrl-C (launch and the terminal both send one) must not spoil the exit code.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0 if asked else 1


def _end_within(seconds: float) -> None:
    """End the process with code 0 after so long, whatever it still waits for (a model, say)."""
    watchdog = threading.Timer(seconds, os._exit, [0])
    watchdog.daemon = True
    watchdog.start()


if __name__ == '__main__':
    sys.exit(main())
