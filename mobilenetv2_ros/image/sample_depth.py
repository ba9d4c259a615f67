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
How many of 16 bits the samples of a camera use.

Sensors have 10, 12 or 14 bits, and drivers often put them into the lower ones of 16: taken for
16, such images are nearly black. A message does not tell. So the brightest sample does, of all
images that a camera has sent: a dark image after a bright one is dark.
"""

from __future__ import annotations

import threading

import cv2
from mobilenetv2_ros.image.image_message import ImageView
import numpy as np
from numpy.typing import NDArray

_ROWS_APART = 8
"""The brightest sample is looked for in every eighth row: highlights are larger."""


class SampleDepth:
    """What is known of the samples of a camera; used by all threads that take its images."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._bits = 8
        self._lock = threading.Lock()

    def mark(self, view: ImageView, bits: int = 0) -> ImageView:
        """
        Fill in ``sample_bits`` of an image whose samples have 16 bits.

        :param bits: as the user knows them; 0 to find them.
        :returns: the image, with a note if fewer than 16 were found.
        """
        if not view.encoding.endswith('16') and view.encoding != '16UC1':
            return view
        if bits:
            return view._replace(sample_bits=bits)
        with self._lock:
            if self._bits < 16:
                self._bits = max(self._bits, _find_bits(view))
            bits = self._bits
        if bits == 16:
            return view
        note = (f'{view.encoding} images are taken for {bits} bits, as no sample was greater; set '
                'mono16_bits if the camera has more')
        return view._replace(sample_bits=bits, note=view.note or note)


def take_8_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """
    Keep 8 bits of a picture that no camera has sent: by its own brightest sample.

    :param pixels: uint16, grey or BGR.
    :returns: uint8, shape (height, width, 3).
    """
    shallow = cv2.convertScaleAbs(pixels, alpha=255 / ((1 << _count_bits(pixels)) - 1))
    return np.asarray(
        shallow if shallow.ndim == 3 else cv2.cvtColor(shallow, cv2.COLOR_GRAY2BGR), np.uint8)


def _find_bits(view: ImageView) -> int:
    rows = -(-view.height // _ROWS_APART)
    order = '>u2' if view.is_bigendian else '<u2'
    # What lies behind a row's pixels may be anything.
    samples: NDArray[np.uint16] = np.ndarray(
        (rows, view.step // 2), order, view.data, 0, (_ROWS_APART * view.step, 2))
    return _count_bits(samples[:, :view.width * _CHANNELS.get(view.encoding, 1)])


def _count_bits(samples: NDArray[np.uint16]) -> int:
    """Count the bits that the brightest sample needs; sensors have an even number."""
    bits = int(samples.max()).bit_length() if samples.size else 16
    return max(8, bits + bits % 2)


_CHANNELS = {'rgb16': 3, 'bgr16': 3, 'rgba16': 4, 'bgra16': 4}
