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
Images in memory, as Python programs have them, to what the node makes of messages.

An array is laid out as OpenCV has it: rows, columns and, where there are several, channels. One in
an encoding that stacks planes (``nv12``) has more rows than the image has.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Dict, NamedTuple, Union

from mobilenetv2_ros.image.image_message import (
    check_size, CompressedView, DEFAULT_MAX_PIXELS, Header, ImageMessageError, ImageView, shorten)
import numpy as np
from numpy.typing import NDArray

EncodedBytes = Union[bytes, bytearray, memoryview]

_NO_HEADER = Header(0, 0, '')


class _Form(NamedTuple):
    """
    The array that holds an image of an encoding.

    :param channels: its third side, 0 for an array of two dimensions.
    :param rows: of the array for each row of the image.
    """

    channels: int
    rows: Fraction = Fraction(1)
    dtype: Any = np.uint8


_PLAIN, _PAIRS, _COLOUR, _COLOUR_AND_ALPHA = _Form(0), _Form(2), _Form(3), _Form(4)
_DEEP = _Form(0, dtype=np.uint16)

_FORMS: Dict[str, _Form] = {
    **dict.fromkeys(('rgb8', 'bgr8', '8UC3'), _COLOUR),
    **dict.fromkeys(('rgba8', 'bgra8', '8UC4'), _COLOUR_AND_ALPHA),
    **dict.fromkeys(('mono8', '8UC1'), _PLAIN),
    **dict.fromkeys(('mono16', '16UC1', *(
        f'bayer_{order}16' for order in ('rggb', 'bggr', 'gbrg', 'grbg'))), _DEEP),
    **dict.fromkeys(('rgb16', 'bgr16'), _Form(3, dtype=np.uint16)),
    **dict.fromkeys(('rgba16', 'bgra16'), _Form(4, dtype=np.uint16)),
    **dict.fromkeys(('nv12', 'nv21', 'i420', 'yuv420', 'yv12'), _Form(0, Fraction(3, 2))),
    'nv24': _Form(0, Fraction(3)),
    **dict.fromkeys(('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'), _PAIRS),
    **dict.fromkeys(('bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8'), _PLAIN),
}


def view_array(array: NDArray[Any], encoding: str = '') -> ImageView:
    """
    View an image that lies in an array.

    :param array: uint8, shape (height, width, 3) for bgr8, (height, width) for mono8; with an
        ``encoding`` as that has it: shape (height, width, channels), (height, width) for one
        channel (uint16 for mono16), (height * 3 / 2, width) for nv12. Copied only if it is not
        contiguous.
    :param encoding: of ``sensor_msgs/image_encodings.hpp``; empty for bgr8 or mono8.
    :raises ImageMessageError: the array's shape or type is not that of the encoding, or nothing
        here knows how an array of this encoding lies.
    """
    encoding = encoding or _find_encoding(array)
    form = _FORMS.get(encoding)
    if form is None:
        raise ImageMessageError(
            f"an array of encoding '{shorten(encoding)}' cannot be classified; expected one of "
            f"{', '.join(_FORMS)}")
    height = array.shape[0] / form.rows if array.ndim else Fraction(0)
    is_fitting = array.dtype.newbyteorder('=') == form.dtype and height.denominator == 1 and (
        array.ndim == 2 if not form.channels else
        array.ndim == 3 and array.shape[2] == form.channels)
    if not is_fitting:
        raise ImageMessageError(
            f'an array of {array.dtype} and shape {array.shape} is no {encoding} image; expected '
            f'{np.dtype(form.dtype)} and shape {_write_shape(form)}')
    rows = np.ascontiguousarray(array, np.dtype(form.dtype).newbyteorder('<'))
    width = array.shape[1]
    check_size(width, int(height), DEFAULT_MAX_PIXELS)
    step = width * (form.channels or 1) * rows.itemsize
    return ImageView(
        _NO_HEADER, int(height), width, encoding, False, step, rows.reshape(-1).view(np.uint8))


def view_encoded(content: Union[EncodedBytes, NDArray[Any]]) -> CompressedView:
    """
    View a JPEG or PNG image that is still encoded.

    :param content: the file's bytes; an array is uint8, shape (size,).
    """
    return CompressedView(_NO_HEADER, '', np.frombuffer(content, np.uint8))


def _find_encoding(array: NDArray[Any]) -> str:
    if array.ndim == 3 and array.shape[2] == 4:
        raise ImageMessageError(
            f"an array of shape {array.shape} has four channels; say encoding='bgra8' or 'rgba8'")
    return 'mono8' if array.ndim == 2 else 'bgr8'


def _write_shape(form: _Form) -> str:
    height = 'height' if form.rows == 1 else f'height * {form.rows}'
    return f'({height}, width, {form.channels})' if form.channels else f'({height}, width)'
