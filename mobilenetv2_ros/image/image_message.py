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
Serialized ``sensor_msgs`` images, parsed in place.

A raw subscription hands over a message as DDS delivered it: CDR, the little or big endian
encoding of OMG's DDS-RTPS specification (chapter 10), fields in the order of ``Image.msg`` and
``CompressedImage.msg``. Reading the dozen header fields by hand and leaving the pixels where
they are saves the copies that a typed message costs. Nothing in the bytes is trusted: anyone on
the network can send them.
"""

from __future__ import annotations

from functools import lru_cache
import struct
from typing import NamedTuple, Optional, Tuple

from mobilenetv2_ros.image.spelling import find_step, read_spelling
import numpy as np
from numpy.typing import NDArray

_ENCAPSULATION_BYTES = 4
_BYTE_ORDERS = {b'\x00\x00': '>', b'\x00\x01': '<'}
_MAX_STRING_BYTES = 1024
"""Longest frame_id, encoding or format taken; the names in use have less than 100."""

DEFAULT_MAX_PIXELS = 50_000_000
"""Largest image taken by default; an 8K camera has 33 million pixels."""


class ImageMessageError(ValueError):
    """A message is no valid image; the text says what was found and what was expected."""


class Header(NamedTuple):
    """``std_msgs/Header`` of an image: ``sec``, ``nanosec`` and ``frame_id``."""

    sec: int
    nanosec: int
    frame_id: str


class Layout(NamedTuple):
    """
    All that tells how pixels lie in the data of an image; the same from image to image.

    ``size`` is the number of bytes of data, ``sample_bits`` what :class:`ImageView` has; the other
    fields are those of ``sensor_msgs/Image``.
    """

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    size: int
    sample_bits: int = 16


class ImageView(NamedTuple):
    """
    An image whose pixels still lie in the message they came in.

    ``data`` is a flat uint8 array of at least ``step * height`` bytes; ``step`` is the length of
    a row in bytes. ``sample_bits`` tells how many of 16 bits are in use, ``note`` what the user
    should know of how the message is read, ``full_size`` height and width of what was decoded at a
    part of its size. The other fields are those of ``sensor_msgs/Image``.
    """

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: NDArray[np.uint8]
    sample_bits: int = 16
    note: str = ''
    full_size: Optional[Tuple[int, int]] = None

    @property
    def layout(self) -> Layout:
        """Tell how the pixels lie in ``data``."""
        return Layout(self.height, self.width, self.encoding, self.is_bigendian, self.step,
                      self.data.size, self.sample_bits)


class CompressedView(NamedTuple):
    """A compressed image (``format`` as in ``sensor_msgs/CompressedImage``), still encoded."""

    header: Header
    format: str  # noqa: A003
    data: NDArray[np.uint8]


class _CdrReader:
    """Read primitive CDR fields one after the other, never beyond the message's end."""

    def __init__(self, message: bytes) -> None:
        order = _BYTE_ORDERS.get(bytes(message[:2]))
        if order is None or len(message) < _ENCAPSULATION_BYTES:
            raise ImageMessageError(
                f'a message of {len(message)} bytes starts with 0x{bytes(message[:2]).hex()}; '
                'expected plain CDR (0x0000 or 0x0001); is the publisher of another type?')
        self._message = message
        self._position = _ENCAPSULATION_BYTES
        self._uint32 = struct.Struct(order + 'I')
        self._int32 = struct.Struct(order + 'i')

    def _read_word(self, word: struct.Struct, field: str) -> int:
        # CDR aligns relative to the byte after the encapsulation, itself a multiple of four.
        start = (self._position + 3) & ~3
        self._position = start + 4
        try:
            value: int = word.unpack_from(self._message, start)[0]
        except struct.error:
            raise ImageMessageError(
                f'a message of {len(self._message)} bytes ends before its {field}') from None
        return value

    def read_uint32(self, field: str) -> int:
        return self._read_word(self._uint32, field)

    def read_int32(self, field: str) -> int:
        return self._read_word(self._int32, field)

    def read_uint8(self, field: str) -> int:
        return int(self._take(1, field)[0])

    def read_string(self, field: str) -> str:
        length = self.read_uint32(field)
        check_text_length(length, field)
        # The length counts the terminating zero.
        return decode_text(self._take(length, field).tobytes().rstrip(b'\0'), field)

    def read_bytes(self, field: str) -> NDArray[np.uint8]:
        return self._take(self.read_uint32(field), field)

    def read_header(self) -> Header:
        sec = self.read_int32('header.stamp.sec')
        nanosec = self.read_uint32('header.stamp.nanosec')
        return Header(sec, nanosec, self.read_string('header.frame_id'))

    def _take(self, length: int, field: str) -> NDArray[np.uint8]:
        start, end = self._position, self._position + length
        if end > len(self._message):
            raise ImageMessageError(
                f'{field} should have {length} bytes, but only '
                f'{max(0, len(self._message) - start)} are left in the message')
        self._position = end
        return np.frombuffer(self._message, np.uint8, length, start)


