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

"""Models as ``vision_msgs``, pictures as ``sensor_msgs``."""

from __future__ import annotations

from array import array
from typing import Sequence

from builtin_interfaces.msg import Time
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import Header
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header as HeaderMsg
from vision_msgs.msg import LabelInfo, VisionClass, VisionInfo


def make_label_info(stamp: Time, names: Sequence[str], threshold: float) -> LabelInfo:
    """
    Tell which class name belongs to which index.

    :param names: by class index.
    """
    return LabelInfo(
        header=HeaderMsg(stamp=stamp), threshold=threshold,
        class_map=[VisionClass(class_id=index, class_name=name)
                   for index, name in enumerate(names)])


def make_vision_info(stamp: Time, engine: Engine) -> VisionInfo:
    """Tell which model classifies and where its class names are."""
    return VisionInfo(
        header=HeaderMsg(stamp=stamp),
        method=f'{engine.backend.info.name} on {engine.backend.kind}',
        database_location=str(engine.labels_path))


def make_image(header: Header, bgr: NDArray[np.uint8]) -> Image:
    """
    Make a picture message.

    :param bgr: uint8, shape (height, width, 3).
    """
    height, width = bgr.shape[:2]
    message = Image(height=height, width=width, encoding='bgr8', step=3 * width)
    message.header.stamp.sec, message.header.stamp.nanosec = header.sec, header.nanosec
    message.header.frame_id = header.frame_id
    # An array is taken as it is; bytes would be checked one by one.
    message.data = array('B', bgr.tobytes())
    return message
