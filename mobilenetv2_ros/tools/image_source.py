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

"""The program ``image_source``: one node that publishes images, until the last or a signal."""

from __future__ import annotations

import argparse
import sys
from typing import List, Optional, TYPE_CHECKING

from mobilenetv2_ros.node.start_up import run_nodes, run_program

if TYPE_CHECKING:
    from mobilenetv2_ros.node.executor import Spinner
    from mobilenetv2_ros.tools.image_source_node import ImageSource

_PROGRAM = 'image_source'

_EXAMPLE = """

example:
  image_source --ros-args -p source:=/dev/video0 -p rate:=30.0 -p size:=640x480 -p encoding:=nv12
"""


def main(args: Optional[List[str]] = None) -> int:
    """
    Publish until there are no more images or a signal ends it.

    :param args: command line without the program's name, by default that of the process.
    :returns: exit code, 0 after the last image or a signal, 1 after an error.
    """
    return run_program(
        _PROGRAM, 'Publish images from files, a folder, a video or a camera as a ROS 2 topic.',
        _describe_parameters, _run, args)


def _describe_parameters() -> str:
    from mobilenetv2_ros.node.parameters import describe_rows
    from mobilenetv2_ros.tools.image_source_parameters import SOURCE_PARAMETERS

    return describe_rows(SOURCE_PARAMETERS) + _EXAMPLE


def _run(options: argparse.Namespace) -> int:
    from mobilenetv2_ros.tools.image_source_node import ImageSource

    return run_nodes({_PROGRAM: ImageSource}, _start, _finish)


def _start(node: ImageSource, spinner: Spinner) -> bool:
    node.start(on_end=spinner.stop)
    return True


def _finish(node: ImageSource) -> int:
    if node.failure:
        node.get_logger().fatal(node.failure)  # who listens to /rosout is told too
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
