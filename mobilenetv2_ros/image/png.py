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
PNG files, read far enough to know that decoding them costs no more than their pixels.

The format is that of RFC 2083: chunks of length, type, content and checksum. The size stands in
the first one, IHDR. The rows of pixels, each behind a byte for its filter, are one stream of zlib
(RFC 1950) that is cut into IDAT chunks.

libpng and OpenCV go further than the pixels do: they believe the length that a chunk claims,
unpack texts that nobody reads, and inflate whatever follows the last row, which is 1000 times as
much as the bytes that came. So only the chunks that make the image are handed on, and the rows are
inflated here, to the byte that the header makes the last. They are handed on in a stream that is
not compressed: to inflate them a second time would take longer than to copy them.
"""

from __future__ import annotations

import struct
from typing import Iterator, List, NamedTuple, Tuple, Union
import zlib

from mobilenetv2_ros.image.image_message import check_size, ImageMessageError
import numpy as np
from numpy.typing import NDArray

PNG_START = b'\x89PNG\r\n\x1a\n'

_KEPT = (b'PLTE', b'tRNS', b'eXIf')
"""What tells colours and how the camera was held, beside header, rows and end."""

_FRAME_BYTES = 12
"""Length, type and checksum of a chunk."""

_MAX_CHUNKS = 100_000
"""A PNG of 50 million pixels has some 20000."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type: grey, RGB, palette, grey and alpha, RGB and alpha."""

_WITH_ALPHA, _WITH_COLOUR_KEY = (4, 6), (2, 3)

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))
"""First column and row, and steps between them, of each pass of an interlaced image."""

_BITE = 1 << 16
"""Bytes that are inflated at once."""

_MAX_STORED = (1 << 16) - 1
"""Length of a block that is not compressed (RFC 1951, 3.2.4)."""


_HEADER_FORM = '>IIBBBBB'


class _Header(NamedTuple):
    """The fields of IHDR."""

    width: int
    height: int
    bits: int
    colour_type: int
    compression: int
    filtering: int
    interlacing: int


class PreparedPng(NamedTuple):
    """
    A PNG file that can be decoded without fear.

    :param data: uint8, flat.
    :param is_deep: whether its samples have 16 bits.
    """

    data: NDArray[np.uint8]
    has_alpha: bool
    is_deep: bool


def prepare_png(data: memoryview, max_pixels: int) -> PreparedPng:
    """
    Rewrite a PNG file as one of the same pixels that costs no more than they do.

    :param max_pixels: a larger image is refused before anything of it is inflated.
    :raises ImageMessageError: the file is damaged, cut off or too large.
    """
    chunks = _read_chunks(data)
    header = _read_header(*next(chunks, (b'', memoryview(b''))))
    check_size(header.width, header.height, max_pixels)
    parts = [PNG_START, *_write_chunk(b'IHDR', struct.pack(_HEADER_FORM, *header))]
    rows, has_alpha = [], header.colour_type in _WITH_ALPHA
    for kind, content in chunks:
        if kind == b'IHDR':
            raise _misplaced_header()
        if kind == b'IDAT':
            rows.append(content)
        elif kind in _KEPT:
            has_alpha = has_alpha or (kind == b'tRNS' and header.colour_type in _WITH_COLOUR_KEY)
            parts += _write_chunk(kind, content)
    for stored in _store(_inflate(rows, _count_bytes(header))):
        parts += _write_chunk(b'IDAT', *stored)
    parts += _write_chunk(b'IEND')
    return PreparedPng(np.frombuffer(b''.join(parts), np.uint8), has_alpha, header.bits == 16)


def _read_chunks(data: memoryview) -> Iterator[Tuple[bytes, memoryview]]:
    """Yield type and content of each chunk up to the end chunk."""
    position = len(PNG_START)
    for _ in range(_MAX_CHUNKS):
        if position + _FRAME_BYTES > len(data):
            break
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + _FRAME_BYTES + length
        if end > len(data):
            break
        if kind == b'IEND':
            return
        yield kind, data[position + 8:end - 4]
        position = end
    raise ImageMessageError('a PNG image is cut off: it has no end chunk')


def _write_chunk(kind: bytes, *contents: Union[bytes, memoryview]) -> List[
        Union[bytes, memoryview]]:
    checksum = zlib.crc32(kind)
    for content in contents:
        checksum = zlib.crc32(content, checksum)
    length = sum(map(len, contents))
    return [struct.pack('>I4s', length, kind), *contents, struct.pack('>I', checksum)]


def _misplaced_header() -> ImageMessageError:
    return ImageMessageError('a PNG image is damaged: its header is not where it is due')


def _read_header(kind: bytes, content: memoryview) -> _Header:
    if kind != b'IHDR':
        raise _misplaced_header()
    try:
        header = _Header(*struct.unpack(_HEADER_FORM, content))
    except struct.error:
        raise ImageMessageError(
            'a PNG image is damaged: its header is of the wrong length') from None
    if header.colour_type not in _CHANNELS or header.bits not in (1, 2, 4, 8, 16):
        raise ImageMessageError(
            f'a PNG image is damaged: it has {header.bits} bits of colour type '
            f'{header.colour_type}')
    return header


def _count_bytes(header: _Header) -> int:
    """Count the bytes of all rows, each with that of its filter."""
    bits = header.bits * _CHANNELS[header.colour_type]
    total = 0
    for left, top, across, down in _PASSES if header.interlacing else ((0, 0, 1, 1),):
        columns, rows = -((left - header.width) // across), -((top - header.height) // down)
        if columns > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _inflate(contents: List[memoryview], size: int) -> Iterator[bytes]:
    """
    Inflate a stream that is cut into chunks.

    :param size: bytes that it has to give; no more than one byte beyond is inflated.
    :raises ImageMessageError: it gives more or less.
    """
    inflater, left = zlib.decompressobj(), size
    try:
        for content in contents:
            for start in range(0, len(content), _BITE):
                if inflater.eof:  # what follows the stream would be kept
                    break
                inflated = inflater.decompress(content[start:start + _BITE], left + 1)
                left -= len(inflated)
                if left < 0:
                    raise ImageMessageError(
                        f'a PNG image is damaged: its data goes on behind the {size} bytes of its '
                        'rows')
                yield inflated
    except zlib.error as error:
        raise ImageMessageError(f'a PNG image is damaged: {error}') from None
    if left or not inflater.eof:
        raise ImageMessageError(
            f'a PNG image is damaged: its rows have {size} bytes, but its data ends before')


def _store(pieces: Iterator[bytes]) -> Iterator[Tuple[bytes, ...]]:
    """Write a stream of zlib without compressing it, in parts fit for a chunk each."""
    checksum = 1
    yield (b'\x78\x01',)
    for piece in pieces:
        checksum = zlib.adler32(piece, checksum)
        for start in range(0, len(piece), _MAX_STORED):
            block = piece[start:start + _MAX_STORED]
            yield struct.pack('<BHH', 0, len(block), len(block) ^ _MAX_STORED), block
    yield struct.pack('<BHH', 1, 0, _MAX_STORED), struct.pack('>I', checksum)
