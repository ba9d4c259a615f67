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

"""Results and models as ``vision_msgs``."""

from __future__ import annotations

from array import array
from typing import List, Sequence

from builtin_interfaces.msg import Time
from mobilenetv2_ros.engine import Engine
from mobilenetv2_ros.image_message import Header
from mobilenetv2_ros.ranking import RankedClass
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header as HeaderMsg
from vision_msgs.msg import (
    Classification, LabelInfo, ObjectHypothesis, VisionClass, VisionInfo)


class ClassificationWriter:
    """Fill one message again and again; making a new one costs more than publishing it."""

    def __init__(self) -> None:
        self._message = Classification()
        self._hypotheses: List[ObjectHypothesis] = []

    def write(self, header: Header, classes: Sequence[RankedClass],
              class_ids: Sequence[str]) -> Classification:
        """
        Put a result into the message.

        :param header: of the picture, copied exactly.
        :param classes: best first.
        :param class_ids: by class index, what ``class_id`` shall hold.
        :returns: the message, valid until the next call.
        """
        write_header(header, self._message.header)
        while len(self._hypotheses) < len(classes):
            self._hypotheses.append(ObjectHypothesis())
        results = self._hypotheses[:len(classes)]
        for hypothesis, (index, probability) in zip(results, classes):
            hypothesis.class_id = class_ids[index]
            hypothesis.score = probability
        self._message.results = results
        return self._message


def write_header(header: Header, message: HeaderMsg) -> None:
    """Copy a header into a message."""
    message.stamp.sec = header.sec
    message.stamp.nanosec = header.nanosec
    message.frame_id = header.frame_id


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
    write_header(header, message.header)
    # An array is taken as it is; bytes would be checked one by one.
    message.data = array('B', bgr.tobytes())
    return message
