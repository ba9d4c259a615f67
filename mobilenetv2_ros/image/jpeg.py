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
JPEG files, read far enough to know that decoding them costs no more than their pixels.

The format is that of ITU-T T.81: segments, each behind a marker, of which the frame header
(SOF0..SOF15) tells the size, and scans with the coded pixels. What is decoded must be what was
checked. So nothing may stand before the pixels that libjpeg reads otherwise than as a segment.
"""

from __future__ import annotations

import re
import struct
from typing import Iterator, List, NamedTuple, Tuple

from mobilenetv2_ros.image.image_message import check_size, ImageMessageError
import numpy as np
from numpy.typing import NDArray

JPEG_START = b'\xff\xd8\xff'

_SEGMENT = re.compile(rb'\xff+([^\xff])(..)', re.DOTALL)
"""A marker, which may be repeated 0xff before it, and the length of its segment."""

_FRAME_HEADERS = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
_TABLES = frozenset((0xc4, 0xcc, 0xdb, 0xdd, 0xfe, *range(0xe0, 0xf0)))
"""Segments with coding tables, comments and data of applications."""

_SEQUENTIAL = (0xc0, 0xc1)
_SCAN = 0xda
_SCAN_MARK = re.compile(rb'\xff\xda')
_MAX_SCANS = 32
"""Encoders make ten at most. Each costs the time of a whole image and a few dozen bytes."""

_MAX_SEGMENTS = 100_000

_END_MARK = b'\xff\xd9'
_FIND_END_MARK = re.compile(_END_MARK)
_TAIL_BYTES = 4096
"""In which the end mark mostly is: to look there first is faster."""

_FILLINGS = (b'', b'\xaa' * 64)
"""Codes of different pixels, for an image whose own may have ended."""


class JpegHeader(NamedTuple):
    """
    What is known of a file before it is decoded.

    :param has_end: whether its end is marked; cameras may pad it with anything they like.
    """

    width: int
    height: int
    has_end: bool


def read_jpeg(data: memoryview, max_pixels: int) -> JpegHeader:
    """
    Read the header of a JPEG file.

    :param max_pixels: a larger image is refused.
    :raises ImageMessageError: the file is damaged, cut off, too large, or asks for too much work.
    """
    frame_kind, frame = 0, memoryview(b'')
    for kind, content, position in _split(data):
        if kind in _FRAME_HEADERS and not frame:
            frame_kind, frame = kind, content
        elif kind == _SCAN and frame:
            break
        elif kind not in _TABLES:
            raise ImageMessageError(
                f'a JPEG image is damaged: marker 0xff{kind:02x} before its pixels')
    try:
        height, width, components = struct.unpack_from('>xHHB', frame)
    except struct.error:
        raise ImageMessageError('a JPEG image has a frame header that is too short') from None
    check_size(width, height, max_pixels)
    is_one_scan = frame_kind in _SEQUENTIAL and bytes(content[:1]) == bytes([components])
    # Counting takes a while; cameras send one scan.
    if not is_one_scan and len(_SCAN_MARK.findall(data)) > _MAX_SCANS:
        raise ImageMessageError(f'a JPEG image has more than {_MAX_SCANS} scans')
    # Among coded pixels no 0xff is followed by anything but zero or the mark of a restart.
    has_end = _END_MARK in bytes(data[max(position, len(data) - _TAIL_BYTES):]) or (
        _FIND_END_MARK.search(data, position) is not None)
    return JpegHeader(width, height, has_end)


def mark_end(data: memoryview) -> List[NDArray[np.uint8]]:
    """
    Write an end mark behind the pixels of a file without one, in two ways.

    It is whole, and was only not marked or overwritten by padding, if both ways give the same
    pixels: what stands behind the last one then makes no difference.

    :param data: zeros and 0xff at its end are taken for padding.
    :returns: two files, uint8, flat.
    """
    pixels = bytes(data).rstrip(b'\xff\0')
    return [np.frombuffer(b''.join([pixels, filling, _END_MARK]), np.uint8)
            for filling in _FILLINGS]


def _split(data: memoryview) -> Iterator[Tuple[int, memoryview, int]]:
    """
    Yield marker, content and end of each segment.

    What follows the first scan's header is no segment.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _SEGMENT.match(data, position)
        if found is None:
            break
        length = int.from_bytes(found[2], 'big')
        start, position = found.start(2) + 2, found.start(2) + max(2, length)
        yield found[1][0], data[start:position], position
    if position + 4 > len(data):
        raise ImageMessageError('a JPEG image ends before its pixels')
    raise ImageMessageError('a JPEG image is damaged: no marker where one is due')
