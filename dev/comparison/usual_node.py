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
A classifier node the way most people write one: what ``compare.py node`` compares with.

Typed subscription, SingleThreadedExecutor, OpenCV and numpy into new arrays, inference in the
callback with the interpreter lock held, messages made anew. Nothing is tuned; it is no part of
the product.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
import sys
from typing import Any, List
from unittest import mock

import cv2
from mobilenetv2_ros.inference.backends.registry import open_backend
from mobilenetv2_ros.inference.labels import read_labels
from mobilenetv2_ros.inference.ranking import softmax
from mobilenetv2_ros.inference.score_meaning import guess_score_type
from mobilenetv2_ros.resources import find_labels
from mobilenetv2_ros.stop_signals import hold_stop_signals, release_stop_signals
import numpy as np
from numpy.typing import NDArray
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from usual_conversion import convert_to_nv12
from vision_msgs.msg import Classification, ObjectHypothesis


class UsualNode(Node):
    """Subscribe, convert, infer, publish, all in one callback."""

    def __init__(self, model_path: Path) -> None:
        """Open the model."""
        super().__init__('mobilenetv2')
        with mock.patch.object(ctypes, 'CDLL', ctypes.PyDLL):  # all calls hold the lock
            self._backend = open_backend(model_path).backend
        self._session = self._backend.open_session()
        self._names = read_labels(find_labels('')).names
        self._publisher = self.create_publisher(Classification, '~/classification', 10)
        self.create_subscription(Image, 'image_raw', self._on_image, qos_profile_sensor_data)

    def _on_image(self, message: Image) -> None:
        nv12 = convert_to_nv12(_to_bgr(message))
        self._session.input.y[:] = nv12[:224]
        self._session.input.uv[:] = nv12[224:].reshape(112, 112, 2)
        scores = self._session.run(1.0)[-1000:]
        probabilities = (
            scores if guess_score_type([scores], 0.0).are_probabilities else softmax(scores))
        best = np.argsort(-probabilities)[:5]
        result = Classification(header=message.header)
        for index in best:
            result.results.append(ObjectHypothesis(
                class_id=self._names[index], score=float(probabilities[index])))
        self._publisher.publish(result)


def _to_bgr(message: Image) -> NDArray[Any]:
    data = np.frombuffer(message.data, np.uint8)
    if message.encoding == 'nv12':
        return cv2.cvtColor(
            data.reshape(message.height * 3 // 2, message.width), cv2.COLOR_YUV2BGR_NV12)
    return data.reshape(message.height, message.width, 3)


def main(arguments: List[str]) -> None:
    """
    Run the node until Ctrl-C.

    :param arguments: the model file.
    """
    rclpy.init()
    node = UsualNode(Path(arguments[0]))
    try:
        release_stop_signals()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        hold_stop_signals()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1:])
