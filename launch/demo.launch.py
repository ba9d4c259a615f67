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
Start the node and a source of images; all arguments of classify.launch.py count.

It ends when the source ends, or the node, unless that is to be started again: either alone shows
nothing, and whoever waits for results should see why.
"""

from __future__ import annotations

from typing import List, Optional

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler,
    Shutdown)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobilenetv2_ros.node.launch_arguments import BOOLEANS, find_namespaces, parse_value
from mobilenetv2_ros.resources import large_image_environment, share_folder
from mobilenetv2_ros.tools.image_source_parameters import SOURCE_PARAMETERS

ARGUMENTS = tuple(row for row in SOURCE_PARAMETERS if row.name in (
    'source', 'rate', 'encoding', 'size', 'image_transport'))


def generate_launch_description() -> LaunchDescription:
    """Include the node's launch file, which also declares image and namespace."""
    classify = str(share_folder() / 'launch' / 'classify.launch.py')
    return LaunchDescription([
        *(DeclareLaunchArgument(row.name, default_value=str(row.default), description=row.text)
          for row in ARGUMENTS),
        OpaqueFunction(function=check_arguments),
        RegisterEventHandler(OnProcessExit(on_exit=end_without_it)),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(classify)),
        OpaqueFunction(function=make_sources),
    ])


def make_sources(context: LaunchContext) -> List[LaunchDescriptionEntity]:
    """Make an image source beside each node; they talk, so they have the same transport."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    image = argument('image')
    large_images = BOOLEANS[argument('large_image_transport')]
    return [
        Node(
            package='mobilenetv2_ros', executable='image_source', name='image_source',
            namespace=namespace,
            parameters=[{row.name: ParameterValue(
                LaunchConfiguration(row.name), value_type=type(row.default))
                for row in ARGUMENTS}],
            remappings=[('image_raw', image)] if image else [],
            additional_env=large_image_environment() if large_images else None,
            output='screen', emulate_tty=True)
        for namespace in find_namespaces(argument('namespace'), argument('cameras'))]


def end_without_it(event: ProcessExited, context: LaunchContext) -> Optional[Shutdown]:
    """End everything with one of the processes; others may run in the same launch."""
    action = event.action
    if context.is_shutdown or not isinstance(action, Node) or (
            action.node_package != 'mobilenetv2_ros'):
        return None
    respawn = BOOLEANS[LaunchConfiguration('respawn').perform(context)]
    if respawn and action.node_executable == 'classifier_node':
        return None
    return Shutdown(reason=f'{action.node_executable} has ended')


def check_arguments(context: LaunchContext) -> None:
    """
    Refuse values that cannot be used, before anything runs that would be left behind.

    :raises RuntimeError: there is one; ``ros2 launch`` shows the text.
    """
    for row in ARGUMENTS:
        parse_value(row, LaunchConfiguration(row.name).perform(context))
