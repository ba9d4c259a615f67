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

What is decoded must be what was checked. So nothing may stand before a JPEG's pixels that libjpeg
reads otherwise than as a segment, and of a PNG only the chunks that make the picture are handed
on: OpenCV believes the length that a chunk claims, and unpacks texts that nobody reads.
"""

from __future__ import annotations

import re
import struct
from typing import Iterator, List, NamedTuple, Tuple

import cv2
from mobilenetv2_ros.image_message import (
    check_size, CompressedView, ImageMessageError, ImageView, shorten)
from mobilenetv2_ros.nv12 import place
import numpy as np
from numpy.typing import NDArray

_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_CHUNKS = (b'IHDR', b'PLTE', b'tRNS', b'eXIf', b'IDAT', b'IEND')
"""What makes the picture, and how it was held; animations, texts and profiles are left out."""

_PNG_FRAME_BYTES = 12
"""Length, type and checksum of a chunk."""

_JPEG_START, _JPEG_END = b'\xff\xd8\xff', b'\xff\xd9'
_JPEG_SEGMENT = re.compile(rb'\xff+([^\xff])(..)', re.DOTALL)
"""A marker, which may be repeated 0xff before it, and the length of its segment."""

_FRAME_HEADERS = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
_TABLES = frozenset((0xc4, 0xcc, 0xdb, 0xdd, 0xfe, *range(0xe0, 0xf0)))
"""Segments with coding tables, comments and data of applications."""

_SEQUENTIAL = (0xc0, 0xc1)
_SCAN = 0xda
_SCAN_MARK = re.compile(rb'\xff\xda')
_MOST_SCANS = 64
"""Encoders make ten at most. Each costs the time of a whole picture and a few dozen bytes."""

_MOST_PARTS = 100_000
"""Segments or chunks; a PNG of 50 million pixels has some 20000."""

_REDUCTIONS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2))

_TAIL_BYTES = 4096
"""Cameras pad their files; the end mark is looked for in the last bytes."""


class _FileHeader(NamedTuple):
    """The size in pixels, and the file as it is to be decoded."""

    width: int
    height: int
    can_reduce: bool
    data: NDArray[np.uint8]


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
        decoded = cv2.imdecode(header.data, flag)
    except cv2.error as error:
        raise ImageMessageError(
            f'a compressed picture cannot be decoded: {error.err or error}') from None
    if decoded is None:
        raise ImageMessageError(
            f"a compressed picture of format '{shorten(view.format)}' cannot be decoded")
    pixels = np.asarray(decoded, np.uint8)
    height, width = pixels.shape[:2]
    return ImageView(view.header, height, width, 'bgr8', False, 3 * width, pixels.reshape(-1))


def _read_header(view: CompressedView) -> _FileHeader:
    start = view.data[:8].tobytes()
    if start == _PNG_START:
        return _read_png(view.data)
    if start.startswith(_JPEG_START):
        if _JPEG_END not in view.data[-_TAIL_BYTES:].tobytes():
            raise ImageMessageError('a JPEG picture is cut off: it has no end mark')
        return _read_jpeg(view.data)
    raise ImageMessageError(
        f"a compressed picture of format '{shorten(view.format)}' starts with 0x{start.hex()}; "
        'expected JPEG or PNG')


def _read_png(data: NDArray[np.uint8]) -> _FileHeader:
    kept: List[memoryview] = [data.data[:len(_PNG_START)]]
    for kind, chunk in _split_png(data.data):
        if (kind == b'IHDR') != (len(kept) == 1):
            raise ImageMessageError('a PNG picture is damaged: its header is not where it is due')
        if kind in _PNG_CHUNKS:
            kept.append(chunk)
    if len(kept[1]) != _PNG_FRAME_BYTES + 13:
        raise ImageMessageError('a PNG picture is damaged: its header is of the wrong length')
    width, height = struct.unpack_from('>II', kept[1], 8)
    return _FileHeader(
        width, height, can_reduce=False, data=np.frombuffer(b''.join(kept), np.uint8))


def _split_png(data: memoryview) -> Iterator[Tuple[bytes, memoryview]]:
    """Yield type and bytes of each chunk, up to the end chunk."""
    position = len(_PNG_START)
    for _ in range(_MOST_PARTS):
        if position + _PNG_FRAME_BYTES > len(data):
            break
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + _PNG_FRAME_BYTES + length
        if end > len(data):
            break
        yield kind, data[position:end]
        if kind == b'IEND':
            return
        position = end
    raise ImageMessageError('a PNG picture is cut off: it has no end chunk')


def _read_jpeg(data: NDArray[np.uint8]) -> _FileHeader:
    frame_kind, frame = 0, memoryview(b'')
    for kind, content in _split_jpeg(data.data):
        if kind in _FRAME_HEADERS and not frame:
            frame_kind, frame = kind, content
        elif kind == _SCAN and frame:
            break
        elif kind not in _TABLES:
            raise ImageMessageError(
                f'a JPEG picture is damaged: marker 0xff{kind:02x} before its pixels')
    try:
        height, width, components = struct.unpack_from('>xHHB', frame)
    except struct.error:
        raise ImageMessageError('a JPEG picture has a frame header that is too short') from None
    is_one_scan = frame_kind in _SEQUENTIAL and bytes(content[:1]) == bytes([components])
    # Counting takes a while; cameras send one scan.
    if not is_one_scan and len(_SCAN_MARK.findall(data.data)) > _MOST_SCANS:
        raise ImageMessageError(f'a JPEG picture has more than {_MOST_SCANS} scans')
    return _FileHeader(width, height, can_reduce=True, data=data)


def _split_jpeg(data: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """Yield marker and content of each segment; what follows the first scan is none."""
    position = 2
    for _ in range(_MOST_PARTS):
        found = _JPEG_SEGMENT.match(data, position)
        if found is None:
            break
        length = int.from_bytes(found[2], 'big')
        yield found[1][0], data[found.start(2) + 2:found.start(2) + length]
        position = found.start(2) + max(2, length)
    if position + 4 > len(data):
        raise ImageMessageError('a JPEG picture ends before its pixels')
    raise ImageMessageError('a JPEG picture is damaged: no marker where one is due')
