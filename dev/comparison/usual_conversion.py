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

"""The conversion to NV12 that most people copy, as the vendor's samples have it."""

from __future__ import annotations

from typing import Any, Dict

import cv2
from mobilenetv2_ros.image.image_message import ImageView
import numpy as np
from numpy.typing import NDArray

_TO_BGR: Dict[str, int] = {
    'rgb8': cv2.COLOR_RGB2BGR, 'rgba8': cv2.COLOR_RGBA2BGR, 'bgra8': cv2.COLOR_BGRA2BGR,
    'mono8': cv2.COLOR_GRAY2BGR, 'nv12': cv2.COLOR_YUV2BGR_NV12, 'nv21': cv2.COLOR_YUV2BGR_NV21,
    'uyvy': cv2.COLOR_YUV2BGR_UYVY, 'yuyv': cv2.COLOR_YUV2BGR_YUYV,
    'bayer_rggb8': cv2.COLOR_BayerBG2BGR}
"""How OpenCV makes bgr8 of other encodings."""


def convert_to_nv12(bgr: NDArray[Any]) -> NDArray[Any]:
    """
    Do what the samples of the vendor do.

    :param bgr: uint8, shape (height, width, 3).
    :returns: uint8, shape (336, 224).
    """
    resized = cv2.resize(bgr, (224, 224), interpolation=cv2.INTER_LINEAR)
    area = 224 * 224
    i420 = cv2.cvtColor(resized, cv2.COLOR_BGR2YUV_I420).reshape(area * 3 // 2)
    y = i420[:area]
    uv_planar = i420[area:].reshape(2, area // 4)
    uv_packed = uv_planar.transpose(1, 0).reshape(area // 2)
    nv12 = np.zeros_like(i420)
    nv12[:area] = y
    nv12[area:] = uv_packed
    return nv12.reshape(336, 224)


def view_to_bgr(view: ImageView) -> NDArray[Any]:
    """Turn everything into bgr8: uint8, shape (height, width, 3)."""
    data: NDArray[Any] = view.data.reshape(-1, view.step)
    if view.encoding == 'bgr8':
        return data.reshape(view.height, view.width, 3)
    if view.encoding in ('uyvy', 'yuyv'):
        data = data.reshape(view.height, view.width, 2)
    elif view.encoding in ('rgb8', 'rgba8', 'bgra8'):
        data = data.reshape(view.height, view.width, -1)
    return cv2.cvtColor(data, _TO_BGR[view.encoding])
