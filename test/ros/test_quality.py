"""Quality of service: the defaults, what overrides change, and partners that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.node import DepthNode
from diagnostic_msgs.msg import DiagnosticArray
from graph import Graph
from graph import image_message
from graph import noise
import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from tiny_model import HEIGHT
from tiny_model import WIDTH

Running = Callable[..., Any]
SOON_S = 30.0
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def _says(graph: Graph, text: str) -> bool:
    return text in graph.diagnostics.get('message', '')


def _silent(graph: Graph) -> bool:
    found = graph.diagnostics
    return found.get('incompatible QoS') == '' and 'QoS' not in found['message']


def test_inputs_are_best_effort_of_depth_1_and_outputs_reliable(
    running: Running, tiny_model: Path
) -> None:
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        for topic in ('image', 'camera_info'):
            (found,) = graph.node.get_subscriptions_info_by_topic(topic)
            assert found.qos_profile.reliability is QoSReliabilityPolicy.BEST_EFFORT
            assert found.qos_profile.durability is QoSDurabilityPolicy.VOLATILE
            # Discovery does not tell how deep a queue is; the parameter at its default does.
            names = [
                f'qos_overrides./{topic}.subscription.{part}' for part in ('depth', 'history')
            ]
            assert graph.parameters(*names) == [1, 'keep_last']
        (depth,) = graph.node.get_publishers_info_by_topic('depth_node/depth')
        assert depth.qos_profile.reliability is QoSReliabilityPolicy.RELIABLE
        assert depth.qos_profile.durability is QoSDurabilityPolicy.VOLATILE


def test_a_subscriber_that_does_not_fit_is_said_once_and_shown_while_it_is_there(
    running: Running, tiny_model: Path
) -> None:
    with running(f'model:={tiny_model}') as (process, graph):
        subscribe = partial(
            graph.node.create_subscription, Image, 'depth_node/depth', lambda message: None
        )
        for _ in range(2):
            strangers = [subscribe(LATCHED) for _ in range(2)]
            assert wait_until(lambda: _says(graph, 'DURABILITY'), SOON_S)
            assert graph.diagnostics['incompatible QoS'] == '/depth_node/depth: DURABILITY'
            graph.next_diagnostics()
            assert _says(graph, 'incompatible QoS (/depth_node/depth: DURABILITY)')
            for stranger in strangers:
                graph.node.destroy_subscription(stranger)
            assert wait_until(lambda: _silent(graph), SOON_S)
        assert process.log.count('found one whose DURABILITY is not') == 1


def test_a_camera_that_does_not_fit_is_reported(running: Running, tiny_model: Path) -> None:
    reliable = 'qos_overrides./image.subscription.reliability:=reliable'
    unreliable = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    with running(f'model:={tiny_model}', reliable) as (process, graph):
        graph.wait_for(process)
        camera = graph.node.create_publisher(Image, 'image', unreliable)
        assert wait_until(lambda: _says(graph, 'incompatible QoS (/image: RELIABILITY)'), SOON_S)
        assert graph.diagnostics['level'] == '1'
        assert process.log.count('/image: expected a partner with a compatible QoS') == 1
        graph.node.destroy_publisher(camera)
        assert wait_until(lambda: _silent(graph), SOON_S)


def test_durability_can_be_overridden_as_the_warning_says(
    running: Running, tiny_model: Path
) -> None:
    latched = 'qos_overrides./depth_node/depth.publisher.durability:=transient_local'
    with running(f'model:={tiny_model}', latched) as (process, graph):
        graph.wait_for(process)
        graph.ask(image_message(noise(WIDTH, HEIGHT)))
        late: list[Image] = []
        graph.node.create_subscription(Image, 'depth_node/depth', late.append, LATCHED)
        assert wait_until(lambda: bool(late), SOON_S)
        graph.next_diagnostics()
        assert graph.diagnostics['incompatible QoS'] == ''


def test_a_camera_of_another_type_is_named(running: Running, tiny_model: Path) -> None:
    with running(f'model:={tiny_model}', image_type=CompressedImage) as (process, graph):
        said = (
            '/image: expected sensor_msgs/msg/Image, found sensor_msgs/msg/CompressedImage; '
            'start with another image_transport'
        )
        assert wait_until(lambda: _says(graph, f'no images: {said}'), SOON_S)
        graph.next_diagnostics()
        assert process.log.count(said) == 1
        with ros_context(graph.domain_id) as context:
            camera = rclpy.create_node('camera', context=context)
            camera.create_publisher(Image, 'image', 1)
            assert wait_until(lambda: graph.diagnostics['message'] == 'no images', SOON_S)
            camera.destroy_node()


def test_an_output_moved_to_where_an_input_was_is_watched(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = ('camera_info:=/camera/camera_info', '~/camera_info:=/camera_info')
    sent: list[DiagnosticArray] = []

    def shown() -> set[str]:
        return {v.value for a in sent for v in a.status[0].values if v.key == 'incompatible QoS'}

    with ros_context(free_domain()) as context:
        node = DepthNode(
            context=context,
            cli_args=['--ros-args', *(part for rule in moved for part in ('-r', rule))],
            parameter_overrides=[Parameter('model', value=str(tiny_model))],
        )
        monkeypatch.setattr(node._diagnostics, 'publish', sent.append)
        stranger = rclpy.create_node('stranger', context=context)
        stranger.create_subscription(CameraInfo, '/camera_info', lambda message: None, LATCHED)
        with spinning(node, first=node.start):
            assert wait_until(lambda: '/camera_info: DURABILITY' in shown(), SOON_S)
        stranger.destroy_node()
