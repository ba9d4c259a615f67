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

"""A camera beside what a program does otherwise."""

from __future__ import annotations

import threading
from typing import Any, Callable

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image


class CameraThread:
    """A thread that publishes on ``image_raw`` until it is closed."""

    def __init__(self, domain: int, qos: QoSProfile, period: float,
                 make: Callable[[], Any]) -> None:
        """
        Start it.

        :param period: seconds between two images.
        :param make: returns the next image, as a message or serialized.
        """
        self._period = period
        self._make = make
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self._node = Node('camera', context=self._context, start_parameter_services=False)
        self._publisher = self._node.create_publisher(Image, 'image_raw', qos)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stopped.set()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _run(self) -> None:
        while not self._stopped.wait(self._period):
            self._publisher.publish(self._make())
