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
A camera that lends its images: ``lending_camera.py ENCODING WIDTH HEIGHT RATE``.

It does what the cameras of TROS do, through rcl, since rclpy cannot borrow: it borrows a message,
writes an image into it and publishes it. Image ``n`` has the stamp ``n`` seconds, the index ``n``
and the pixels of :func:`make_pixels` for ``n``; every other one is written from its end. A rate of
0 is as fast as it can. It begins when somebody subscribes, and SIGINT ends it.
"""

from __future__ import annotations

import ctypes
import itertools
import signal
import sys
import time
from typing import Any, Iterator, List, Tuple

import cv2
from hbm_img_msgs.msg import HbmMsg1080P
from mobilenetv2_ros.node import rcl
from mobilenetv2_ros.node.message_functions import find_address
import numpy as np
from numpy.typing import NDArray
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.type_support import check_for_type_support

BYTES_PER_PIXEL = {'nv12': 1.5, 'bgr8': 3, 'rgb8': 3, 'mono8': 1}
DISTINCT = 64
"""Images that are made; they come again and again."""


def make_pixels(number: int, encoding: str, width: int, height: int) -> NDArray[np.uint8]:
    """Make the data of an image, flat."""
    random = np.random.default_rng(number % DISTINCT)
    if encoding == 'jpeg':
        image = np.full((height, width, 3), random.integers(0, 256, 3), np.uint8)
        return np.asarray(cv2.imencode('.jpg', image)[1], np.uint8).reshape(-1)
    return random.integers(0, 256, int(width * height * BYTES_PER_PIXEL[encoding]), np.uint8)


class LendingCamera:
    """A publisher of loans."""

    def __init__(self, node: Any, encoding: str, width: int, height: int,
                 distinct: int = DISTINCT) -> None:
        """Create the publisher and make so many images."""
        check_for_type_support(HbmMsg1080P)
        self._type_support = find_address(type(HbmMsg1080P)._TYPE_SUPPORT)
        self._borrow = rcl.bind('rcl_borrow_loaned_message', 3)
        self._publish = rcl.bind('rcl_publish_loaned_message', 3)
        self._publisher = node.create_publisher(
            HbmMsg1080P, 'hbmem_img', qos_profile_sensor_data)
        self._head = encoding.encode(), width, height
        self._images = [make_pixels(one, encoding, width, height) for one in range(distinct)]

    def publish(self, number: int, stamp: Tuple[int, int]) -> None:
        """
        Borrow, write and publish; as the vendor does, the row's length is the width.

        :param stamp: seconds and nanoseconds.
        """
        pointer = self._publisher.handle.pointer
        message = ctypes.c_void_p()
        rcl.check(self._borrow(pointer, self._type_support, ctypes.byref(message)), 'borrow')
        assert message.value is not None
        if number % 2:
            self._write_head(message.value, number, stamp)
            self._write_pixels(message.value, number)
        else:
            self._write_pixels(message.value, number)
            self._write_head(message.value, number, stamp)
        rcl.check(self._publish(pointer, message, None), 'publish')

    def _write_head(self, address: int, number: int, stamp: Tuple[int, int]) -> None:
        encoding, width, height = self._head
        size = self._images[number % len(self._images)].size
        words = (ctypes.c_uint32 * 7).from_address(address)
        words[:] = [number, *stamp, height, width, size, width]
        ctypes.memmove(address + 28, encoding, len(encoding))  # no zero behind it

    def _write_pixels(self, address: int, number: int) -> None:
        pixels = self._images[number % len(self._images)]
        middle = pixels.size // 2
        halves = [(0, middle), (middle, pixels.size - middle)]
        for begin, size in halves if number % 2 else reversed(halves):
            ctypes.memmove(address + 40 + begin, pixels.ctypes.data + begin, size)


def count_at_rate(node: Any, topic: str, rate: float) -> Iterator[int]:
    """
    Count from 1 on, from when somebody subscribes a topic until SIGINT.

    :param rate: numbers a second, 0 for as many as are asked for.
    """
    # No threading.Event: if the signal strikes within its wait(), its set() waits for ever.
    stopped: List[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    while not node.count_subscribers(topic) and not stopped:
        time.sleep(0.01)
    due = time.monotonic()
    for number in itertools.count(1):
        time.sleep(max(0.0, due - time.monotonic()))
        if stopped:
            return
        yield number
        due += 1 / rate if rate else 0.0


def main() -> None:
    """Publish as the command line says."""
    encoding = sys.argv[1]
    width, height, rate = map(int, sys.argv[2:])
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('lending_camera')
    camera = LendingCamera(node, encoding, width, height)
    for number in count_at_rate(node, 'hbmem_img', rate):
        camera.publish(number, (number, 0))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main()
