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
How drivers write encodings and rows, and how ROS does (``sensor_msgs/image_encodings.hpp``).

Many publish the names of V4L2, GStreamer, FFmpeg or OpenCV. What cannot be mistaken is read, and
the note that comes with it is for the user, who may have a driver that can be set.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, NamedTuple

ROS_NAMES = (
    'rgb8', 'bgr8', 'rgba8', 'bgra8', 'rgb16', 'bgr16', 'rgba16', 'bgra16', 'mono8', 'mono16',
    '8UC1', '8UC3', '8UC4', '16UC1', 'nv12', 'nv21', 'nv24', 'i420', 'yuv420', 'yv12', 'uyvy',
    'yuv422', 'yuyv', 'yuv422_yuy2', *(f'bayer_{order}{bits}' for bits in (8, 16)
                                       for order in ('rggb', 'bggr', 'gbrg', 'grbg')))
"""The keys of :data:`mobilenetv2_ros.image.nv12.ENCODINGS`."""

_NAMES: Dict[str, str] = {
    **{name.lower(): name for name in ROS_NAMES},
    **dict.fromkeys(('rgb', 'rgb24', 'rgb3'), 'rgb8'),
    **dict.fromkeys(('bgr', 'bgr24', 'bgr3'), 'bgr8'),
    **dict.fromkeys(('rgba', 'rgba32'), 'rgba8'),
    **dict.fromkeys(('bgra', 'bgra32'), 'bgra8'),
    **dict.fromkeys(('mono', 'gray', 'grey', 'gray8', 'grey8', 'y8', 'y800'), 'mono8'),
    **dict.fromkeys(('gray16', 'grey16', 'gray16le', 'y16'), 'mono16'),
    **dict.fromkeys(('yuy2', 'yuyv422', 'yuv422_yuyv'), 'yuyv'),
    **dict.fromkeys(('uyvy422', 'yuv422_uyvy'), 'uyvy'),
    **dict.fromkeys(('iyuv', 'yu12', 'yuv420p', 'yuv420_planar'), 'i420'),
    **dict.fromkeys(('yuv420sp', 'yuv420_nv12'), 'nv12')}
"""
By the names of ROS and of others, in lower case.

Not rgb888 and its like: to DRM and libcamera they name a word whose bytes are blue, green, red.
"""

_PLANAR_BITS = {**dict.fromkeys(('nv12', 'nv21', 'i420', 'yuv420', 'yv12'), 12), 'nv24': 24}
"""Bits for each pixel, of encodings whose planes follow one another."""


class Spelling(NamedTuple):
    """
    An encoding as ROS writes it.

    :param note: a sentence if the message has it otherwise, else empty.
    """

    encoding: str
    note: str


@lru_cache(maxsize=256)
def read_spelling(name: str) -> Spelling:
    """
    Find out how ROS writes an encoding.

    :returns: the name itself if it is right or unknown.
    """
    encoding = _NAMES.get(name.lower(), name)
    if encoding == name:
        return Spelling(name, '')
    return Spelling(encoding, f"encoding {name[:40]!r} is read as '{encoding}', as ROS writes it")


def find_step(encoding: str, width: int, height: int, step: int, size: int) -> int:
    """
    Find the length of a row of the first plane.

    Some drivers give what all planes take, divided by the height, or two bytes for each pixel.

    :param encoding: as ROS writes it.
    :param step: the row's length as the message has it, in bytes.
    :param size: of the image's data, in bytes; if it is that of rows without padding, they have
        none.
    """
    bits = _PLANAR_BITS.get(encoding, 0)
    if step > width and bits and 8 * size == bits * width * height and not (width | height) & 1:
        return width
    return step
