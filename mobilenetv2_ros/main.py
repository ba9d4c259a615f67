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

"""The executable ``classifier_node``: one node, its executor, and signals that end it cleanly."""

from __future__ import annotations

import sys
import textwrap
import threading
from typing import List, Optional, TYPE_CHECKING

from mobilenetv2_ros.command_line import check_command_line
from mobilenetv2_ros.stop_signals import call_on_stop_signal, hold_stop_signals

if TYPE_CHECKING:
    from mobilenetv2_ros.classifier_node import ClassifierNode

_PROGRAM = 'classifier_node'
_DESCRIPTION = 'Classify the pictures of a ROS 2 topic.'


def main(args: Optional[List[str]] = None) -> int:
    """
    Run the node until a signal ends it.

    :param args: command line without the program's name, by default that of the process.
    :returns: exit code, 0 after SIGINT, SIGTERM or SIGHUP, 1 if the node could not start.
    """
    hold_stop_signals()
    # Only now, with signals held, what takes its time to import.
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import remove_ros_args

    from mobilenetv2_ros.process_setup import set_up_process

    set_up_process()
    command_line = sys.argv if args is None else [_PROGRAM, *args]
    try:
        rclpy.init(args=command_line, signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, UnicodeError) as error:
        return _fail(
            'ROS cannot be initialized; check the ROS arguments, ROS_LOG_DIR and, with security, '
            f'ROS_SECURITY_KEYSTORE: {error}')
    try:
        check_command_line(
            _PROGRAM, _DESCRIPTION, _describe_parameters(), remove_ros_args(command_line)[1:])
        return _run()
    finally:
        rclpy.try_shutdown()


def _describe_parameters() -> str:
    from mobilenetv2_ros.parameters import PARAMETERS

    lines = ['ROS parameters, each given as -p NAME:=VALUE after --ros-args:']
    for row in PARAMETERS:
        default = f'{row.default}'.lower() if isinstance(row.default, bool) else repr(row.default)
        lines += textwrap.wrap(
            f'{row.name}: {row.help} ({default})', 95, initial_indent='  ',
            subsequent_indent='      ', break_on_hyphens=False)
    return '\n'.join([*lines, '', 'example:', f'  {_PROGRAM} --ros-args -p top_k:=3'])


def _run() -> int:
    from rclpy.exceptions import ParameterException

    from mobilenetv2_ros.classifier_node import ClassifierNode
    from mobilenetv2_ros.spinning import Spinner

    ending = threading.Event()
    try:
        node = ClassifierNode(ending.is_set)
    except (ParameterException, ValueError) as error:
        return _fail(f'parameters are not usable: {error}')
    except RuntimeError as error:  # of rcl: keys of SROS 2 that are missing, for example
        return _fail(f'ROS lets no node start: {" ".join(str(error).split())}')
    spinner = Spinner(node)

    # What waits for signals outlives the node. If it knew the node, rclpy's part of it would too,
    # and the middleware would leave its shared memory behind.
    logger = node.get_logger()

    def stop(reason: str) -> None:
        logger.info(f'{reason}: stopping')
        ending.set()
        spinner.stop()

    call_on_stop_signal(stop)
    try:
        if node.autostart and not _bring_up(node) and not spinner.is_stopped:
            return 1
        spinner.spin()
        return 0
    finally:
        spinner.close()
        node.destroy_node()


def _bring_up(node: ClassifierNode) -> bool:
    """Configure and activate; the node itself says what went wrong."""
    from rclpy.lifecycle import TransitionCallbackReturn

    return all(transition() == TransitionCallbackReturn.SUCCESS
               for transition in (node.trigger_configure, node.trigger_activate))


def _fail(sentence: str) -> int:
    print(f'{_PROGRAM}: {sentence}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
