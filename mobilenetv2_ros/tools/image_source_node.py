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
The node ``image_source``: images from files or a camera, published at a rate.

Publishes ``image_raw`` (sensor_msgs/Image) or, with ``image_transport`` ``compressed``,
``image_raw/compressed`` (sensor_msgs/CompressedImage).
"""

from __future__ import annotations

from array import array
from typing import Callable, Iterator, NamedTuple, Optional, Union

import cv2
from mobilenetv2_ros.image.nv12 import Pixels
from mobilenetv2_ros.node.image_topic import find_image_topic
from mobilenetv2_ros.node.input_qos import make_sensor_qos, OVERRIDABLE
from mobilenetv2_ros.node.parameters import declare_rows
from mobilenetv2_ros.resources import share_folder
from mobilenetv2_ros.tools.encode import encode
from mobilenetv2_ros.tools.image_source_parameters import SOURCE_PARAMETERS
from mobilenetv2_ros.tools.sources import parse_size, resize, Source, SourceError
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

Message = Union[Image, CompressedImage]


class _Parameters(NamedTuple):
    """All values, named as in :data:`SOURCE_PARAMETERS`."""

    source: str
    rate: float
    encoding: str
    size: str
    frame_id: str
    loop: bool
    image_transport: str
    compressed_format: str


class ImageSource(Node):
    """Publishes the next image whenever its timer says so."""

    def __init__(self) -> None:
        """
        Declare the parameters and find the images.

        :raises rclpy.exceptions.ParameterException: a parameter is of the wrong type.
        :raises ValueError: a value is not usable or the images do not exist.
        """
        super().__init__('image_source')
        self.failure = ''
        self._values = _Parameters(**declare_rows(self, SOURCE_PARAMETERS))
        self._is_raw = self._values.image_transport == 'raw'
        self._size = parse_size(self._values.size) if self._values.size else None
        self._source = Source(self._values.source or str(share_folder() / 'photos'))
        self._publisher = self._create_publisher()
        self._messages = self._make_messages()

    def start(self, on_end: Callable[[], None]) -> None:
        """
        Start the timer.

        :param on_end: called when there is no next image; :attr:`failure` tells if that is an
            error.
        """
        def publish_next() -> None:
            if not self._publish_next():
                timer.cancel()
                on_end()

        timer = self.create_timer(1 / self._values.rate, publish_next)

    def _make_messages(self) -> Iterator[Message]:
        values = self._values
        messages = self._source.read(
            self._encode if self._is_raw else self._compress, values.loop,
            self.get_logger().warning)
        for number, message in enumerate(messages):
            if not number:  # a camera may turn out to give nothing
                form = values.encoding if self._is_raw else values.compressed_format
                self.get_logger().info(
                    f"publishing {self._source} as {form} on '{self._publisher.topic_name}', "
                    f'{values.rate:g} per second')
            yield message

    def _publish_next(self) -> bool:
        try:
            message: Optional[Message] = next(self._messages, None)
        except ValueError as error:
            self.failure = str(error)
            return False
        if message is None:
            return False
        message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(message)
        return True

    def _encode(self, bgr: Pixels) -> Image:
        encoded = encode(resize(bgr, self._size), self._values.encoding)
        message = Image(
            height=encoded.height, width=encoded.width, encoding=self._values.encoding,
            is_bigendian=encoded.is_bigendian, step=encoded.step,
            data=array('B', encoded.data))  # of anything else each byte would be checked
        message.header.frame_id = self._values.frame_id
        return message

    def _compress(self, bgr: Pixels) -> CompressedImage:
        form = self._values.compressed_format
        pixels = resize(bgr, self._size)
        try:
            done, data = cv2.imencode(f'.{form}', pixels)
        except cv2.error:  # where a newer OpenCV says that it is not done
            done = False
        if not done:
            raise SourceError(
                f'an image of {pixels.shape[1]}x{pixels.shape[0]} cannot be written as {form}')
        message = CompressedImage(format=form, data=array('B', data.tobytes()))
        message.header.frame_id = self._values.frame_id
        return message

    def _create_publisher(self) -> Publisher:
        # A fresh profile each time: overrides are written into it.
        return self.create_publisher(
            Image if self._is_raw else CompressedImage,
            find_image_topic(self, is_compressed=not self._is_raw), make_sensor_qos(),
            qos_overriding_options=QoSOverridingOptions(OVERRIDABLE.policy_kinds))
