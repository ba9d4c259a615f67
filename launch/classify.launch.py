# Copyright 2026 mobilenetv2_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
Start the classifier node; see ``ros2 launch mobilenetv2_ros classify.launch.py --show-args``.

Each of the node's parameters is an argument. One that is not given is as in ``params_file``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from mobilenetv2_ros.node.launch_arguments import (
    BOOLEANS, find_cameras, find_namespaces, parse_value)
from mobilenetv2_ros.node.parameters import AT_ANY_TIME, ParameterRow, PARAMETERS, Value
from mobilenetv2_ros.resources import (
    CLASSIFIER_PROFILE, large_image_environment, share_folder, shared_memory_environment)

IMAGE_TOPICS = 'image_raw', 'hbmem_img'
"""Of the node; which one it subscribes depends on image_transport."""

NODE_PARAMETERS = (
    *PARAMETERS,
    ParameterRow('use_sim_time', False, 'Use the time of /clock.', changes=AT_ANY_TIME),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the node with those that were given."""
    return LaunchDescription([
        DeclareLaunchArgument(
            'image', default_value='',
            description='Image topic. Empty: image_raw, or hbmem_img with image_transport '
            'shared_mem. With compressed, /compressed is added to it unless it ends so.'),
        DeclareLaunchArgument(
            'params_file', default_value=str(share_folder() / 'config' / 'classifier.yaml'),
            description='YAML file for the parameters that are not given as arguments.'),
        *map(declare_parameter_argument, NODE_PARAMETERS),
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and its topics.'),
        DeclareLaunchArgument(
            'log_level', default_value='info', description='Minimum severity to log.',
            choices=['debug', 'info', 'warn', 'error', 'fatal']),
        DeclareLaunchArgument(
            'respawn', default_value='false',
            description='Start the node again 2 s after it ends.',
            choices=list(BOOLEANS)),
        DeclareLaunchArgument(
            'cameras', default_value='',
            description='Camera names, such as [front,rear]: one node per name, in a namespace of '
            'that name below namespace. Empty: a single node.'),
        DeclareLaunchArgument(
            'one_process', default_value='false', choices=list(BOOLEANS),
            description='Run the nodes of all cameras in one process, which takes less memory, '
            'instead of one each.'),
        DeclareLaunchArgument(
            'large_image_transport', default_value='true', choices=list(BOOLEANS),
            description='Let Fast DDS pass large images through shared memory; the camera needs '
            'config/fastdds_large_images.xml.'),
        OpaqueFunction(function=make_nodes),
    ])


def declare_parameter_argument(row: ParameterRow) -> DeclareLaunchArgument:
    """Make the argument of a parameter: empty for the value in ``params_file``."""
    choices = list(BOOLEANS) if isinstance(row.default, bool) else list(row.choices)
    return DeclareLaunchArgument(
        row.name, default_value='', choices=['', *choices] if choices else None,
        description=f'{row.text} Not given: as in params_file.')


def make_nodes(context: LaunchContext) -> List[LaunchDescriptionEntity]:
    """
    Make the nodes, all arguments known.

    :raises RuntimeError: an argument is not usable; ``ros2 launch`` shows the text.
    """
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    params_file = Path(argument('params_file')).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"params_file '{params_file}' does not exist; expected a YAML file")
    given: Dict[str, Value] = {
        row.name: parse_value(row, argument(row.name))
        for row in NODE_PARAMETERS if argument(row.name)}
    remappings = [(topic, argument('image')) for topic in IMAGE_TOPICS if argument('image')]
    environment: Dict[str, str] = {}
    if given.get('image_transport') == 'shared_mem':
        environment = shared_memory_environment()
    elif BOOLEANS[argument('large_image_transport')]:
        environment = large_image_environment(CLASSIFIER_PROFILE)

    def make_node(namespace: str, **options: Any) -> Node:
        return Node(
            package='mobilenetv2_ros', executable='classifier_node', namespace=namespace,
            parameters=[str(params_file), given], remappings=remappings,
            ros_arguments=['--log-level', argument('log_level')],
            additional_env=environment or None,
            output='screen', emulate_tty=True,
            respawn=BOOLEANS[argument('respawn')], respawn_delay=2.0, **options)

    namespace, cameras = argument('namespace'), argument('cameras')
    if cameras and BOOLEANS[argument('one_process')]:
        # Without a name: launch_ros gives parameters to all nodes of the process then.
        return [make_node(namespace, arguments=['--cameras', *find_cameras(cameras)])]
    return [make_node(one, name='mobilenetv2') for one in find_namespaces(namespace, cameras)]
