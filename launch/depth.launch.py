"""
Start the depth node, and rviz or depth_image_proc beside it.

::

    ros2 launch depth_prune_ros depth.launch.py image:=/camera/image_raw \
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
    'use_sim_time': ('false', 'true: time comes from /clock, as a bag player publishes it'),
    'reliable': ('false', 'true: take images reliably; for those above 512 KB'),
    'rviz': ('false', 'true: start rviz2 with config/depth.rviz'),
    'depth_image_proc': ('false', 'true: a cloud by depth_image_proc, on depth_image_proc/points'),
    'large_data': ('false', 'true: the LARGE_DATA transport, if the whole graph has it'),
    **TOPICS,
}
# For each parameter one argument; empty leaves it to params_file.
PARAMETERS = tuple(
    yaml.safe_load((SHARE / 'config' / 'depth.param.yaml').read_text())['/**']['ros__parameters']
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the nodes."""
    named = {name: ('', f'parameter {name}; empty: as in params_file') for name in PARAMETERS}
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text) in {**ARGUMENTS, **named}.items()
    ]
    warning = LogInfo(msg=WARNING, condition=IfCondition(LaunchConfiguration('large_data')))
    return LaunchDescription([*declared, warning, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """Make the nodes from the arguments."""
    given = {name: _value(context, name) for name in (*ARGUMENTS, *PARAMETERS)}
    simulated = {'use_sim_time': given['use_sim_time'].lower() == 'true'}
    large = given['large_data'].lower() == 'true'
    common: dict[str, Any] = {
        'namespace': given['namespace'],
        'additional_env': {'FASTDDS_BUILTIN_TRANSPORTS': LARGE_DATA} if large else {},
        'output': 'screen',
    }
    moved = [(here, given[name]) for name, (here, _) in TOPICS.items()]
    return [
        Node(
            package=PACKAGE,
            executable='depth_node',
            name=given['name'],
            parameters=[given['params_file'], {**_parameters(given), **simulated}],
            remappings=moved,
            **common,
        ),
        Node(
            package='depth_image_proc',
            executable='point_cloud_xyz_node',
            name='depth_image_proc',
            condition=IfCondition(given['depth_image_proc']),
            parameters=[simulated],
            remappings=[
                ('image_rect', _output(given, 'depth')),
                ('camera_info', _output(given, 'depth_info')),
                ('points', 'depth_image_proc/points'),
            ],
            **common,
        ),
        Node(
            package='rviz2',
            executable='rviz2',
            name='rviz2',
            condition=IfCondition(given['rviz']),
            arguments=['-d', str(SHARE / 'config' / 'depth.rviz')],
            parameters=[simulated],
            remappings=[
                ('/image', given['image']),
                *((f'/depth_node/{name}', _output(given, name)) for name in ('depth', 'preview')),
                ('/depth_node/points', _output(given, 'points')),
            ],
            **common,
        ),
    ]


def _parameters(given: dict[str, str]) -> dict[str, Any]:
    """Return the parameters that were given as arguments, each in its own type."""
    values = {name: yaml.safe_load(given[name]) for name in PARAMETERS if given[name]}
    if given['reliable'].lower() == 'true':
        topic = given['image'] if given['image'].startswith('/') else f'/{given["image"]}'
        values[f'qos_overrides.{topic}.subscription.reliability'] = 'reliable'
    return values


def _output(given: dict[str, str], name: str) -> str:
    """Return the topic of an output as other nodes of the namespace name it."""
    return given[name].replace('~', given['name'])


def _value(context: LaunchContext, name: str) -> str:
    return str(LaunchConfiguration(name).perform(context))
