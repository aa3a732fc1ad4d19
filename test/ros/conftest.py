"""Fixtures of the ROS tests: a domain of their own, a model, a running node."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
import warnings

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.process import NodeProcess
from graph import Graph
import pytest
import rclpy
from sensor_msgs.msg import Image
from tiny_model import write_tiny_model

with warnings.catch_warnings():
    # What rosidl imports of lark uses modules that Python 3.11 has deprecated.
    warnings.simplefilter('ignore', DeprecationWarning)
    import rosidl_generator_py  # noqa: F401

START_S = 60.0


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model of tiny_model.py."""
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'tiny.onnx')


@contextmanager
def _running(
    *arguments: str, image_type: type = Image, until: str = 'active:', listen: bool = True
) -> Iterator[tuple[NodeProcess, Graph]]:
    domain_id = free_domain()
    given = [part for argument in arguments for part in ('-p', argument)]
    with NodeProcess(given, domain_id) as process, ros_context(domain_id) as context:
        node = rclpy.create_node(f'test_{domain_id}', context=context)
        graph = Graph(node, image_type)
        if listen:
            graph.listen()
        with spinning(node):
            assert wait_until(lambda: until in process.log, START_S), process.log
            yield process, graph


@pytest.fixture(scope='session')
def running() -> Callable[..., Any]:
    """
    Return a context that runs a depth node process and its partner.

    Called with `name:=value` parameters; `until` is the text in the log to wait for.
    """
    return _running


@pytest.fixture(scope='module')
def live(tiny_model: Path) -> Iterator[tuple[NodeProcess, Graph]]:
    """Run one node with the tiny model for all tests of a module."""
    with _running(f'model:={tiny_model}', 'max_depth:=1000.0') as (process, graph):
        graph.wait_for(process)
        yield process, graph