def parse_image(message: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageView:
    """
    Parse a serialized ``sensor_msgs/msg/Image`` without copying its pixels.

    :param message: the CDR bytes of a raw subscription; they stay in use as long as the view.
    :param max_pixels: a larger image is refused.
    :returns: the view; its ``data`` holds ``step * height`` bytes or more.
    :raises ImageMessageError: the bytes are no such message or contradict themselves.
    """
    reader = _CdrReader(message)
    header = reader.read_header()
    height = reader.read_uint32('height')
    width = reader.read_uint32('width')
    encoding = reader.read_string('encoding')
    is_bigendian = reader.read_uint8('is_bigendian') != 0
    step = reader.read_uint32('step')
    data = reader.read_bytes('data')
    return make_view(header, height, width, encoding, is_bigendian, step, data, max_pixels)


def make_view(header: Header, height: int, width: int, encoding: str, is_bigendian: bool,
              step: int, data: NDArray[np.uint8], max_pixels: int) -> ImageView:
    """
    View an image whose fields have been read.

    :param data: uint8, flat.
    :param max_pixels: a larger image is refused.
    :raises ImageMessageError: the fields contradict themselves.
    """
    fields, note = _check_fields(
        height, width, encoding, is_bigendian, step, data.size, max_pixels)
    return ImageView(header, *fields, data, note=note)


@lru_cache(maxsize=64)
def _check_fields(height: int, width: int, encoding: str, is_bigendian: bool, step: int, size: int,
                  max_pixels: int) -> Tuple[Tuple[int, int, str, bool, int], str]:
    """Return the fields as ROS has them, and a note: the same for all images of a camera."""
    check_size(width, height, max_pixels)
    encoding, note = read_spelling(encoding)
    step = find_step(encoding, width, height, step, size)
    if step * height > size:
        raise ImageMessageError(
            f'a {width}x{height} {shorten(encoding)} image of {step} bytes a row needs '
            f'{step * height} bytes, but data has {size}')
    return (height, width, encoding, is_bigendian, step), note


def parse_compressed_image(message: bytes) -> CompressedView:
    """
    Parse a serialized ``sensor_msgs/msg/CompressedImage`` without copying its data.

    :param message: the CDR bytes of a raw subscription; they stay in use as long as the view.
    :raises ImageMessageError: the bytes are no such message or hold no data.
    """
    reader = _CdrReader(message)
    header = reader.read_header()
    format_name = reader.read_string('format')
    data = reader.read_bytes('data')
    if not data.size:
        raise ImageMessageError(
            f"a compressed image of format '{shorten(format_name)}' has no data")
    return CompressedView(header, format_name, data)


def check_text_length(length: int, field: str) -> None:
    """
    Refuse a text that is longer than any in use.

    :param length: in bytes.
    :raises ImageMessageError: it is.
    """
    if length > _MAX_STRING_BYTES:
        raise ImageMessageError(
            f'{field} has {length} bytes; at most {_MAX_STRING_BYTES} are taken')


def decode_text(text: bytes, field: str) -> str:
    """
    Decode a text of a message.

    :raises ImageMessageError: it is no UTF-8.
    """
    try:
        return str(text, 'utf-8')
    except UnicodeDecodeError:
        raise ImageMessageError(f'{field} is not valid UTF-8') from None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """
    Refuse an image without pixels or with more than ``max_pixels``.

    :raises ImageMessageError: the size is out of bounds.
    """
    if not width or not height:
        raise ImageMessageError(f'an image of {width}x{height} has no pixels')
    if width * height > max_pixels:
        raise ImageMessageError(
            f'an image of {width}x{height} is larger than the {max_pixels} pixels that '
            'max_image_pixels allows')


def shorten(text: str, length: int = 40) -> str:
    """
    Make a text from a message fit for a sentence: it may be long or hold line breaks.

    :param length: of the text that is kept; characters that cannot be printed are escaped.
    """
    return repr(text[:length])[1:-1]
