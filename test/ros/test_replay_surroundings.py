"""A replay in odd surroundings: other folders and servers, bags in parts, nodes that die."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import log_arguments
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.play import Player
from depth_prune_ros.ros.process import NodeProcess
from depth_prune_ros.ros.replay import replay
from graph import camera_info
from graph import image_message
from graph import noise
import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import CameraInfo
from tiny_model import HEIGHT
from tiny_model import WIDTH

SOON_S = 60.0
START_NS = 1_317_000_000 * 10**9
CAMERA = Intrinsics(WIDTH, HEIGHT, 50.0, 50.0, 30.0, 15.0)


def test_the_node_is_this_package_s_wherever_the_command_is_given(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / 'depth_prune_ros'
    other.mkdir()
    (other / '__init__.py').write_text('raise SystemExit("another checkout")')
    (tmp_path / 'random.py').write_text('raise SystemExit("a file of the user")')
    monkeypatch.chdir(tmp_path)
    with NodeProcess(['-p', f'model:={tiny_model}'], free_domain()) as process:
        assert wait_until(lambda: 'active:' in process.log, SOON_S), process.log


def test_a_node_whose_parent_is_killed_ends(tiny_model: Path) -> None:
    parent = (
        'import sys, time\n'
        'from depth_prune_ros.ros.process import NodeProcess\n'
        'with NodeProcess(["-p", f"model:={sys.argv[1]}"], int(sys.argv[2])) as process:\n'
        '    while "active:" not in process.log: time.sleep(0.1)\n'
        '    print(process.pid, flush=True)\n'
        '    time.sleep(600)\n'
    )
    command = [sys.executable, '-c', parent, str(tiny_model), str(free_domain())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        node = Path('/proc') / process.stdout.readline().strip()
        assert node.exists()
        process.kill()
    assert wait_until(
        lambda: not node.exists() or 'Z (zombie)' in (node / 'status').read_text(), SOON_S
    )


def test_a_discovery_server_is_not_asked(
    running: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ROS_DISCOVERY_SERVER', '127.0.0.1:11811')
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        message, info = image_message(noise(WIDTH, HEIGHT)), camera_info(WIDTH, HEIGHT, 50.0)
        assert graph.ask(message, info).metres.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize('name', ['HOME', 'ROS_HOME', 'ROS_LOG_DIR'])
def test_without_a_folder_for_logs_there_are_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ('ROS_HOME', 'ROS_LOG_DIR'):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, '/proc/nobody')
    assert log_arguments() == ['--ros-args', '--disable-external-lib-logs']
    with ros_context(free_domain()) as context:
        assert context.ok()


def test_the_first_camera_info_of_a_bag_in_parts_is_told_first(tmp_path: Path) -> None:
    parts = tmp_path / 'parts'
    parts.mkdir()
    for number, factor in enumerate((1.0, 2.0, 3.0)):
        camera = Intrinsics(WIDTH, HEIGHT, 50.0 * factor, 50.0, 30.0, 15.0)
        with BagWriter(tmp_path / f'part{number}') as writer:
            writer.camera_info('/camera_info', START_NS + number * 10**8, 'cam', camera)
        shutil.copy(tmp_path / f'part{number}' / f'part{number}.mcap', parts)
    heard: list[float] = []
    with ros_context(free_domain()) as context, open_bag(parts) as reader:
        node = rclpy.create_node('listener', context=context)
        node.create_subscription(CameraInfo, '/camera_info', lambda m: heard.append(m.p[0]), 10)
        with spinning(node):
            player = Player(node, reader)
            assert wait_until(lambda: player.matched(['/camera_info']), SOON_S)
            player.play()
            assert wait_until(lambda: len(heard) >= 4, SOON_S)
    assert heard == [50.0, 50.0, 100.0, 150.0]


def test_a_node_that_dies_in_a_pause_ends_the_replay_at_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        for number in range(2):
            stamp_ns = START_NS + number * 10**15  # eleven days
            writer.camera_info('/cam/camera_info', stamp_ns, 'cam', CAMERA)
            writer.image('/cam/image_raw', stamp_ns, 'cam', np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    started: list[NodeProcess] = []

    class Mortal(NodeProcess):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            started.append(self)

    monkeypatch.setattr('depth_prune_ros.ros.replay.NodeProcess', Mortal)

    def kill(done: int, _: int) -> None:
        if done == 2:
            threading.Timer(0.5, started[0].stop, [signal.SIGKILL]).start()

    with pytest.raises(ReplayError, match='expected it to live through the bag'):
        replay(tmp_path / 'bag', tiny_model, tmp_path / 'out', progress=kill)
