"""
Play a bag to the depth node, record its depth and judge it against the bag's ground truth.

::

    ros2 launch depth_prune_ros replay.launch.py bag:=drive out:=drive_depth \
        image:=/camera/image_raw camera_info:=/camera/camera_info

The player starts when the node is active. When the bag is over, the recording ends, and then
`depth-prune evaluate` writes its report. Needs rosbag2 (`ros2 bag`).
"""

from pathlib import Path
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
}
# What the node logs when it listens; a recorder and a player need a moment to be found then.
READY = 'active: '
RECORDER_S = 2.0
LAST_DEPTH_S = 2.0


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and what follows what."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_actions)])


def make_actions(context: LaunchContext) -> list[Action]:
    """Make the node, the recorder, the player and the judge, each started by the last one."""
    given = {name: str(LaunchConfiguration(name).perform(context)) for name in ARGUMENTS}
    recorded = str(Path(given['out']) / 'depth')
    topics = [f'/{given["name"]}/{name}' for name in ('depth', 'camera_info')]
    record = ['ros2', 'bag', 'record', '--storage', 'mcap', '--output', recorded, *topics]
    play = ['ros2', 'bag', 'play', given['bag'], '--clock', '--rate', given['rate']]
    recorder = ExecuteProcess(cmd=record, name='record', output='screen')
    player = ExecuteProcess(
        cmd=[*play, '--topics', given['image'], given['camera_info']], name='play', output='screen'
    )
    share = Path(get_package_share_directory(PACKAGE))
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / 'launch' / 'depth.launch.py')),
        launch_arguments={
            'use_sim_time': 'true',
            **{name: given[name] for name in ('image', 'camera_info', 'name', 'reliable')},
        }.items(),
    )
    interrupt = SignalProcess(
        signal_number=signal.SIGINT, process_matcher=matches_action(recorder)
    )
    started: list[Action] = []

    def begin(event: ProcessIO) -> list[Action]:
        if started or READY not in event.text.decode(errors='replace'):
            return []
        started.extend([recorder, TimerAction(period=RECORDER_S, actions=[player])])
        return started

    last = TimerAction(period=LAST_DEPTH_S, actions=[EmitEvent(event=interrupt)])
    return [
        RegisterEventHandler(OnProcessIO(on_stdout=begin, on_stderr=begin)),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[last])),
        RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=_judge(given))),
        node,
    ]


def _judge(given: dict[str, str]) -> list[Action]:
    """Return what comes after the recording: the report, then the end."""
    end = EmitEvent(event=Shutdown(reason='the bag is over'))
    if given['evaluate'].lower() != 'true':
        return [LogInfo(msg=f'recorded: {given["out"]}/depth'), end]
    depth_prune = Path(get_package_prefix(PACKAGE)) / 'lib' / PACKAGE / 'depth-prune'
    options = ['--depth-topic', f'/{given["name"]}/depth', '--depth-bag', f'{given["out"]}/depth']
    judge = ExecuteProcess(
        cmd=[str(depth_prune), 'evaluate', given['bag'], *options, '--out', given['out']],
        name='evaluate',
        output='screen',
    )
    return [judge, RegisterEventHandler(OnProcessExit(target_action=judge, on_exit=[end]))]
