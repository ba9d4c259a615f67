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
Images that are transparent in part, on white.

What decoders leave of a transparent pixel is mostly black, and so would be a logo or a cut-out
object on it. White is what viewers show.
"""

from __future__ import annotations

from typing import Any, Optional

import cv2
from mobilenetv2_ros.image.sample_depth import take_8_bits
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def decode_on_white(content: Pixels) -> Optional[Pixels]:
    """
    Decode an image file of any format that OpenCV reads and that may be transparent.

    :param content: uint8, shape (bytes,).
    :returns: uint8, shape (height, width, 3), BGR; None if OpenCV cannot decode it.
    """
    pixels: Any = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    if pixels.shape[2:] == (4,):
        return put_on_white(pixels)
    is_deep = pixels.dtype == np.uint16
    # Decoded anew, as they may have to be turned; some, as of floats, OpenCV refuses now.
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if is_deep else 0))
    if pixels is None:
        return None
    return take_8_bits(pixels) if is_deep else np.asarray(pixels, np.uint8)


def put_on_white(bgra: NDArray[Any]) -> Pixels:
    """
    Put pixels on white as far as they are transparent.

    :param bgra: uint8 or uint16, shape (height, width, 4).
    :returns: uint8, shape (height, width, 3).
    """
    pixels = (bgra >> 8).astype(np.uint8) if bgra.dtype == np.uint16 else bgra
    inks = cv2.bitwise_not(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR))
    opacity = cv2.merge([cv2.extractChannel(pixels, 3)] * 3)
    return np.asarray(cv2.bitwise_not(cv2.multiply(inks, opacity, scale=1 / 255)), np.uint8)
