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
The node ``image_source``: pictures from files or a camera, published at a rate.

Publishes ``image_raw`` (sensor_msgs/Image) or, with ``image_transport`` ``compressed``,
``image_raw/compressed`` (sensor_msgs/CompressedImage).
"""

from __future__ import annotations

from array import array
from typing import Any, Callable, Optional, Tuple, Union

import cv2
from mobilenetv2_ros.input_qos import make_sensor_qos, OVERRIDABLE
from mobilenetv2_ros.parameters import declare_parameter
from mobilenetv2_ros.resources import share_folder
from mobilenetv2_ros.tools.encode import encode, ENCODERS
from mobilenetv2_ros.tools.pictures import parse_size, Pictures, Pixels, resize, SourceError
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

_TRANSPORTS = ('raw', 'compressed')
_COMPRESSED_FORMATS = ('jpeg', 'png')

Message = Union[Image, CompressedImage]


class ImageSource(Node):
    """Publishes the next picture whenever its timer says so."""

    def __init__(self) -> None:
        """
        Declare the parameters and find the pictures.

        :raises rclpy.exceptions.ParameterException: a parameter is of the wrong type.
        :raises ValueError: a value is not usable or the pictures do not exist.
        """
        super().__init__('image_source')
        self.failure = ''
        source = self._declare(
            'source', '', 'A photo, several separated by commas, a folder of photos, a video '
            'file, or a camera: its number or device. Empty: the photos of the package.',
            dynamic_typing=True)  # a camera's number on the command line is no string
        self._rate = self._declare('rate', 1.0, 'Pictures a second.', floating_point_range=[
            FloatingPointRange(from_value=0.01, to_value=1000.0)])
        self._encoding = self._declare_choice(
            'encoding', tuple(ENCODERS), 'bgr8', 'Pixel format of raw pictures.')
        self._size = parse_size(self._declare(
            'size', '', 'WIDTHxHEIGHT that pictures are brought to. Empty: as they are.'))
        self._frame_id = self._declare('frame_id', 'camera', 'frame_id of the headers.')
        loop = self._declare(
            'loop', True, 'Start again after the last picture; false: end with exit code 0.')
        transport = self._declare_choice(
            'image_transport', _TRANSPORTS, 'raw',
            'raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on '
            'image_raw/compressed.')
        self._format = self._declare_choice(
            'compressed_format', _COMPRESSED_FORMATS, 'jpeg', 'How pictures are compressed.')
        pictures = Pictures(str(source) or str(share_folder() / 'photos'))
        is_raw = transport == 'raw'
        self._messages = pictures.read(
            self._encode if is_raw else self._compress, bool(loop), self.get_logger().warning)
        self._publisher = self._create_publisher(is_raw)
        self.get_logger().info(
            f'publishing {pictures} as {self._encoding if is_raw else self._format} on '
            f"'{self._publisher.topic_name}', {self._rate:g} a second")

    def start(self, on_end: Callable[[], None]) -> None:
        """
        Start the timer.

        :param on_end: called when there is no next picture; :attr:`failure` tells if that is an
            error.
        """
        def publish_next() -> None:
            if not self._publish_next():
                timer.cancel()
                on_end()

        timer = self.create_timer(1 / self._rate, publish_next)

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
        encoded = encode(resize(bgr, self._size), self._encoding)
        message = Image(
            height=encoded.height, width=encoded.width, encoding=self._encoding,
            is_bigendian=encoded.is_bigendian, step=encoded.step,
            data=array('B', encoded.data))  # of anything else each byte would be checked
        message.header.frame_id = self._frame_id
        return message

    def _compress(self, bgr: Pixels) -> CompressedImage:
        done, data = cv2.imencode(f'.{self._format}', resize(bgr, self._size))
        if not done:
            raise SourceError(
                f'a picture of {bgr.shape[1]}x{bgr.shape[0]} cannot be written as {self._format}')
        message = CompressedImage(format=self._format, data=array('B', data.tobytes()))
        message.header.frame_id = self._frame_id
        return message

    def _create_publisher(self, is_raw: bool) -> Publisher:
        # Resolved first, so that a remapped image_raw takes its compressed topic along.
        topic = self.resolve_topic_name('image_raw')
        message_type, topic = (Image, topic) if is_raw else (
            CompressedImage, f'{topic}/compressed')
        # A fresh profile each time: overrides are written into it.
        return self.create_publisher(
            message_type, topic, make_sensor_qos(),
            qos_overriding_options=QoSOverridingOptions(OVERRIDABLE.policy_kinds))

    def _declare(self, name: str, default: Any, description: str, **descriptor: Any) -> Any:
        return declare_parameter(self, name, default, ParameterDescriptor(
            name=name, description=description, read_only=True, **descriptor))

    def _declare_choice(
            self, name: str, choices: Tuple[str, ...], default: str, description: str) -> str:
        value = self._declare(
            name, default, description,
            additional_constraints='one of ' + ', '.join(choices))
        if value not in choices:
            raise ValueError(
                f"{name} '{value}' is unknown; expected one of {', '.join(choices)}")
        return str(value)
