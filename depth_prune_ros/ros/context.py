"""Contexts, domains and threads for ROS nodes that live inside another program."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from itertools import count
from itertools import islice
import os
from pathlib import Path
import socket
import sys
import tempfile
import threading
import time

from depth_prune_ros.core.errors import ReplayError
import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

# Domains whose ports stay below Linux's ephemeral range (and the default, 0, is everybody's).
DOMAINS = range(1, 102)
POLL_S = 0.02
# What rclpy's RCLError of service_send_response says.
_UNSENT = 'failed to send response'
_NO_TYPE = 'is not a valid Parameter.Type'
_turns = count()


def ros_environment(domain_id: int) -> dict[str, str]:
    """Return the variables that keep a process to one domain on this computer."""
    return {
        'ROS_DOMAIN_ID': str(domain_id),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_DISCOVERY_SERVER': '',
    }


def free_domain() -> int:
    """
    Find a ROS domain nobody on this computer uses; each call begins behind the last one's.

    The first participant of a domain holds UDP port 7410 + 250 * domain (the DDS wire protocol's
    default). The search starts at a place that depends on the process id, so that two processes
    started together do not meet.
    """
    for turn in islice(_turns, len(DOMAINS)):
        domain_id = DOMAINS[(os.getpid() * 7 + turn) % len(DOMAINS)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain_id))
            except OSError:
                continue
            return domain_id
    msg = f'expected a free ROS domain in 1 to {len(DOMAINS)}, found none; name one'
    raise ReplayError(msg)


@contextmanager
def ros_context(domain_id: int | None = None) -> Iterator[Context]:
    """
    Open a ROS context that leaves signals and other contexts of the process alone.

    :param domain_id: this domain, on this computer only; None goes by the environment
    """
    context = Context()
    # to the end: a discovery server counts for what is made later, too
    with _variables({} if domain_id is None else ros_environment(domain_id)):
        rclpy.init(
            args=log_arguments(),
            context=context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        try:
            yield context
        finally:
            context.try_shutdown()


def log_arguments() -> list[str]:
    """Return what is to be added to the arguments: without a folder to write to, no log files."""
    home = os.environ.get('ROS_HOME') or '~/.ros'
    named = os.environ.get('ROS_LOG_DIR') or f'{home}/log'
    try:
        folder = Path(named).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return []
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        sys.stderr.write(f'{named}: expected a log folder to write to: {error}; no log files\n')
        return ['--ros-args', '--disable-external-lib-logs']


@contextmanager
def spinning(
    node: Node,
    ended: Callable[[], None] | None = None,
    first: Callable[[], None] | None = None,
) -> Iterator[None]:
    """
    Serve a node's callbacks in a thread; the node is destroyed at the end.

    A service's answer that cannot be sent, as the asker is gone or slow, is warned of, and so is a
    request to set a parameter of a type that does not exist.

    :param first: called in the thread before any callback
    :param ended: called in the thread when it ends, also by an exception of a callback
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin() -> None:
        try:
            if first is not None:
                first()
            while _spun_until_failed_request(executor, node):
                pass
        finally:
            if ended is not None:
                ended()

    thread = threading.Thread(target=spin, name='ros_spin', daemon=True)
    thread.start()
    try:
        yield
    finally:
        # In the thread itself: while it looks what to wait for, it does not hear of one from here.
        executor.create_task(executor.shutdown)
        thread.join()
        executor.shutdown()
        node.destroy_node()


def _spun_until_failed_request(executor: SingleThreadedExecutor, node: Node) -> bool:
    """Spin to the end, or until what rclpy itself raises of a request in the executor: True."""
    try:
        with suppress(ExternalShutdownException):
            executor.spin()
    except RCLError as error:
        if _UNSENT not in str(error):
            raise
        node.get_logger().warning(f'an answer was lost: {error}')
        return True
    except ValueError as error:
        if _NO_TYPE not in str(error):
            raise
        node.get_logger().warning(f'a request to set parameters was left out: {error}')
        return True
    return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until the condition holds; False if it does not within the time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which is all rcl listens to, for a moment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
