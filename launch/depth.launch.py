"""
Start the depth node.

::

    ros2 launch depth_prune_ros depth.launch.py image:=/camera/image_raw \
        camera_info:=/camera/camera_info
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = 'depth_prune_ros'
# Images above 512 KB lose frames in the default shared memory segment of Fast DDS when taken best
# effort. This transport does not, but nodes with it and nodes without it never find each other:
# set it for the whole graph (FASTDDS_BUILTIN_TRANSPORTS) or not at all.
LARGE_DATA = 'LARGE_DATA?max_msg_size=4MB&sockets_size=4MB&non_blocking=true'


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    parameters = Path(get_package_share_directory(PACKAGE)) / 'config' / 'depth.param.yaml'
    arguments = {
        'namespace': ('', 'namespace of the node and its topics'),
        'image': ('image', 'topic of the rectified camera image'),
        'camera_info': ('camera_info', 'topic of its calibration'),
        'params_file': (str(parameters), 'file with the parameters'),
        'model': ('', 'model file; empty: as params_file says'),
        'large_data': ('false', 'true: the LARGE_DATA transport, if the whole graph has it'),
    }
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text) in arguments.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=depth_node)])


def depth_node(context: LaunchContext) -> list[Node]:
    """Make the node from the arguments."""
    value = {name: _value(context, name) for name in ('model', 'namespace', 'large_data')}
    parameters: list[Any] = [LaunchConfiguration('params_file')]
    if value['model']:
        parameters.append({'model': value['model']})
    large = value['large_data'].lower() == 'true'
    return [
        Node(
            package=PACKAGE,
            executable='depth_node',
            name='depth_node',
            namespace=value['namespace'],
            parameters=parameters,
            remappings=[(name, LaunchConfiguration(name)) for name in ('image', 'camera_info')],
            additional_env={'FASTDDS_BUILTIN_TRANSPORTS': LARGE_DATA} if large else {},
            output='screen',
        )
    ]


def _value(context: LaunchContext, name: str) -> str:
    return str(LaunchConfiguration(name).perform(context))
