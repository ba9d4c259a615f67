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

"""What a configured node publishes: results, what they mean, and what is made to be looked at."""

from __future__ import annotations

from contextlib import ExitStack
import time
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from mobilenetv2_ros.image.image_message import Header, ImageView
from mobilenetv2_ros.image.nv12 import to_bgr
from mobilenetv2_ros.image.overlay import describe, draw_classes
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.inference.ranking import RankedClass
from mobilenetv2_ros.node.classification_message import encode_text, serialize_classification
from mobilenetv2_ros.node.messages import (
    make_image, make_jpeg, make_label_info, make_vision_info)
from mobilenetv2_ros.node.overlay_thread import OverlayThread
from mobilenetv2_ros.node.targets import find_targets_maker, Stages
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Classification, LabelInfo, VisionInfo

_ASKING_PERIOD = 1.0
"""Seconds between two looks for who watches; each costs more than its answer."""


class Watched(NamedTuple):
    """What somebody looks at, besides the results: the overlay, the targets."""

    overlay: bool
    targets: bool


class ClassifiedImage(NamedTuple):
    """
    What is published of an image.

    :param classes: best first.
    :param class_id_format: what ``class_id`` shall hold, ``name`` or ``index``.
    :param image: to be drawn on; None unless somebody looks, since results may have to wait.
    :param size: height and width of the image as it was published.
    :param stages: None unless somebody looks at the targets.
    """

    header: Header
    classes: List[RankedClass]
    class_id_format: str
    image: Optional[ImageView]
    size: Tuple[int, int]
    stages: Optional[Stages]


class Outputs:
    """The publishers, and the thread that draws; born and destroyed together."""

    def __init__(self, node: Node, engine: LoadedModel, threshold: float,
                 report: Callable[[str, Exception], None]) -> None:
        """
        Create the publishers and tell which model classifies.

        :param threshold: score_threshold, for ``LabelInfo``.
        :param report: takes what could not be made, and the reason.
        """
        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
            reliability=ReliabilityPolicy.RELIABLE)
        self._node = node
        self._ask_again_at = 0.0
        self._watched = Watched(False, False)
        self._report = report
        self._names = engine.labels.names
        self._class_ids = {
            'name': [encode_text(name) for name in self._names],
            'index': [encode_text(str(index)) for index in range(len(self._names))]}
        with ExitStack() as stack:
            def add(message_type: Any, topic: str, qos: Any) -> Any:
                made = node.create_publisher(message_type, topic, qos)
                stack.callback(node.destroy_publisher, made)
                return made

            self._classification = add(Classification, '~/classification', 10)
            self._label_info = add(LabelInfo, '~/label_info', latched)
            self._vision_info = add(VisionInfo, '~/vision_info', latched)
            self._overlay = add(Image, '~/overlay', 1)
            self._overlay_jpeg = add(CompressedImage, '~/overlay/compressed', 1)
            self._targets_maker = find_targets_maker(
                self._names, engine.backend.info.name, node.get_clock())
            self._targets = (None if self._targets_maker is None else
                             add(self._targets_maker.message_type, '~/targets', 10))
            self._drawing = OverlayThread(
                self._publish_overlay, lambda error: report('overlay', error))
            stack.callback(self._drawing.stop)
            self._resources = stack.pop_all()
        self._vision_info.publish(make_vision_info(node.get_clock().now().to_msg(), engine))
        self.publish_label_info(threshold)

    def publish_label_info(self, threshold: float) -> None:
        """
        Tell what the classes are called, and from which score on they are told.

        :param threshold: score_threshold.
        """
        now = self._node.get_clock().now().to_msg()
        self._label_info.publish(make_label_info(now, self._names, threshold))

    @property
    def watched(self) -> Watched:
        """Tell what somebody looked at when that was asked for, a second ago at most."""
        now = time.monotonic()
        if now >= self._ask_again_at:
            self._ask_again_at = now + _ASKING_PERIOD
            self._watched = Watched(
                _has_subscribers(self._overlay) or _has_subscribers(self._overlay_jpeg),
                self._targets is not None and _has_subscribers(self._targets))
        return self._watched

    @property
    def have_subscribers(self) -> bool:
        """Tell whether anybody subscribes what is made of images."""
        return any(one is not None and _has_subscribers(one) for one in (
            self._classification, self._overlay, self._overlay_jpeg, self._targets))

    def publish(self, result: ClassifiedImage) -> None:
        """Publish a result, by one thread at a time, and what is made of it for who watches."""
        self._classification.publish(serialize_classification(
            result.header, result.classes, self._class_ids[result.class_id_format]))
        if result.image is not None:
            self._drawing.offer(result)
        if result.stages is not None:
            self._publish_targets(result, result.stages)

    def destroy(self) -> None:
        """End the thread and destroy the publishers."""
        self._resources.close()

    def _publish_targets(self, result: ClassifiedImage, stages: Stages) -> None:
        assert self._targets is not None and self._targets_maker is not None
        try:
            self._targets.publish(self._targets_maker.make(
                result.header, result.classes, result.size, stages))
        except Exception as error:  # noqa: B902, the result itself is published already
            self._report('targets', error)

    def _publish_overlay(self, result: Any) -> None:
        makers = [(publisher, make) for publisher, make in (
            (self._overlay, make_image), (self._overlay_jpeg, make_jpeg))
            if _has_subscribers(publisher)]
        if not makers:
            return  # gone since it was asked for
        image = draw_classes(to_bgr(result.image), describe(
            (self._names[one.index], one.probability) for one in result.classes))
        for publisher, make in makers:
            publisher.publish(make(result.header, image))


def _has_subscribers(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0
