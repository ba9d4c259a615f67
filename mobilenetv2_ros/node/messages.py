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

"""Models as ``vision_msgs``, images as ``sensor_msgs``."""

from __future__ import annotations

from array import array
from typing import Sequence

from builtin_interfaces.msg import Time
import cv2
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.loaded_model import LoadedModel
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header as HeaderMsg
from vision_msgs.msg import LabelInfo, VisionClass, VisionInfo


_JPEG_QUALITY = 80
"""As image_transport has it."""

_MAX_JPEG_SIDE = 65500
"""Of libjpeg."""


def make_label_info(stamp: Time, names: Sequence[str], threshold: float) -> LabelInfo:
    """
    Tell which class name belongs to which index.

    :param names: by class index.
    """
    return LabelInfo(
        header=HeaderMsg(stamp=stamp), threshold=threshold,
        class_map=[VisionClass(class_id=index, class_name=name)
                   for index, name in enumerate(names)])


def make_vision_info(stamp: Time, engine: LoadedModel) -> VisionInfo:
    """Tell which model classifies and where its class names are."""
    return VisionInfo(
        header=HeaderMsg(stamp=stamp),
        method=f'{engine.backend.info.name} on {engine.backend.kind}: {engine.summary}',
        database_location=str(engine.labels_path))


def make_image(header: Header, bgr: NDArray[np.uint8]) -> Image:
    """
    Make an image message.

    :param bgr: uint8, shape (height, width, 3).
    """
    height, width = bgr.shape[:2]
    message = Image(
        header=make_header(header), height=height, width=width, encoding='bgr8', step=3 * width)
    # An array is taken as it is; bytes would be checked one by one.
    message.data = array('B', bgr.tobytes())
    return message


def make_jpeg(header: Header, bgr: NDArray[np.uint8]) -> CompressedImage:
    """
    Make a message of a JPEG image.

    :param bgr: uint8, shape (height, width, 3).
    :raises ValueError: it is larger than JPEG allows.
    """
    height, width = bgr.shape[:2]
    if max(height, width) > _MAX_JPEG_SIDE:
        raise ValueError(f'an image of {width}x{height} is too large for JPEG')
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return CompressedImage(
        header=make_header(header), format='jpeg', data=array('B', data.tobytes()))


def make_header(header: Header) -> HeaderMsg:
    """Make the message of a header, copied exactly."""
    return HeaderMsg(
        stamp=Time(sec=header.sec, nanosec=header.nanosec), frame_id=header.frame_id)
