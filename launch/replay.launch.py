"""
Play a bag to the depth node, record its depth and judge it against the bag's ground truth.

::

    ros2 launch depth_prune_ros replay.launch.py bag:=drive out:=drive_depth \
        image:=/camera/image_raw camera_info:=/camera/camera_info

The player starts when the node is active. When the bag is over, the recording ends, and then
`depth-prune evaluate` writes its report. What goes wrong ends all of it, with its reason and exit
code 1. Needs rosbag2 (`ros2 bag`).
"""

from pathlib import Path
import re
import signal

from ament_index_python.packages import get_package_prefix
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch import LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument
from launch.actions import EmitEvent
from launch.actions import ExecuteProcess
from launch.actions import IncludeLaunchDescription
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.actions import RegisterEventHandler
from launch.actions import TimerAction
from launch.event_handlers import OnProcessExit
from launch.event_handlers import OnProcessIO
from launch.events import matches_action
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.events.process import ProcessIO
from launch.events.process import SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

PACKAGE = 'depth_prune_ros'
ARGUMENTS = {
    'bag': ('', 'bag to play'),
    'out': ('replay_out', 'folder of the new bag (depth) and of the report'),
    'image': ('/kitti/camera_color_left/image_raw', "the bag's camera image"),
    'camera_info': ('/kitti/camera_color_left/camera_info', 'its calibration'),
    'rate': ('1.0', '2.0 plays twice as fast'),
    'evaluate': ('true', 'false: no report; for bags without lidar and depth'),
    'reliable': ('false', 'true: take images reliably, if the bag offers them so; loses none'),
    'name': ('depth_node', 'name of the node'),
    'start_timeout': ('900', 'seconds for the node to be active; TensorRT may build for minutes'),
}
EXECUTABLE = 'depth_node'
# What the node logs when it listens, and how a log line starts that says why it does not.
READY = 'active: '
REFUSED = re.compile(r'\[(?:ERROR|FATAL)\] (?:\[[^\]]*\] ?)*:? ?(.+)\n')
# A recorder and a player need a moment to be found.
RECORDER_S = 2.0
LAST_DEPTH_S = 2.0
# How `ros2 bag record` may end on SIGINT: cleanly, or with what ros2, a shell or the kernel says.
RECORDED = (0, signal.SIGINT, 128 + signal.SIGINT, -signal.SIGINT)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and what follows what."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_actions)])


def make_actions(context: LaunchContext) -> list[Action]:
    """
    Make the node, and what starts the recorder, the player and the judge one after the other.

    :raises RuntimeError: no bag to play, or an older recording where the new one should go
    """
    given = {name: str(LaunchConfiguration(name).perform(context)) for name in ARGUMENTS}
    recorded = Path(given['out']) / 'depth'
    if recorded.exists():
        msg = f'{recorded}: expected no older recording, found one; remove it or give another out'
        raise RuntimeError(msg)
    if not given['bag'] or not Path(given['bag']).exists():
        msg = f'bag: expected a bag to play, found none at {given["bag"]!r}'
        raise RuntimeError(msg)
    return Replay(given, recorded).actions()


