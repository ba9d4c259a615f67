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
A camera on another machine: ``remote_camera.py ENCODING WIDTHxHEIGHT RATE RELIABILITY``.

Publishes the same photo again and again, until its standard input ends, with its number in the
stamp. Prints lines ``sent NUMBER TIME``, ``result NUMBER TIME`` and ``matched COUNT TIME``.
"""

from __future__ import annotations

from array import array
import sys
import threading
import time
from typing import Any, Union

from mobilenetv2_ros.tools.encode import encode
from mobilenetv2_ros.tools.sources import parse_size, read_image, resize
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from support.node_process import CHECKOUT
from support.ros_peer import make_compressed
from vision_msgs.msg import Classification


def make_sample(encoding: str, size: str) -> Union[Image, CompressedImage]:
    """Make the message: ``jpeg`` or an encoding of raw images."""
    bgr = resize(read_image(CHECKOUT / 'photos' / 'coffee.png'), parse_size(size))
    if encoding == 'jpeg':
        return make_compressed(bgr)
    encoded = encode(bgr, encoding)
    return Image(height=encoded.height, width=encoded.width, encoding=encoding,
                 step=encoded.step, data=array('B', encoded.data))


def report(word: str, number: int) -> None:
    print(word, number, time.monotonic(), flush=True)


def report_result(result: Classification) -> None:
    report('result', result.header.stamp.sec)


class RemoteCamera(Node):
    """Publishes and listens."""

    def __init__(self, encoding: str, size: str, rate: str, reliability: str) -> None:
        super().__init__('camera')
        self._image: Any = make_sample(encoding, size)
        self._number = 0
        self._matched = 0
        topic = 'image_raw/compressed' if encoding == 'jpeg' else 'image_raw'
        self._publisher = self.create_publisher(type(self._image), topic, QoSProfile(
            depth=5, reliability=ReliabilityPolicy[reliability.upper()]))
        self.create_subscription(
            Classification, '/mobilenetv2/classification', report_result, 100)
        self.create_timer(1 / float(rate), self._send)

    def _send(self) -> None:
        matched = self._publisher.get_subscription_count()
        if matched != self._matched:
            self._matched = matched
            report('matched', matched)
        if matched:
            self._number += 1
            self._image.header.stamp.sec = self._number
            report('sent', self._number)
            self._publisher.publish(self._image)


def shut_down_with_input() -> None:
    sys.stdin.read()
    rclpy.shutdown()


def main() -> None:
    """Run until the standard input ends."""
    rclpy.init(args=[])
    node = RemoteCamera(*sys.argv[1:])
    threading.Thread(target=shut_down_with_input, daemon=True).start()
    try:
        rclpy.spin(node)
    except ExternalShutdownException:
        pass


if __name__ == '__main__':
    main()
