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

"""PNG and JPEG files that lie, as somebody with bad intentions would write them."""

from __future__ import annotations

import struct
from typing import Any, Dict
import zlib

import cv2
import numpy as np

PNG_START = b'\x89PNG\r\n\x1a\n'
IEND = b'\0\0\0\0IEND\xaeB`\x82'
BLACK_ROWS = zlib.compress(bytes(8 * (1 + 3 * 8)))
"""8x8 pixels of RGB, each row behind the byte of its filter."""


def compress(pixels: Any, form: str, *options: int) -> bytes:
    """
    Write a file with OpenCV.

    :param form: ``jpeg`` or ``png``.
    """
    done, encoded = cv2.imencode(f'.{form}', pixels, list(options))
    assert done
    return encoded.tobytes()


def png_chunk(kind: bytes, content: bytes = b'') -> bytes:
    """Write a chunk whose length and checksum are right."""
    return struct.pack('>I4s', len(content), kind) + content + struct.pack(
        '>I', zlib.crc32(kind + content))


def png_header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """Write the header chunk; ``colour`` 2 is RGB."""
    return png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0))


def make_png(*chunks: bytes, rows: bytes = BLACK_ROWS) -> bytes:
    """Write a black RGB file of 8x8 pixels with further chunks behind its header."""
    return b''.join([PNG_START, png_header(8, 8), *chunks, png_chunk(b'IDAT', rows), IEND])


def surplus_png(surplus: int, chunks: int = 1) -> bytes:
    """Write a PNG of 8x8 pixels whose data goes on with so many zeros."""
    deflater = zlib.compressobj(9)
    rows = b''.join([deflater.compress(bytes(200 + surplus)), deflater.flush()])
    size = -(-len(rows) // chunks)
    parts = [png_chunk(b'IDAT', rows[start:start + size]) for start in range(0, len(rows), size)]
    return b''.join([PNG_START, png_header(8, 8), *parts, IEND])


def jpeg_segment(marker: int, content: bytes = b'') -> bytes:
    """Write a segment whose length is right."""
    return struct.pack('>BBH', 0xff, marker, 2 + len(content)) + content


def hide_frame_header(marker: int, side: int) -> bytes:
    """
    Write a JPEG of 64x48 pixels to who takes a marker for a segment, and a huge one to libjpeg.

    :param marker: one that has no length, or none at all.
    :param side: of the huge image, in pixels.
    """
    good = compress(np.zeros((48, 64, 3), np.uint8), 'jpeg')
    frame = good.index(b'\xff\xc0')
    huge = bytearray(good[frame:-2])
    struct.pack_into('>HH', huge, 5, side, side)
    # The first two bytes of the true frame header, taken for the length of a segment.
    skipped = bytes(huge).ljust(0xffc0, b'\0')
    return b''.join([good[:frame], bytes([0xff, marker]), skipped, good[frame:frame + 19],
                     jpeg_segment(0xda, bytes(10)), b'\xff\xd9'])


def repeat_scans(count: int, side: int = 64) -> bytes:
    """Write a progressive JPEG whose last scan is repeated."""
    good = compress(np.zeros((side, side, 3), np.uint8), 'jpeg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    return good[:-2] + good[good.rindex(b'\xff\xda'):-2] * count + b'\xff\xd9'


def lie_about_length(kind: bytes, length: int) -> bytes:
    """Write a PNG with a chunk that says it is longer than the file."""
    png = make_png()
    return png[:33] + struct.pack('>I4s', length, kind) + png[33:]


def make_bombs() -> Dict[str, bytes]:
    """Return small files that ask for much memory or time, by what must be said of them."""
    size = struct.pack('>II', 8, 8)
    return {
        **{f'marker 0xff{marker:02x} before its pixels': hide_frame_header(marker, 20000)
           for marker in (0x00, 0x01, 0xd0, 0xd7)},
        'more than 32 scans': repeat_scans(10_000),
        'its header is of the wrong length': make_png().replace(
            png_header(8, 8), png_chunk(b'IHDR', size * 9)),
        'its header is not where it is due': make_png().replace(
            PNG_START, PNG_START + png_chunk(b'tEXt', size + bytes(5)), 1),
        'not where it is due': make_png(png_header(30000, 30000)),
        'its data goes on behind': surplus_png(1 << 20),
        'a PNG image is cut off: it has no end': lie_about_length(b'tEXt', 2 ** 31 - 1),
        'a PNG image is cut off': lie_about_length(b'IDAT', 2 ** 32 - 1),
        '60000x60000 is larger than': make_png().replace(
            png_header(8, 8), png_header(60000, 60000)),
        '65500x65500 is larger than': compress(np.zeros((8, 8, 3), np.uint8), 'jpeg').replace(
            b'\x08\0\x08\0\x08\x03', b'\x08\xff\xdc\xff\xdc\x03')}
