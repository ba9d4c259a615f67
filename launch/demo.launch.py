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

"""Start the node and a source of pictures; all arguments of classify.launch.py count."""

from __future__ import annotations

from typing import List

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobilenetv2_ros.launch_arguments import BOOLEANS, find_namespaces
from mobilenetv2_ros.resources import large_image_environment, share_folder

SOURCE_PARAMETERS = (
    ('source', str, '', 'A photo, several separated by commas, a folder of photos, a video file, '
     "or a camera: its number or device. Empty: the package's photos."),
    ('rate', float, '1.0', 'Pictures a second.'),
    ('encoding', str, 'bgr8', 'Pixel format of the pictures, such as bgr8, nv12, yuyv or mono8.'),
    ('size', str, '', 'WIDTHxHEIGHT that pictures are brought to. Empty: as they are.'),
    ('image_transport', str, 'raw', 'raw or compressed, for the source and the node.'),
)


def generate_launch_description() -> LaunchDescription:
    """Include the node's launch file, which also declares image and namespace."""
    classify = str(share_folder() / 'launch' / 'classify.launch.py')
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, _, default, description in SOURCE_PARAMETERS),
        OpaqueFunction(function=check_rate),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(classify)),
        OpaqueFunction(function=make_sources),
    ])


def make_sources(context: LaunchContext) -> List[LaunchDescriptionEntity]:
    """Make a picture source beside each node; they talk, so they have the same transport."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    large_images = BOOLEANS[argument('large_image_transport')]
    return [
        Node(
            package='mobilenetv2_ros', executable='image_source', name='image_source',
            namespace=namespace,
            parameters=[{
                name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                for name, kind, _, _ in SOURCE_PARAMETERS}],
            remappings=[('image_raw', argument('image'))],
            additional_env=large_image_environment() if large_images else None,
            output='screen', emulate_tty=True)
        for namespace in find_namespaces(argument('namespace'), argument('cameras'))]


def check_rate(context: LaunchContext) -> None:
    """
    Refuse a rate that is no number, before anything runs that would be left behind.

    :raises RuntimeError: it is none; ``ros2 launch`` shows the text.
    """
    rate = LaunchConfiguration('rate').perform(context)
    try:
        float(rate)
    except ValueError:
        raise RuntimeError(f"rate '{rate}' is not usable; expected a number such as 1.0") from None
