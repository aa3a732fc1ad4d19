"""
Start the depth node, and rviz or depth_image_proc beside it.

::

    ros2 launch depth_prune_ros depth.launch.py image:=/camera/image_rect \
        camera_info:=/camera/camera_info rviz:=true
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
import yaml

PACKAGE = 'depth_prune_ros'
SHARE = Path(get_package_share_directory(PACKAGE))
# Images above 512 KB lose frames in the default shared memory segment of Fast DDS when taken best
# effort. This transport does not, but nodes with it and nodes without it never find each other:
# set it for the whole graph (FASTDDS_BUILTIN_TRANSPORTS) or not at all.
LARGE_DATA = 'LARGE_DATA?max_msg_size=4MB&sockets_size=4MB&non_blocking=true'
WARNING = (
    'large_data: these nodes find only nodes that were started with '
    f'FASTDDS_BUILTIN_TRANSPORTS={LARGE_DATA}, and it takes effect only without '
    'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST, which brings transports of its own'
)
# A node that ends at once must not keep the computer busy with starting it.
RESPAWN_S = 2.0
TOPICS = {
    'image': ('image', 'topic of the camera image'),
    'camera_info': ('camera_info', 'topic of its calibration'),
    'depth': ('~/depth', 'topic of the depth image'),
    'depth_info': ('~/camera_info', 'topic of the calibration of the depth image'),
    'points': ('~/points', 'topic of the point cloud'),
    'preview': ('~/preview', 'topic of the coloured depth'),
}
ARGUMENTS = {
    'namespace': ('', 'namespace of the node and its topics'),
    'name': ('depth_node', 'name of the node'),
    'params_file': (str(SHARE / 'config' / 'depth.param.yaml'), 'file with the parameters'),
    'use_sim_time': (
        '',
        'true: time comes from /clock; empty: as params_file or SetParameter say',
    ),
    'reliable': ('false', 'true: take images reliably; for those above 512 KB'),
    'respawn': ('true', f'true: start the node again {RESPAWN_S:g} s after it ended'),
    'rviz': ('false', 'true: start rviz2 with config/depth.rviz'),
    'depth_image_proc': ('false', 'true: a cloud by depth_image_proc, on depth_image_proc/points'),
    'large_data': ('false', 'true: the LARGE_DATA transport, if the whole graph has it'),
    **TOPICS,
    # Where image_transport's subscribers look for it; the camera's own is never taken.
    'depth_info': ('', f'{TOPICS["depth_info"][1]}; empty: camera_info in the folder of depth'),
}
# For each parameter one argument; empty leaves it to params_file.
PARAMETERS = tuple(
    yaml.safe_load((SHARE / 'config' / 'depth.param.yaml').read_text())['/**']['ros__parameters']
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the nodes."""
    explained = 'explained in config/depth.param.yaml; empty: as in params_file'
    named = {name: ('', f'parameter {name}, {explained}') for name in PARAMETERS}
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text) in {**ARGUMENTS, **named}.items()
    ]
    warning = LogInfo(msg=WARNING, condition=IfCondition(LaunchConfiguration('large_data')))
    return LaunchDescription([*declared, warning, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """Make the nodes from the arguments."""
    given = {
        name: str(LaunchConfiguration(name).perform(context)) for name in (*ARGUMENTS, *PARAMETERS)
    }
    topics = _topics(given, str(context.launch_configurations.get('ros_namespace', '')))
    large = _is(given, 'large_data')
    common: dict[str, Any] = {
        'namespace': given['namespace'],
        'additional_env': {'FASTDDS_BUILTIN_TRANSPORTS': LARGE_DATA} if large else {},
        'output': 'screen',
    }
    return [make(given, topics, common) for make in (_depth, _cloud, _rviz)]


def _depth(given: dict[str, str], topics: dict[str, str], common: dict[str, Any]) -> Node:
    values = {name: yaml.safe_load(given[name]) for name in PARAMETERS if given[name]}
    if _is(given, 'reliable'):
        values[f'qos_overrides.{topics["image"]}.subscription.reliability'] = 'reliable'
    return Node(
        package=PACKAGE,
        executable='depth_node',
        name=given['name'],
        parameters=[given['params_file'], *([values] if values else []), *_clock(given)],
        remappings=[(here, topics[name]) for name, (here, _) in TOPICS.items()],
        respawn=_is(given, 'respawn'),
        respawn_delay=RESPAWN_S,
        **common,
    )


def _cloud(given: dict[str, str], topics: dict[str, str], common: dict[str, Any]) -> Node:
    return Node(
        package='depth_image_proc',
        executable='point_cloud_xyz_node',
        name='depth_image_proc',
        condition=IfCondition(given['depth_image_proc']),
        parameters=_clock(given),
        remappings=[
            ('image_rect', topics['depth']),
            # It resolves image_rect, then subscribes to the camera_info beside the result.
            (_beside(topics['depth']), topics['depth_info']),
            ('points', 'depth_image_proc/points'),
        ],
        **common,
    )


def _rviz(given: dict[str, str], topics: dict[str, str], common: dict[str, Any]) -> Node:
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        condition=IfCondition(given['rviz']),
        arguments=['-d', str(SHARE / 'config' / 'depth.rviz')],
        parameters=_clock(given),
        remappings=[
            # The display takes sensor_msgs/Image; beside a compressed topic lies the raw one.
            ('/image', topics['image'].removesuffix('/compressed')),
            *((f'/depth_node/{name}', topics[name]) for name in ('depth', 'points', 'preview')),
        ],
        **common,
    )


def _topics(given: dict[str, str], outer: str) -> dict[str, str]:
    """Return the full name of each topic; outer is the namespace of the including launch file."""
    inner = given['namespace']
    spaces = inner if inner.startswith('/') else f'{outer}/{inner}'
    space = ''.join(f'/{part}' for part in spaces.split('/') if part)

    def full(topic: str) -> str:
        own = f'{given["name"]}{topic[1:]}' if topic.startswith('~') else topic
        return own if own.startswith('/') else f'{space}/{own}'

    topics = {name: full(given[name]) for name in TOPICS}
    if not given['depth_info']:
        beside = _beside(topics['depth'])
        taken = beside == topics['camera_info']
        topics['depth_info'] = full(TOPICS['depth_info'][0]) if taken else beside
    return topics


def _beside(topic: str) -> str:
    """Return where image_transport expects the calibration of an image."""
    return f'{topic.rpartition("/")[0]}/camera_info'


def _clock(given: dict[str, str]) -> list[dict[str, bool]]:
    """Return the parameter for the clock, where it is given."""
    return [{'use_sim_time': _is(given, 'use_sim_time')}] if given['use_sim_time'] else []


def _is(given: dict[str, str], name: str) -> bool:
    """Read a switch as launch's IfCondition does."""
    return given[name].lower() in ('true', '1')
