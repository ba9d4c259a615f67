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
The executable ``classifier_node``: a node that brings itself up, until a signal ends it.

With ``--cameras`` it is one node for each camera, all in one process: each with its own namespace,
parameters, model, threads and life.
"""

from __future__ import annotations

import argparse
from functools import partial
import os
import sys
from typing import List, Optional, TYPE_CHECKING

from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.environment import find_problems
from mobilenetv2_ros.node.camera_names import find_fault
from mobilenetv2_ros.node.start_up import make_node, run_nodes, run_program

if TYPE_CHECKING:
    from mobilenetv2_ros.node.classifier_node import ClassifierNode
    from mobilenetv2_ros.node.executor import Spinner

_PROGRAM = 'classifier_node'

_EXAMPLES = f"""

examples:
  {_PROGRAM} --ros-args -p top_k:=3
  {_PROGRAM} --cameras front rear --ros-args -p top_k:=3
"""


def main(args: Optional[List[str]] = None) -> int:
    """
    Run the node until a signal ends it.

    :param args: command line without the program's name, by default that of the process.
    :returns: exit code, 0 after SIGINT, SIGTERM or SIGHUP, 1 if no node could start.
    """
    return run_program(
        _PROGRAM, 'Classify the images of a ROS 2 topic, or of several cameras.',
        _describe_parameters, _run, args, _add_options)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--cameras', nargs='+', action=_Cameras, default=[], metavar='NAME',
        help='one node for each camera, in a namespace of that name')


class _Cameras(argparse.Action):

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace,
                 names: object, option: Optional[str] = None) -> None:
        if fault := find_fault(names):
            raise argparse.ArgumentError(self, fault)
        setattr(options, self.dest, names)


def _describe_parameters() -> str:
    from mobilenetv2_ros.node.parameters import describe_rows, PARAMETERS

    return describe_rows(PARAMETERS) + _EXAMPLES


def _run(options: argparse.Namespace) -> int:
    from mobilenetv2_ros.node.classifier_node import ClassifierNode

    ending = CancelToken()
    makers = {_PROGRAM: partial(ClassifierNode, ending)}
    if options.cameras:
        namespace = _find_namespace()
        if namespace is None:
            return 1
        # Arguments of a node go before those of the process, where __ns may stand, too.
        makers = {
            f'{_PROGRAM}: camera {name}': partial(ClassifierNode, ending, cli_args=[
                '--ros-args', '-r', f'__ns:={namespace.rstrip("/")}/{name}'])
            for name in options.cameras}
    return run_nodes(makers, _bring_up, cancel=ending.cancel)


def _find_namespace() -> Optional[str]:
    """Find the namespace that the command line names; only a node can tell."""
    from mobilenetv2_ros.node.classifier_node import NAME
    from rclpy.node import Node

    node = make_node(_PROGRAM, lambda: Node(
        NAME, enable_rosout=False, start_parameter_services=False))
    if node is None:
        return None
    namespace: str = node.get_namespace()
    node.destroy_node()
    return namespace


def _bring_up(node: ClassifierNode, spinner: Spinner) -> bool:
    """Configure and activate, if it is to be; the node itself says what went wrong."""
    from rclpy.lifecycle import TransitionCallbackReturn

    for problem in find_problems(os.environ):
        node.get_logger().warning(problem)
    if not node.autostart:
        node.get_logger().info('autostart is false: waiting to be configured and activated')
    return not node.autostart or all(
        transition() == TransitionCallbackReturn.SUCCESS
        for transition in (node.trigger_configure, node.trigger_activate))


if __name__ == '__main__':
    sys.exit(main())
