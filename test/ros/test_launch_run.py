"""The launch files really run, with the real node, where launch and launch_ros are."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import os
from pathlib import Path
import re
import signal
import subprocess
import sys

from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import ros_environment
from depth_prune_ros.ros.context import wait_until
import pytest
import rclpy
from rclpy.qos import ReliabilityPolicy

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [argument.split(':=', 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""
# Stands in for rosbag2, which no registry has.
ROS2 = """#!/bin/sh
echo "ros2 $*"
[ "$2" = play ] && exec sleep 1
for argument in "$@"; do [ "$last" = --output ] && mkdir "$argument"; last="$argument"; done
trap 'exit 0' INT
while :; do sleep 0.1; done
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Return an ament prefix with this package in it, and a ros2."""
    pytest.importorskip('launch_ros')
    share = tmp_path / 'share' / 'depth_prune_ros'
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    programs = tmp_path / 'lib' / 'depth_prune_ros'
    for folder in (share, index, programs, tmp_path / 'bin'):
        folder.mkdir(parents=True)
    (index / 'depth_prune_ros').touch()
    for name in ('config', 'launch', 'models'):
        (share / name).symlink_to(ROOT / name)
    node = f'#!/bin/sh\nexec {sys.executable} {ROOT}/scripts/depth_node "$@"\n'
    for path, text in ((programs / 'depth_node', node), (tmp_path / 'bin' / 'ros2', ROS2)):
        path.write_text(text)
        path.chmod(0o755)
    return tmp_path


class Launched:
    """A launch in a process group of its own, as a terminal has it."""

    def __init__(self, prefix: Path, domain_id: int, file: str, *arguments: str) -> None:
        """Start it."""
        self._log = prefix / 'launch.log'
        paths = [str(prefix), os.environ.get('AMENT_PREFIX_PATH', ''), sys.prefix]
        environment = {
            **os.environ,
            'AMENT_PREFIX_PATH': ':'.join(path for path in paths if path),
            'PATH': f'{prefix}/bin:{os.environ["PATH"]}',
            'ROS_LOG_DIR': str(prefix / 'log'),
            **ros_environment(domain_id),
        }
        with self._log.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-c', LAUNCH, str(ROOT / 'launch' / file), *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Return what was said so far."""
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        """Return the processes that were started so far."""
        return [int(pid) for pid in re.findall(r'process started with pid \[(\d+)\]', self.log)]

    def interrupt(self) -> None:
        """Press ctrl-c."""
        os.killpg(self.process.pid, signal.SIGINT)


Launch = Callable[..., Launched]


@pytest.fixture
def launch(prefix: Path, tiny_model: Path) -> Iterator[Launch]:
    """Return a function that launches a file with arguments, in a domain of its own."""
    running: list[Launched] = []

    def start(file: str, *arguments: str, domain_id: int | None = None) -> Launched:
        # The last of two arguments of one name counts.
        given = (f'model:={tiny_model}', *arguments)
        running.append(Launched(prefix, domain_id or free_domain(), file, *given))
        return running[-1]

    yield start
    for launched in running:
        if launched.process.poll() is None:
            os.killpg(launched.process.pid, signal.SIGKILL)
            launched.process.wait()


def test_a_node_in_a_namespace_that_comes_back(launch: Launch) -> None:
    domain_id = free_domain()
    given = ('namespace:=robot', 'image:=camera/image', 'depth:=/front/depth', 'reliable:=true')
    launched = launch('depth.launch.py', *given, domain_id=domain_id)
    assert wait_until(lambda: 'active: /robot/camera/image' in launched.log, WAIT_S), launched.log
    with ros_context(domain_id) as context:
        node = rclpy.create_node('look', context=context)
        assert wait_until(lambda: bool(node.count_subscribers('/robot/camera/image')), WAIT_S)
        (info,) = node.get_subscriptions_info_by_topic('/robot/camera/image')
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        topics = ('/front/depth', '/front/camera_info', '/robot/depth_node/points')
        assert wait_until(lambda: all(map(node.count_publishers, topics)), WAIT_S)
    os.kill(launched.pids[0], signal.SIGKILL)
    assert wait_until(lambda: launched.log.count('active: ') == 2, WAIT_S), launched.log
    assert len(launched.pids) == 2
    launched.interrupt()
    assert launched.process.wait(WAIT_S) == 0, launched.log


def _replay(launch: Launch, prefix: Path, *arguments: str) -> Launched:
    (prefix / 'bag').mkdir()
    given = (f'bag:={prefix}/bag', f'out:={prefix}/out', 'evaluate:=false')
    launched = launch('replay.launch.py', *given, *arguments)
    launched.process.wait(WAIT_S)
    return launched


def test_the_replay_ends_by_itself(launch: Launch, prefix: Path) -> None:
    launched = _replay(launch, prefix)
    assert launched.process.returncode == 0, launched.log
    assert f'recorded: {prefix}/out/depth' in launched.log
    order = [launched.log.index(text) for text in ('active: ', 'bag record', 'bag play')]
    assert order == sorted(order)


def test_the_replay_refuses_an_older_recording(launch: Launch, prefix: Path) -> None:
    (prefix / 'out' / 'depth').mkdir(parents=True)
    launched = _replay(launch, prefix)
    assert launched.process.returncode == 1
    assert f'{prefix}/out/depth: expected no older recording' in launched.log
    assert launched.pids == []


def test_the_replay_ends_with_the_reason_of_the_node(launch: Launch, prefix: Path) -> None:
    launched = _replay(launch, prefix, 'model:=/nowhere.onnx')
    assert launched.process.returncode == 1
    assert 'the node did not start: /nowhere.onnx: expected' in launched.log
    assert len(launched.pids) == 1
