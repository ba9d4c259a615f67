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

"""The launch files as ros2 launch runs them: images in, classifications out, clean ends."""

from __future__ import annotations

from contextlib import contextmanager
import os
from pathlib import Path
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple
import unittest
from unittest.mock import patch

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
import launch
import launch_testing
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from support.checkout import CHECKOUT
from vision_msgs.msg import Classification

PHOTO = CHECKOUT / 'photos' / 'goldfish.jpg'
PATIENCE_SECONDS = 60.0
ENVIRONMENT = {'ROS_DOMAIN_ID': str(find_free_domain()), **localhost_environment()}

SOURCE = {'source': str(PHOTO), 'rate': '5', 'size': '224x224', 'encoding': 'nv12'}
OF_THE_NODE = {'namespace': 'front', 'image': 'camera/image', 'top_k': '3'}
OF_TWO_NODES = {
    'cameras': '[front,rear]', 'image': 'camera/image', 'top_k': '3', 'score_threshold': '0',
    'log_level': 'warn', 'large_image_transport': 'false'}
NODES = {
    'classify': {'/front/mobilenetv2'}, 'demo': {'/front/mobilenetv2', '/front/image_source'},
    'cameras': {f'/{camera}/{node}' for camera in ('front', 'rear')
                for node in ('mobilenetv2', 'image_source')}}
NODES['one_process'] = NODES['cameras']
PROCESSES = {'classify': 2, 'demo': 2, 'cameras': 4, 'one_process': 3}


def is_installed() -> bool:
    """Tell whether launch files find the package's executables."""
    try:
        return bool(get_package_prefix('mobilenetv2_ros'))
    except (OSError, PackageNotFoundError):  # OSError: no environment of ROS at all
        return False


def include(name: str, arguments: Dict[str, str]) -> Any:
    """Include one of the package's launch files."""
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    return launch.actions.IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(CHECKOUT / 'launch' / f'{name}.launch.py')),
        launch_arguments=list(arguments.items()))


def start_source() -> Any:
    """Start the image source without its launch file."""
    parameters = [word for name, value in {**SOURCE, 'rate': '5.0'}.items()
                  for word in ('-p', f'{name}:={value}')]
    return launch.actions.ExecuteProcess(cmd=[
        sys.executable, '-m', 'mobilenetv2_ros.tools.image_source', '--ros-args',
        '-r', '__ns:=/front', '-r', 'image_raw:=camera/image', *parameters])


@pytest.mark.launch_test
@pytest.mark.skipif(not is_installed(), reason='mobilenetv2_ros is not in the ament index')
@launch_testing.parametrize('started', ['classify', 'demo', 'cameras', 'one_process'])
def generate_test_description(started: str) -> Any:
    """
    Start a launch file, or the demo with two cameras, in one process or two.

    The file classify needs a source beside it.
    """
    from launch_testing.actions import ReadyToTest

    actions = {
        'classify': [include('classify', OF_THE_NODE), start_source()],
        'demo': [include('demo', {**SOURCE, **OF_THE_NODE})],
        'cameras': [include('demo', {**SOURCE, **OF_TWO_NODES})],
        'one_process': [include('demo', {**SOURCE, **OF_TWO_NODES, 'one_process': 'true'})]}
    return launch.LaunchDescription([
        *(launch.actions.SetEnvironmentVariable(name, value)
          for name, value in ENVIRONMENT.items()),
        *actions[started], ReadyToTest()])


@contextmanager
def listening(on_image: Callable[[Image], None],
              on_classification: Callable[[Classification], None]) -> Iterator[Any]:
    """Subscribe among the launched nodes; hands out a node and what lets messages arrive."""
    context = Context()
    with patch.dict(os.environ, ENVIRONMENT):
        rclpy.init(context=context)
    node = Node('listener', context=context)
    node.create_subscription(Image, '/front/camera/image', on_image, qos_profile_sensor_data)
    node.create_subscription(
        Classification, '/front/mobilenetv2/classification', on_classification, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield node, executor.spin_once
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


class WhileRunning(unittest.TestCase):
    """What comes out while everything runs."""

    def test_nodes_and_their_environment(self, started: str, proc_info: Any) -> None:
        """All nodes have their names; the transport for large images is given as asked for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with listening(lambda image: None, lambda result: None) as (node, spin_once):
            while not NODES[started] <= {
                    f'{namespace.rstrip("/")}/{name}'
                    for name, namespace in node.get_node_names_and_namespaces()}:
                self.assertLess(time.monotonic(), deadline, 'nodes are missing')
                spin_once(timeout_sec=0.2)
        for name in proc_info.process_names():
            if 'classifier_node' in name:
                environment = Path(f'/proc/{proc_info[name].pid}/environ').read_text()
                self.assertEqual(
                    'fastdds_classifier' in environment, started in ('classify', 'demo'))

    def test_images_are_classified(self) -> None:
        """The first class is right, the header is the image's, top_k is respected."""
        images: Dict[Tuple[int, int], Image] = {}
        results: List[Classification] = []

        def keep(image: Image) -> None:
            images[image.header.stamp.sec, image.header.stamp.nanosec] = image

        deadline = time.monotonic() + PATIENCE_SECONDS
        with listening(keep, results.append) as (_, spin_once):
            while not (pair := self.find_pair(images, results)):
                self.assertLess(time.monotonic(), deadline, 'no classification came')
                spin_once(timeout_sec=0.2)
        image, classification = pair
        self.assertEqual(classification.header, image.header)
        self.assertEqual((image.encoding, image.width, image.height), ('nv12', 224, 224))
        self.assertEqual(classification.results[0].class_id, 'goldfish')
        self.assertEqual(len(classification.results), 3)

    @staticmethod
    def find_pair(images: Dict[Tuple[int, int], Image],
                  results: List[Classification]) -> Any:
        """Find a classification whose image has come, too."""
        for result in results:
            image = images.get((result.header.stamp.sec, result.header.stamp.nanosec))
            if image is not None:
                return image, result
        return None


@launch_testing.post_shutdown_test()
class AfterShutdown(unittest.TestCase):
    """How it ends when launch has sent SIGINT, as it does for Ctrl-C."""

    def test_exit_codes(self, started: str, proc_info: Any) -> None:
        """All processes ended with exit code 0."""
        self.assertEqual(len(proc_info.processes()), PROCESSES[started])
        launch_testing.asserts.assertExitCodes(proc_info)

    def test_no_traceback(self, proc_output: Any) -> None:
        """Nobody was interrupted in the middle of something."""
        for output in proc_output:
            self.assertNotIn(b'Traceback', output.text)
