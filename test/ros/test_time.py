"""The node's clock: simulated time that jumps back, as in a bag that is played in a loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from graph import Graph
from graph import image_message
from graph import noise
from rosgraph_msgs.msg import Clock
from tiny_model import HEIGHT
from tiny_model import WIDTH


def _drops(graph: Graph) -> int:
    return int(graph.diagnostics.get('dropped: too old', '0'))


def test_the_age_is_by_a_simulated_clock_that_may_jump_back(
    running: Callable[..., Any], tiny_model: Path
) -> None:
    message: Any = image_message(noise(WIDTH, HEIGHT))
    parameters = (f'model:={tiny_model}', 'use_sim_time:=true', 'max_age:=10.0')
    with running(*parameters) as (process, graph):
        clock = graph.node.create_publisher(Clock, '/clock', 10)
        graph.wait_for(process)
        # No clock yet: it stands at 0, and nothing is too old.
        assert graph.ask_stamped(message, 1000)
        for now, old in ((2000, 1980), (100, 80), (2000, 1980)):

            def tick(now: int = now) -> None:
                clock.publish(Clock(clock=Time(sec=now)))

            before = _drops(graph)
            assert graph.insist_stamped(
                message, old, tick, lambda before=before: _drops(graph) > before
            )
            assert graph.ask_stamped(message, now - 5)
        assert process.stop() == 0
