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


"""A PNG file is rewritten as one of the same pixels, whatever its kind."""

from __future__ import annotations

import struct
from typing import Any, Iterator, List
import zlib

import cv2
from mobilenetv2_ros.image.image_message import ImageMessageError
from mobilenetv2_ros.image.png import prepare_png
import numpy as np
import pytest
from support import sample_images
from support.hostile_images import compress, IEND, make_png, png_chunk, PNG_START

KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8),
         (4, 8), (4, 16), (6, 8), (6, 16)]
"""Colour type and bits of each sample, as RFC 2083 has them."""

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

ADAM7 = np.array([
    [1, 6, 4, 6, 2, 6, 4, 6], [7, 7, 7, 7, 7, 7, 7, 7], [5, 6, 5, 6, 5, 6, 5, 6],
    [7, 7, 7, 7, 7, 7, 7, 7], [3, 6, 4, 6, 3, 6, 4, 6], [7, 7, 7, 7, 7, 7, 7, 7],
    [5, 6, 5, 6, 5, 6, 5, 6], [7, 7, 7, 7, 7, 7, 7, 7]])
"""In which pass a pixel comes (RFC 2083, 2.6)."""


def list_rows(width: int, height: int, is_interlaced: bool) -> Iterator[int]:
    """Yield the number of pixels of each row of the file."""
    if not is_interlaced:
        yield from [width] * height
        return
    passes = np.tile(ADAM7, (-(-height // 8), -(-width // 8)))[:height, :width]
    for number in range(1, 8):
        yield from (int(count) for count in (passes == number).sum(axis=1) if count)


def write_png(width: int, height: int, colour_type: int, bits: int, is_interlaced: bool) -> bytes:
    """Write a file of random samples."""
    random = np.random.default_rng(width * 100 + height)
    rows: List[bytes] = []
    for pixels in list_rows(width, height, is_interlaced):
        size = -(-pixels * bits * CHANNELS[colour_type] // 8)
        rows.append(bytes([random.integers(0, 5)]) + random.bytes(size))
    header = struct.pack('>IIBBBBB', width, height, bits, colour_type, 0, 0, is_interlaced)
    palette = png_chunk(b'PLTE', random.bytes(3 << bits)) if colour_type == 3 else b''
    data = zlib.compress(b''.join(rows))
    return b''.join([PNG_START, png_chunk(b'IHDR', header), palette,
                     png_chunk(b'IDAT', data[:10]), png_chunk(b'IDAT', data[10:]), IEND])


def prepare(data: bytes, max_pixels: int = 1 << 20) -> Any:
    return prepare_png(memoryview(data), max_pixels).data


def decode(data: Any, flag: int = cv2.IMREAD_COLOR) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


@pytest.mark.parametrize('is_interlaced', [False, True])
@pytest.mark.parametrize('colour_type, bits', KINDS)
def test_pixels_stay_the_same(colour_type: int, bits: int, is_interlaced: bool) -> None:
    for width, height in (
            (1, 1), (2, 1), (1, 3), (3, 4), (4, 5), (5, 4), (8, 8), (9, 17), (70, 3)):
        data = write_png(width, height, colour_type, bits, is_interlaced)
        for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
            wanted = decode(data, flag)
            assert wanted.shape[:2] == (height, width)
            assert (decode(prepare(data), flag) == wanted).all()


def test_a_photo_stays_the_same() -> None:
    """Of many chunks, and of rows that fill many blocks."""
    bgr = sample_images.make_sample(640, 480)
    data = compress(bgr, 'png')
    assert data.count(b'IDAT') > 10
    assert (decode(prepare(data)) == bgr).all()


def test_size_is_refused_before_anything_is_inflated() -> None:
    with pytest.raises(ImageMessageError, match='8x8 is larger than the 63 pixels'):
        prepare(make_png(rows=b'rubbish'), 63)


@pytest.mark.parametrize('colour_type, bits', [(1, 8), (5, 8), (7, 8), (255, 8), (2, 0), (2, 3),
                                               (2, 255)])
def test_colours_that_do_not_exist_are_refused(colour_type: int, bits: int) -> None:
    header = struct.pack('>IIBBBBB', 8, 8, bits, colour_type, 0, 0, 0)
    data = PNG_START + png_chunk(b'IHDR', header) + IEND
    with pytest.raises(ImageMessageError, match=f'{bits} bits of colour type {colour_type}'):
        prepare(data)


def test_a_file_without_a_header() -> None:
    with pytest.raises(ImageMessageError, match='its header is not where it is due'):
        prepare(PNG_START + IEND)
