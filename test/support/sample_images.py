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
Images for tests, encoded and converted by the equations alone: nothing of the package's own.

The equations are those of ITU-R BT.601-7 for 8 bits and limited range: with R', G', B' in 0..1,
Y = 16 + 65.481 R' + 128.553 G' + 24.966 B', Cb = 128 - 37.797 R' - 74.203 G' + 112 B',
Cr = 128 + 112 R' - 93.786 G' - 18.214 B'.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Tuple

from mobilenetv2_ros.image.image_message import Header, ImageView
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Real = NDArray[np.float64]

GREY = ('mono8', '8UC1', 'mono16', '16UC1')
COLOUR = ('rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3', '8UC4', 'rgb16', 'bgr16', 'rgba16', 'bgra16')
BAYER = tuple(f'bayer_{order}{bits}' for order in ('rggb', 'bggr', 'gbrg', 'grbg')
              for bits in (8, 16))
YUV_420 = ('nv12', 'nv21', 'i420', 'yuv420', 'yv12')
YUV = (*YUV_420, 'nv24', 'uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2')

HEADER = Header(12, 34, 'camera')

_BT601 = np.array([
    [65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_OFFSETS = np.array([16.0, 128.0, 128.0])


class Planes(NamedTuple):
    """NV12 as real numbers: ``y`` of shape (height, width), ``uv`` (height / 2, width / 2, 2)."""

    y: Real
    uv: Real


def make_sample(width: int, height: int, seed: int = 1) -> Pixels:
    """
    Make a smooth colourful image with little noise.

    :returns: RGB, uint8, shape (height, width, 3).
    """
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    turns, phases = np.array([1.1, 0.7, 1.6]), np.array([0.2, 1.9, 4.0])
    waves = 128 + 110 * np.sin(6 * (turns * x + turns[::-1] * y) + phases)
    noise = np.random.default_rng(seed).normal(0, 2, (height, width, 3))
    rounded: Pixels = np.clip(np.round(waves + noise), 0, 255).astype(np.uint8)
    return rounded


def to_yuv(rgb: NDArray[Any]) -> Real:
    """Apply the equations to each pixel; shape (height, width, 3)."""
    yuv: Real = rgb.astype(np.float64) @ _BT601.T + _OFFSETS
    return yuv


def to_grey(rgb: Pixels) -> Pixels:
    """Return luma of full range, as cameras put it into mono8."""
    grey: Pixels = np.round(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return grey


def average(plane: NDArray[Any], columns: int, rows: int) -> Real:
    """Average groups of pixels; the last ones are repeated where a group is cut."""
    height, width = plane.shape[:2]
    padded = np.pad(plane.astype(np.float64), (
        (0, -height % rows), (0, -width % columns), *[(0, 0)] * (plane.ndim - 2)), mode='edge')
    grouped = padded.reshape(
        padded.shape[0] // rows, rows, padded.shape[1] // columns, columns, *plane.shape[2:])
    averaged: Real = grouped.mean(axis=(1, 3))
    return averaged


def resize(plane: NDArray[Any], width: int, height: int) -> Real:
    """Resize bilinearly with half-pixel centres and without any low-pass filter."""
    top, bottom, below = _neighbours(plane.shape[0], height)
    left, right, beside = _neighbours(plane.shape[1], width)
    extra = (1,) * (plane.ndim - 2)
    below = below.reshape(-1, 1, *extra)
    beside = beside.reshape(1, -1, *extra)
    real = plane.astype(np.float64)
    rows = real[top] * (1 - below) + real[bottom] * below
    resized: Real = rows[:, left] * (1 - beside) + rows[:, right] * beside
    return resized


def _neighbours(size: int, new_size: int) -> Tuple[NDArray[Any], NDArray[Any], Real]:
    """Return for each new sample the two old ones around it and the weight of the second."""
    place = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    first = np.floor(place).astype(int)
    return first, np.minimum(first + 1, size - 1), place - first


def make_view(rows: Pixels, width: int, height: int, encoding: str, padding: int = 0,
              is_bigendian: bool = False) -> ImageView:
    """
    Make an image of rows of bytes.

    :param rows: uint8, shape (rows, bytes); more rows than ``height`` are further planes.
    :param padding: bytes of rubbish behind each row.
    """
    rubbish = np.random.default_rng(2).integers(0, 256, (rows.shape[0], padding), np.uint8)
    padded = np.concatenate([rows, rubbish], axis=1)
    return ImageView(
        HEADER, height, width, encoding, is_bigendian, padded.shape[1], padded.reshape(-1))


def encode(rgb: Pixels, encoding: str, padding: int = 0, is_bigendian: bool = False) -> ImageView:
    """
    Encode an image as a camera does; chroma is the average of the pixels that share it.

    :param rgb: uint8, shape (height, width, 3).
    """
    height, width = rgb.shape[:2]
    if encoding in ('mono16', '16UC1'):
        rows = _deepen(to_grey(rgb), is_bigendian)
    elif encoding.endswith('16'):
        rows = _deepen(_ENCODERS[encoding[:-2] + '8'](rgb), is_bigendian)
    elif encoding in ('i420', 'yuv420', 'yv12'):
        return _planar(rgb, encoding, padding)
    elif encoding == 'nv24':
        # A row of chroma is as long as two of luma, padding included.
        rows = _nv24(rgb, padding)
        padding = 0
    else:
        rows = _ENCODERS[encoding](rgb)
    return make_view(rows, width, height, encoding, padding, is_bigendian)


def _channels(order: str) -> Callable[[Pixels], Pixels]:
    def encode_channels(rgb: Pixels) -> Pixels:
        # Alpha is noise: nobody may look at it.
        alpha = np.random.default_rng(3).integers(0, 256, (*rgb.shape[:2], 1), np.uint8)
        rgba = np.concatenate([rgb, alpha], axis=2)
        picked = rgba[:, :, ['rgba'.index(channel) for channel in order]]
        return np.ascontiguousarray(picked).reshape(rgb.shape[0], -1)

    return encode_channels


def _deepen(rows: Pixels, is_bigendian: bool) -> Pixels:
    """Make samples of 16 bits of those of 8, with noise that leaves them the same."""
    noise = np.random.default_rng(4).integers(-64, 65, rows.shape)
    samples = np.clip(rows.astype(int) * 257 + noise, 0, 65535)
    deep = samples.astype('>u2' if is_bigendian else '<u2', 'C')
    return deep.view(np.uint8).reshape(rows.shape[0], -1)


def _planar(rgb: Pixels, encoding: str, padding: int) -> ImageView:
    """Lay three planes behind one another; rows of chroma are half as long, padding included."""
    yuv = to_yuv(rgb)
    chroma = _round(average(yuv[:, :, 1:], 2, 2))
    step = rgb.shape[1] + padding
    planes = [_round(yuv[:, :, 0]), chroma[:, :, 0], chroma[:, :, 1]]
    if encoding == 'yv12':
        planes[1:] = planes[:0:-1]
    padded = [np.pad(plane, ((0, 0), (0, length - plane.shape[1])), constant_values=77)
              for plane, length in zip(planes, (step, (step + 1) // 2, (step + 1) // 2))]
    data = np.concatenate([plane.reshape(-1) for plane in padded])
    return ImageView(HEADER, rgb.shape[0], rgb.shape[1], encoding, False, step, data)


def _round(plane: Real) -> Pixels:
    rounded: Pixels = np.round(plane).astype(np.uint8)
    return rounded


def _planes(u_first: bool) -> Callable[[Pixels], Pixels]:
    def encode_planes(rgb: Pixels) -> Pixels:
        yuv = to_yuv(rgb)
        chroma = _round(average(yuv[:, :, 1:], 2, 2))
        if not u_first:
            chroma = chroma[:, :, ::-1]
        chroma_rows = chroma.reshape(chroma.shape[0], -1)
        luma = np.pad(_round(yuv[:, :, 0]), ((0, 0), (0, rgb.shape[1] % 2)))
        return np.concatenate([luma, chroma_rows])

    return encode_planes


def _nv24(rgb: Pixels, padding: int) -> Pixels:
    height, width = rgb.shape[:2]
    yuv = _round(to_yuv(rgb))
    rows = np.full((3 * height, width + padding), 77, np.uint8)
    rows[:height, :width] = yuv[:, :, 0]
    rows[height:].reshape(height, -1)[:, :2 * width] = yuv[:, :, 1:].reshape(height, -1)
    return rows


def _packed_422(order: str) -> Callable[[Pixels], Pixels]:
    def encode_422(rgb: Pixels) -> Pixels:
        yuv = to_yuv(rgb)
        chroma = _round(average(yuv[:, :, 1:], 2, 1))
        luma = np.pad(_round(yuv[:, :, 0]), ((0, 0), (0, rgb.shape[1] % 2)))
        parts = {'y': luma[:, ::2], 'u': chroma[:, :, 0], 'Y': luma[:, 1::2], 'v': chroma[:, :, 1]}
        return np.stack([parts[part] for part in order], axis=2).reshape(rgb.shape[0], -1)

    return encode_422


def _bayer(first_rows: str) -> Callable[[Pixels], Pixels]:
    def encode_bayer(rgb: Pixels) -> Pixels:
        mosaic = np.empty(rgb.shape[:2], np.uint8)
        for place, colour in enumerate(first_rows):
            y, x = divmod(place, 2)
            mosaic[y::2, x::2] = rgb[y::2, x::2, 'rgb'.index(colour)]
        return mosaic

    return encode_bayer


_ENCODERS: Dict[str, Callable[[Pixels], Pixels]] = {
    'rgb8': _channels('rgb'), 'bgr8': _channels('bgr'),
    'rgba8': _channels('rgba'), 'bgra8': _channels('bgra'),
    '8UC3': _channels('bgr'), '8UC4': _channels('bgra'),
    'mono8': to_grey, '8UC1': to_grey,
    'nv12': _planes(True), 'nv21': _planes(False),
    'uyvy': _packed_422('uyvY'), 'yuv422': _packed_422('uyvY'),
    'yuyv': _packed_422('yuYv'), 'yuv422_yuy2': _packed_422('yuYv'),
    'bayer_rggb8': _bayer('rggb'), 'bayer_bggr8': _bayer('bggr'),
    'bayer_gbrg8': _bayer('gbrg'), 'bayer_grbg8': _bayer('grbg')}


def demosaic(mosaic: Pixels, first_rows: str) -> Real:
    """
    Fill the gaps of a Bayer mosaic with the mean of the nearest samples of the same colour.

    The outermost pixels repeat those beside them, as in OpenCV.

    :param first_rows: colours of the first two rows' first two pixels, such as ``rggb``.
    :returns: RGB, shape (height, width, 3).
    """
    height, width = mosaic.shape
    rgb = np.empty((height, width, 3))
    for index, colour in enumerate('rgb'):
        known = np.zeros((height, width))
        for place, there in enumerate(first_rows):
            y, x = divmod(place, 2)
            known[y::2, x::2] = there == colour
        weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]] if colour != 'g' else
                           [[0, 1, 0], [1, 4, 1], [0, 1, 0]])
        rgb[:, :, index] = _sum_around(mosaic * known, weights) / _sum_around(known, weights)
    return np.pad(rgb[1:-1, 1:-1], ((1, 1), (1, 1), (0, 0)), mode='edge')


def _sum_around(plane: Real, weights: NDArray[Any]) -> Real:
    padded = np.pad(plane, 1)
    height, width = plane.shape
    total: Real = np.zeros(plane.shape)
    for y in range(3):
        for x in range(3):
            total += weights[y, x] * padded[y:y + height, x:x + width]
    return total


def reference(rgb: Pixels, encoding: str, width: int, height: int) -> Planes:
    """
    Compute what NV12 of a given size an image in a given encoding has to become.

    Images that are YUV already are resized plane by plane. All others are resized first; the
    chroma is that of the mean of each 2x2 pixels.
    """
    if encoding in GREY:
        grey = resize(to_grey(rgb), width, height)
        return Planes(16 + grey * (219 / 255), np.full((height // 2, width // 2, 2), 128.0))
    if encoding in YUV:
        yuv = to_yuv(rgb)
        group = {'nv24': (1, 1), **dict.fromkeys(YUV_420, (2, 2))}.get(encoding, (2, 1))
        chroma = average(yuv[:, :, 1:], *group)
        return Planes(
            resize(yuv[:, :, 0], width, height), resize(chroma, width // 2, height // 2))
    if encoding.startswith('bayer_'):
        order = encoding[len('bayer_'):][:4]
        yuv = to_yuv(resize(demosaic(_bayer(order)(rgb), order), width, height))
    else:
        yuv = to_yuv(resize(rgb, width, height))
    return Planes(yuv[:, :, 0], average(yuv[:, :, 1:], 2, 2))
