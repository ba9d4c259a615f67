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

"""The program ``image_source``: one node that publishes pictures, until the last or a signal."""

from __future__ import annotations

import sys
from typing import List, Optional

from mobilenetv2_ros.command_line import check_command_line
from mobilenetv2_ros.stop_signals import call_on_stop_signal, hold_stop_signals

_DESCRIPTION = 'Publish pictures from files, a folder, a video or a camera as a ROS 2 topic.'

_HELP = """\
ROS parameters, each given as -p NAME:=VALUE after --ros-args:
  source             a photo, several separated by commas, a folder of photos, a video file,
                     or a camera: its number or device (the photos of the package)
  rate               pictures a second, 0.01 to 1000.0 (1.0)
  encoding           pixel format, such as bgr8, nv12, yuyv, mono8 or bayer_rggb8 (bgr8)
  size               WIDTHxHEIGHT (each picture's own)
  frame_id           of the headers (camera)
  loop               start again after the last picture (true)
  image_transport    raw: image_raw, or compressed: image_raw/compressed (raw)
  compressed_format  jpeg or png (jpeg)

example:
  image_source --ros-args -p source:=/dev/video0 -p rate:=30.0 -p size:=640x480 -p encoding:=nv12
"""


def main(args: Optional[List[str]] = None) -> int:
    """
    Publish until there are no more pictures or a signal ends it.

    :param args: command line, by default that of the process.
    :returns: exit code, 0 after the last picture or a signal, 1 after an error.
    """
    hold_stop_signals()
    # Only now, with signals held, what takes its time to import.
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from rclpy.utilities import remove_ros_args

    from mobilenetv2_ros.process_setup import set_up_process

    command_line = sys.argv if args is None else ['image_source', *args]
    try:
        rclpy.init(args=command_line, signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, UnicodeError) as error:
        return _fail(f'ROS arguments are not usable: {error}')
    try:
        check_command_line(
            'image_source', _DESCRIPTION, _HELP, remove_ros_args(command_line)[1:])
        set_up_process()
        return _run()
    finally:
        rclpy.try_shutdown()


def _run() -> int:
    from rclpy.exceptions import ParameterException

    from mobilenetv2_ros.spinning import Spinner
    from mobilenetv2_ros.tools.image_source_node import ImageSource

    try:
        node = ImageSource()
    except (ParameterException, ValueError) as error:
        return _fail(str(error))
    except RuntimeError as error:  # of rcl: keys of SROS 2 that are missing, for example
        return _fail(f'ROS lets no node start: {" ".join(str(error).split())}')
    spinner = Spinner(node)
    call_on_stop_signal(lambda signal_name: spinner.stop())
    node.start(on_end=spinner.stop)
    try:
        spinner.spin()
    finally:
        spinner.close()
        node.destroy_node()
    return _fail(node.failure) if node.failure else 0


def _fail(sentence: str) -> int:
    print(f'image_source: {sentence}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
