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

"""The ways of a message that are fuzzed; anything raised but ImageMessageError is a find."""

from __future__ import annotations

import struct
from typing import Callable, Dict
import zlib

from mobilenetv2_ros.image.compressed_image import decode_compressed
from mobilenetv2_ros.image.image_message import (
    ImageMessageError, parse_compressed_image, parse_image)
from mobilenetv2_ros.image.nv12 import Nv12, Nv12Converter, RESIZE_MODES
import numpy as np

SIDE = 16
MAX_PIXELS = 1 << 12

_TARGET = Nv12.over(np.zeros((SIDE * 3 // 2, SIDE), np.uint8), SIDE, SIDE)
_CONVERTER = Nv12Converter()


def convert_image(message: bytes) -> bool:
    """Go the way of a serialized Image; tells whether it was an image."""
    try:
        view = parse_image(message, MAX_PIXELS)
        assert view.step * view.height <= view.data.size < len(message)
        _CONVERTER.convert(view, RESIZE_MODES[len(message) % 3], _TARGET)
    except ImageMessageError:
        return False
    return True


def convert_compressed_image(message: bytes) -> bool:
    """Go the way of a serialized CompressedImage; tells whether it was an image."""
    mode = RESIZE_MODES[len(message) % 3]
    try:
        view = decode_compressed(parse_compressed_image(message), SIDE, SIDE, mode, MAX_PIXELS)
        assert view.width * view.height <= MAX_PIXELS
        _CONVERTER.convert(view, mode, _TARGET)
    except ImageMessageError:
        return False
    return True


TARGETS: Dict[str, Callable[[bytes], bool]] = {
    'image': convert_image, 'compressed_image': convert_compressed_image}


def repair_checksums(message: bytes) -> bytes:
    """Give each chunk of a PNG its right checksum, so that libpng looks at what is in it."""
    mended = bytearray(message)
    place = message.find(b'\x89PNG') + 8
    while 8 <= place <= len(mended) - 12:
        length, = struct.unpack_from('>I', mended, place)
        end = place + 8 + length
        if end + 4 > len(mended):
            break
        struct.pack_into('>I', mended, end, zlib.crc32(mended[place + 4:end]))
        place = end + 4
    return bytes(mended)