class Replay:
    """
    The course of a replay: what is started or ended when something else has happened.

    An exception in a handler is launch's own way to end everything with a reason and exit code 1.
    """

    def __init__(self, given: dict[str, str], recorded: Path) -> None:
        """Make the processes."""
        topics = [f'/{given["name"]}/{name}' for name in ('depth', 'camera_info')]
        record = ['ros2', 'bag', 'record', '--storage', 'mcap', '--output', str(recorded)]
        play = ['ros2', 'bag', 'play', given['bag'], '--clock', '--rate', given['rate']]
        seen = ['--topics', given['image'], given['camera_info']]
        judge = Path(get_package_prefix(PACKAGE)) / 'lib' / PACKAGE / 'depth-prune'
        options = ['--depth-topic', topics[0], '--depth-bag', str(recorded), '--out', given['out']]
        self._given = given
        self._recorder = _process('record', [*record, *topics])
        self._player = _process('play', [*play, *seen])
        camera = ['--left', given['image'], '--left-info', given['camera_info']]
        command = [str(judge), *camera, 'evaluate', given['bag'], *options]
        self._judge = _process('evaluate', command)
        self._log = ''
        self._stage = 'starting'

    def actions(self) -> list[Action]:
        """Return the node and the handlers of what happens."""
        late = TimerAction(
            period=float(self._given['start_timeout']),
            actions=[OpaqueFunction(function=self.late)],
        )
        ends = {
            self._player: self.played,
            self._recorder: self.recorded,
            self._judge: self.judged,
        }
        return [
            RegisterEventHandler(OnProcessIO(on_stdout=self.heard, on_stderr=self.heard)),
            RegisterEventHandler(OnProcessExit(on_exit=self.ended)),
            *(
                RegisterEventHandler(OnProcessExit(target_action=process, on_exit=then))
                for process, then in ends.items()
            ),
            late,
            self._node(),
        ]

    def heard(self, event: ProcessIO) -> list[Action]:
        """Start recorder and player when the node says that it is active; end if it refuses."""
        if self._stage != 'starting' or not event.process_name.startswith(EXECUTABLE):
            return []
        self._log += event.text.decode(errors='replace')
        if READY in self._log:
            self._stage = 'playing'
            return [self._recorder, TimerAction(period=RECORDER_S, actions=[self._player])]
        refusal = REFUSED.search(self._log)
        if refusal is not None:
            self._fail(f'the node did not start: {refusal[1]}')
        return []

    def late(self, context: LaunchContext) -> None:
        """End if the node never said a word that is known here."""
        if self._stage == 'starting':
            self._fail(f'the node was not active after {self._given["start_timeout"]} s')

    def ended(self, event: ProcessExited, context: LaunchContext) -> list[Action]:
        """End if the node ended while it was needed."""
        needed = self._stage in ('starting', 'playing')
        if needed and event.process_name.startswith(EXECUTABLE) and not context.is_shutdown:
            self._fail(f'the node ended with code {event.returncode}')
        return []

    def played(self, event: ProcessExited, context: LaunchContext) -> list[Action]:
        """End the recording a moment after the bag is over."""
        if context.is_shutdown:
            return []
        if event.returncode:
            self._fail(f'ros2 bag play ended with code {event.returncode}')
        self._stage = 'played'
        interrupt = SignalProcess(
            signal_number=signal.SIGINT, process_matcher=matches_action(self._recorder)
        )
        return [TimerAction(period=LAST_DEPTH_S, actions=[EmitEvent(event=interrupt)])]

    def recorded(self, event: ProcessExited, context: LaunchContext) -> list[Action]:
        """Judge a recording that is whole."""
        if context.is_shutdown:
            return []
        if self._stage != 'played' or event.returncode not in RECORDED:
            self._fail(f'ros2 bag record ended with code {event.returncode}; nothing is judged')
        if self._given['evaluate'].lower() in ('true', '1'):
            return [self._judge]
        return [LogInfo(msg=f'recorded: {self._given["out"]}/depth'), _end()]

    def judged(self, event: ProcessExited, context: LaunchContext) -> list[Action]:
        """End, well or not."""
        if event.returncode and not context.is_shutdown:
            self._fail(f'depth-prune evaluate ended with code {event.returncode}')
        return [_end()]

    def _fail(self, reason: str) -> None:
        self._stage = 'failed'
        raise RuntimeError(reason)

    def _node(self) -> IncludeLaunchDescription:
        """Return the node, its outputs where the recorder looks for them."""
        share = Path(get_package_share_directory(PACKAGE))
        passed = {name: self._given[name] for name in ('image', 'camera_info', 'name', 'reliable')}
        return IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(share / 'launch' / 'depth.launch.py')),
            launch_arguments={
                'use_sim_time': 'true',
                'respawn': 'false',
                'namespace': '',
                'depth': '~/depth',
                'depth_info': '~/camera_info',
                # the protocol has its own range, and a hole beside a far pixel pulls that one away
                'min_depth': '0.0',
                'max_depth': '1000.0',
                **passed,
            }.items(),
        )


def _process(name: str, command: list[str]) -> ExecuteProcess:
    return ExecuteProcess(cmd=command, name=name, output='screen')


def _end() -> EmitEvent:
    return EmitEvent(event=Shutdown(reason='the bag is over'))
