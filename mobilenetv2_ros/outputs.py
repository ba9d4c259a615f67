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

"""What a configured node publishes: results, what they mean, and pictures to look at."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple

from mobilenetv2_ros.classification_message import encode_text, serialize_classification
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import ImageView
from mobilenetv2_ros.messages import make_image, make_label_info, make_vision_info
from mobilenetv2_ros.nv12 import to_bgr
from mobilenetv2_ros.overlay import describe, draw_classes, OverlayThread
from mobilenetv2_ros.ranking import RankedClass
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, LabelInfo, VisionInfo


class ClassifiedPicture(NamedTuple):
    """A picture and its classes, best first."""

    picture: ImageView
    classes: List[RankedClass]


class Outputs:
    """The publishers, and the thread that draws; born and destroyed together."""

    def __init__(self, node: Node, engine: Engine, threshold: float,
                 report: Callable[[Exception], None]) -> None:
        """
        Create the publishers and tell which model classifies.

        :param threshold: score_threshold, for ``LabelInfo``.
        :param report: takes the reason when an overlay cannot be drawn.
        """
        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
            reliability=ReliabilityPolicy.RELIABLE)
        self._node = node
        self._names = engine.labels.names
        self._class_ids = {
            'name': [encode_text(name) for name in self._names],
            'index': [encode_text(str(index)) for index in range(len(self._names))]}
        self._classification = node.create_publisher(Classification, '~/classification', 10)
        self._label_info = node.create_publisher(LabelInfo, '~/label_info', latched)
        self._vision_info = node.create_publisher(VisionInfo, '~/vision_info', latched)
        self._overlay = node.create_publisher(Image, '~/overlay', 1)
        self._drawing = OverlayThread(self._publish_overlay, self._is_watched, report)
        self._vision_info.publish(make_vision_info(node.get_clock().now().to_msg(), engine))
        self.publish_label_info(threshold)

    def publish_label_info(self, threshold: float) -> None:
        """
        Tell what the classes are called, and from which score on they are told.

        :param threshold: score_threshold.
        """
        now = self._node.get_clock().now().to_msg()
        self._label_info.publish(make_label_info(now, self._names, threshold))

    def publish(self, result: ClassifiedPicture, class_id_format: str) -> None:
        """
        Publish a result, by one thread at a time, and offer its picture to be drawn on.

        :param class_id_format: ``name`` or ``index``.
        """
        self._classification.publish(serialize_classification(
            result.picture.header, result.classes, self._class_ids[class_id_format]))
        self._drawing.offer(result)

    def destroy(self) -> None:
        """End the thread and destroy the publishers."""
        self._drawing.stop()
        for publisher in (
                self._classification, self._label_info, self._vision_info, self._overlay):
            self._node.destroy_publisher(publisher)

    def _is_watched(self) -> bool:
        count: int = self._overlay.get_subscription_count()
        return count > 0

    def _publish_overlay(self, result: Any) -> None:
        picture = draw_classes(
            to_bgr(result.picture), describe(result.classes, self._names))
        self._overlay.publish(make_image(result.picture.header, picture))
