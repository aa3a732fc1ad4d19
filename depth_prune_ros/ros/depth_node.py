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


class SignalGate:
    """What a signal does: end the process at once or, once there is work to clean up, ask."""

    def __init__(self) -> None:
        """Start with nothing to clean up."""
        self.exit_at_once = True
        self.asked = False
        self.wake = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.exit_at_once:
            os._exit(0)
        self.asked = True
        self.wake.set()


def main() -> int:
    """
    Run the depth node until it is told to stop.

    :return: 0 after SIGINT and SIGTERM, 1 if spinning ended by itself
    """
    gate = SignalGate()
    for number in SIGNALS:
        signal.signal(number, gate)

    from depth_prune_ros.ros.context import spinning
    from depth_prune_ros.ros.node import DepthNode
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import try_shutdown

    # rclpy's own handlers now and then leave a spinning executor waiting after SIGTERM. Here the
    # main thread only waits for the signal, and the executor is told to stop.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    gate.exit_at_once = False
    try:
        node = DepthNode()
        node.start()
        with spinning(node, ended=gate.wake.set):
            gate.wake.wait()
    finally:
        try_shutdown()
        # A second Ctrl-C (launch and the terminal both send one) must not spoil the exit code.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0 if gate.asked else 1


if __name__ == '__main__':
    sys.exit(main())
