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
A node that answers images without looking at them: the least that a node can cost.

It takes images and publishes results as the classifier does and does nothing in between: no
conversion, no inference, no ranking. ``compare.py node`` shows what is left.
"""

from __future__ import annotations

import sys
import threading

from mobilenetv2_ros.image.image_message import DEFAULT_MAX_PIXELS
from mobilenetv2_ros.inference.ranking import RankedClass
from mobilenetv2_ros.node.classification_message import encode_text, serialize_classification
from mobilenetv2_ros.node.image_taking import ImageMessage, ImageTaker, view_image
from mobilenetv2_ros.node.input_qos import make_sensor_qos
from mobilenetv2_ros.node.receiving import Receiver, ReceivingError
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.tools.benchmark.stopping import interrupt_on_stop_signal
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification

_CLASSES = [RankedClass(0, 1.0)] * 5
_CLASS_IDS = [encode_text('a class of usual length')]


class BareNode(Node):
    """Answer each image with the same classes."""

    def __init__(self) -> None:
        """Start answering; no executor is needed."""
        super().__init__('mobilenetv2')
        self._publisher = self.create_publisher(Classification, '~/classification', 10)
        subscription = self.create_subscription(
            Image, 'image_raw', lambda message: None, make_sensor_qos(), raw=True)
        self._receiver = Receiver(subscription, self._answer, self._report, ImageTaker())

    def destroy_node(self) -> None:
        """Stop answering."""
        self._receiver.stop()
        super().destroy_node()

    def _answer(self, message: ImageMessage) -> bool:
        header = view_image(message, DEFAULT_MAX_PIXELS).header
        self._publisher.publish(serialize_classification(header, _CLASSES, _CLASS_IDS))
        return False

    def _report(self, error: ReceivingError) -> None:
        print(f'bare node: an image is lost: {error}', file=sys.stderr)


def main() -> None:
    """Run the node until a signal."""
    set_up_process()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = BareNode()
    try:
        interrupt_on_stop_signal()
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
