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
JPEG and PNG pictures to pixels, decoded to no more than the model needs.

The size stands in the file's header: in JPEG (ITU-T T.81) in the frame header, a marker segment
SOF0..SOF15; in PNG (RFC 2083) in the first chunk, IHDR. It is read before anything is decoded, so
that a small message cannot ask for a huge picture. libjpeg decodes at a half, a quarter or an
eighth for a fraction of the time.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import cv2
from mobilenetv2_ros.image_message import check_size, CompressedView, ImageMessageError, ImageView
from mobilenetv2_ros.nv12 import place
import numpy as np

_PNG_START = b'\x89PNG\r\n\x1a\n'
_JPEG_START, _JPEG_END = b'\xff\xd8\xff', b'\xff\xd9'
_NO_FRAME_HEADERS = (0xc4, 0xc8, 0xcc)
"""Markers between SOF0 and SOF15 that are none: Huffman tables, reserved, arithmetic coding."""

_REDUCTIONS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2))

_TAIL_BYTES = 4096
"""Cameras pad their files; the end mark is looked for in the last bytes."""


class _FileHeader(NamedTuple):
    width: int
    height: int
    can_reduce: bool


def decode_compressed(view: CompressedView, target_height: int, target_width: int, mode: str,
                      max_pixels: int) -> ImageView:
    """
    Decode a picture as far as it is needed to fill a model's input.

    :param target_height: of the model's input in pixels, like ``target_width``.
    :param mode: one of :data:`mobilenetv2_ros.nv12.RESIZE_MODES`.
    :param max_pixels: a larger picture is refused before it is decoded.
    :returns: bgr8; a JPEG picture of twice the needed size or more comes reduced.
    :raises ImageMessageError: the data is neither JPEG nor PNG, damaged, cut off or too large.
    """
    header = _read_header(view)
    check_size(header.width, header.height, max_pixels)
    flag = cv2.IMREAD_COLOR
    if header.can_reduce:
        source, target = place(header.width, header.height, target_width, target_height, mode)
        spare = min(source.width / target.width, source.height / target.height)
        flag = next((flag for factor, flag in _REDUCTIONS if factor <= spare), flag)
    try:
        decoded = cv2.imdecode(view.data, flag)
    except cv2.error as error:
        raise ImageMessageError(f'a compressed picture cannot be decoded: {error.err}') from None
    if decoded is None:
        raise ImageMessageError(
            f"a compressed picture of format '{view.format[:40]}' cannot be decoded")
    pixels = np.asarray(decoded, np.uint8)
    height, width = pixels.shape[:2]
    return ImageView(view.header, height, width, 'bgr8', False, 3 * width, pixels.reshape(-1))


def _read_header(view: CompressedView) -> _FileHeader:
    start = view.data[:8].tobytes()
    tail = view.data[-_TAIL_BYTES:].tobytes()
    if start == _PNG_START:
        if b'IEND' not in tail:
            raise ImageMessageError('a PNG picture is cut off: it has no end chunk')
        return _read_png_header(view.data.data)
    if start.startswith(_JPEG_START):
        if _JPEG_END not in tail:
            raise ImageMessageError('a JPEG picture is cut off: it has no end mark')
        return _read_jpeg_header(view.data.data)
    raise ImageMessageError(
        f"a compressed picture of format '{view.format[:40]}' starts with 0x{start.hex()}; "
        'expected JPEG or PNG')


def _read_png_header(data: memoryview) -> _FileHeader:
    try:
        width, height = struct.unpack_from('>II', data, 16)
    except struct.error:
        raise ImageMessageError('a PNG picture ends within its header') from None
    return _FileHeader(width, height, can_reduce=False)


def _read_jpeg_header(data: memoryview) -> _FileHeader:
    position = 2
    try:
        while True:
            mark, kind, length = struct.unpack_from('>BBH', data, position)
            if mark != 0xff:
                raise ImageMessageError('a JPEG picture is damaged: no marker where one is due')
            if 0xc0 <= kind <= 0xcf and kind not in _NO_FRAME_HEADERS:
                height, width = struct.unpack_from('>HH', data, position + 5)
                return _FileHeader(width, height, can_reduce=True)
            # 0xff may be repeated as padding before a marker.
            position += 1 if kind == 0xff else 2 + length
    except struct.error:
        raise ImageMessageError('a JPEG picture has no frame header') from None
