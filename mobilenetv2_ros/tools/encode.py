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
Images into the encodings of ``sensor_msgs/image_encodings.hpp``, the reverse of what nodes do.

For image sources, tests and benchmarks. YUV is BT.601 (ITU-R BT.601-7), limited range:
Y 16..235, U and V 16..240. :data:`ENCODERS` is the table, one row for each encoding.
"""

from __future__ import annotations

import sys
from typing import Callable, Dict, NamedTuple, Tuple

import cv2
from mobilenetv2_ros.image.nv12 import Pixels
import numpy as np

_BGR_TO_YUV = np.array([
    [24.966, 128.553, 65.481, 16 * 255],
    [112.0, -74.203, -37.797, 128 * 255],
    [-18.214, -93.786, 112.0, 128 * 255]]) / 255
"""Rows Y, U and V; columns B, G, R and 1."""

_BLUE, _GREEN, _RED = range(3)


class EncodeError(ValueError):
    """An image cannot be encoded; the text says why."""


class EncodedImage(NamedTuple):
    """The fields of ``sensor_msgs/Image`` that depend on the pixels."""

    height: int
    width: int
    step: int
    data: bytes
    is_bigendian: bool


class _Encoder(NamedTuple):
    """
    How to encode.

    :param rows: makes the rows of the message, C order; the first axis counts rows of ``step``
        bytes, more of them than the image is high where planes of chroma follow.
    :param unit: width and height are cropped to multiples of this.
    """

    rows: Callable[[Pixels], np.ndarray]
    unit: Tuple[int, int] = (1, 1)


def _colours(conversion: int) -> _Encoder:
    return _Encoder(lambda bgr: cv2.cvtColor(bgr, conversion))


def _deep(rows: Callable[[Pixels], np.ndarray]) -> _Encoder:
    """Make the encoder to samples of 16 bits, full range: 255 becomes 65535."""
    return _Encoder(lambda bgr: rows(bgr).astype(np.uint16) * 257)


def _yuv(bgr: Pixels) -> Pixels:
    """Convert each pixel: uint8, shape (height, width, 3)."""
    return np.asarray(cv2.transform(bgr, _BGR_TO_YUV), np.uint8)


def _chroma(yuv: Pixels, columns: int, rows: int) -> Pixels:
    """Average U and V over blocks of pixels: uint8, shape (height / rows, width / columns, 2)."""
    height, width = yuv.shape[:2]
    means = cv2.resize(
        np.ascontiguousarray(yuv[:, :, 1:]), (width // columns, height // rows),
        interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.uint8)


def _semi_planar(subsampling: int, swapped: bool = False) -> _Encoder:
    """Make the encoder to a Y plane followed by one of U and V pairs, or of V and U."""
    def rows(bgr: Pixels) -> Pixels:
        yuv = _yuv(bgr)
        pairs = _chroma(yuv, subsampling, subsampling)
        pairs = pairs[:, :, ::-1] if swapped else pairs
        return np.vstack((yuv[:, :, 0], pairs.reshape(-1, bgr.shape[1])))

    return _Encoder(rows, (subsampling, subsampling))


def _planar(*order: int) -> _Encoder:
    """
    Make the encoder to a plane of Y, followed by two of chroma.

    :param order: 0 for U and 1 for V.
    """
    def rows(bgr: Pixels) -> Pixels:
        yuv = _yuv(bgr)
        pairs = _chroma(yuv, 2, 2)
        planes = [pairs[:, :, plane].reshape(-1) for plane in order]
        # Two rows of chroma are as long as one of luma; the last one may be half a row.
        chroma = np.concatenate(planes).reshape(-1, bgr.shape[1])
        return np.vstack((yuv[:, :, 0], chroma))

    return _Encoder(rows, (2, 2))


def _packed_422(luma: int) -> _Encoder:
    """Make the encoder to two bytes for a pixel: Y at ``luma``, U or V by turns at the other."""
    def rows(bgr: Pixels) -> Pixels:
        yuv = _yuv(bgr)
        pixels = np.empty((*yuv.shape[:2], 2), np.uint8)
        pixels[:, :, luma] = yuv[:, :, 0]
        pixels[:, :, 1 - luma] = _chroma(yuv, 2, 1).reshape(yuv.shape[:2])
        return pixels

    return _Encoder(rows, (2, 1))


def _bayer(*filters: int) -> _Encoder:
    """
    Make the encoder to a mosaic: each pixel keeps one of its colours.

    :param filters: the colours of the first row's first two pixels and the second row's.
    """
    def rows(bgr: Pixels) -> Pixels:
        mosaic = np.empty(bgr.shape[:2], np.uint8)
        for position, colour in enumerate(filters):
            y, x = divmod(position, 2)
            mosaic[y::2, x::2] = bgr[y::2, x::2, colour]
        return mosaic

    return _Encoder(rows)


ENCODERS: Dict[str, _Encoder] = {
    'bgr8': _Encoder(np.ascontiguousarray),
    'rgb8': _colours(cv2.COLOR_BGR2RGB),
    'bgra8': _colours(cv2.COLOR_BGR2BGRA),
    'rgba8': _colours(cv2.COLOR_BGR2RGBA),
    'mono8': _colours(cv2.COLOR_BGR2GRAY),
    'mono16': _deep(_colours(cv2.COLOR_BGR2GRAY).rows),
    '8UC1': _colours(cv2.COLOR_BGR2GRAY),
    '8UC3': _Encoder(np.ascontiguousarray),  # OpenCV's own order
    '8UC4': _colours(cv2.COLOR_BGR2BGRA),
    '16UC1': _deep(_colours(cv2.COLOR_BGR2GRAY).rows),
    'bgr16': _deep(np.ascontiguousarray),
    'rgb16': _deep(_colours(cv2.COLOR_BGR2RGB).rows),
    'bgra16': _deep(_colours(cv2.COLOR_BGR2BGRA).rows),
    'rgba16': _deep(_colours(cv2.COLOR_BGR2RGBA).rows),
    'nv12': _semi_planar(2),
    'nv21': _semi_planar(2, swapped=True),
    'nv24': _semi_planar(1),
    'i420': _planar(0, 1),
    'yuv420': _planar(0, 1),
    'yv12': _planar(1, 0),
    'uyvy': _packed_422(1),
    'yuv422': _packed_422(1),  # the former name of uyvy
    'yuyv': _packed_422(0),
    'yuv422_yuy2': _packed_422(0),  # the former name of yuyv
    'bayer_rggb8': _bayer(_RED, _GREEN, _GREEN, _BLUE),
    'bayer_bggr8': _bayer(_BLUE, _GREEN, _GREEN, _RED),
    'bayer_gbrg8': _bayer(_GREEN, _BLUE, _RED, _GREEN),
    'bayer_grbg8': _bayer(_GREEN, _RED, _BLUE, _GREEN),
    'bayer_rggb16': _deep(_bayer(_RED, _GREEN, _GREEN, _BLUE).rows),
    'bayer_bggr16': _deep(_bayer(_BLUE, _GREEN, _GREEN, _RED).rows),
    'bayer_gbrg16': _deep(_bayer(_GREEN, _BLUE, _RED, _GREEN).rows),
    'bayer_grbg16': _deep(_bayer(_GREEN, _RED, _BLUE, _GREEN).rows),
}


def encode(bgr: Pixels, encoding: str) -> EncodedImage:
    """
    Encode an image.

    Where pixels share chroma, a last column or row that is no full group is left out.

    :param bgr: uint8, shape (height, width, 3).
    :param encoding: a key of :data:`ENCODERS`.
    :returns: rows without padding; samples of 16 bits in this machine's byte order.
    :raises EncodeError: the encoding is unknown or nothing is left of the image.
    """
    encoder = ENCODERS.get(encoding)
    if encoder is None:
        raise EncodeError(
            f"encoding '{encoding}' is unknown; expected one of {', '.join(ENCODERS)}")
    height, width = (
        side - side % unit for side, unit in zip(bgr.shape, reversed(encoder.unit)))
    if not height or not width:
        raise EncodeError(
            f'an image of {bgr.shape[1]}x{bgr.shape[0]} is too small for {encoding}; expected at '
            f'least {encoder.unit[0]}x{encoder.unit[1]}')
    rows = encoder.rows(bgr[:height, :width])
    return EncodedImage(height, width, rows[0].nbytes, rows.tobytes(), sys.byteorder == 'big')
