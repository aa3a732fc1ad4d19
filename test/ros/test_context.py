"""Nodes that are served in a thread of another program."""

from __future__ import annotations

import threading
from typing import Any

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
import pytest
import rclpy
from rclpy import executors


def test_the_thread_ends_also_while_it_looks_what_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking, told = threading.Event(), threading.Event()
    count = executors.NumberOfEntities

    def look(*numbers: int) -> Any:
        looking.set()
        told.wait(60.0)
        return count(*numbers)

    def serve() -> None:
        with (
            ros_context(free_domain()) as context,
            spinning(rclpy.create_node('a', context=context)),
        ):
            assert looking.wait(60.0)
            threading.Timer(0.5, told.set).start()

    monkeypatch.setattr(executors, 'NumberOfEntities', look)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(30.0)
    assert not thread.is_alive()
