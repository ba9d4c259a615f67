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

"""Messages are read as rclpy writes them, and nothing that others send can do harm."""

from __future__ import annotations

import struct
from typing import Any, Callable, List, Union

from hypothesis import given, settings, strategies
from mobilenetv2_ros.image.image_message import (
    check_size, CompressedView, DEFAULT_MAX_PIXELS, ImageMessageError, ImageView,
    parse_compressed_image, parse_image)
import numpy as np
import pytest
from support.serialized import Cdr, compressed, image

View = Union[ImageView, CompressedView]


def equal(first: View, second: View) -> bool:
    return (first[:6] == second[:6] and first[7:] == second[7:]
            and first.data.tobytes() == second.data.tobytes())


# Good messages


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('frame_id', ['', 'a', 'cam', 'cam0', 'käm\u4e16', 'x' * 1000],
                         ids=lambda value: value[:5])
@pytest.mark.parametrize('encoding', ['', 'rgb8', 'mono8', 'bayer_rggb8'])
def test_image(order: str, frame_id: str, encoding: str) -> None:
    view = parse_image(image(order, -5, 999999999, frame_id, 2, 3, encoding, 1))
    assert view.header == (-5, 999999999, frame_id)
    assert view[1:6] == (2, 3, encoding, True, 10)
    assert view.data.tobytes() == bytes(range(20))
    assert view.data.dtype == np.uint8 and view.data.ndim == 1


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('format_name', ['jpeg', 'png', 'bgr8; jpeg compressed bgr8', ''])
def test_compressed_image(order: str, format_name: str) -> None:
    view = parse_compressed_image(compressed(order, 'cam', format_name, b'12345'))
    assert view.header == (1, 2, 'cam')
    assert view.format == format_name and view.data.tobytes() == b'12345'


def test_pixels_are_not_copied() -> None:
    message = image(height=100, width=100, step=300, data=bytes(30000))
    view = parse_image(message)
    assert np.shares_memory(view.data, np.frombuffer(message, np.uint8))
    assert not view.data.flags.writeable


def test_more_data_than_rows_is_kept() -> None:
    """A Y plane may be followed by others."""
    assert parse_image(image(encoding='nv12', data=bytes(30))).data.size == 30


def test_bytes_behind_the_message_are_left_alone() -> None:
    """DDS may pad a message to a multiple of four."""
    assert equal(parse_image(image() + b'\0\0\0'), parse_image(image()))


@pytest.mark.parametrize('frame_id', ['', 'cam', 'cam0', 'käm', 'x' * 300])
def test_image_as_rclpy_writes_it(frame_id: str) -> None:
    serialize: Any = pytest.importorskip(
        'rclpy.serialization', reason='rclpy is not installed').serialize_message
    from sensor_msgs.msg import Image
    message = Image(height=4, width=5, encoding='bgr8', is_bigendian=1, step=16,
                    data=np.arange(64, dtype=np.uint8).tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = -2**31, 2**32 - 1
    message.header.frame_id = frame_id
    view = parse_image(serialize(message))
    assert view.header == (-2**31, 2**32 - 1, frame_id)
    assert view[1:6] == (4, 5, 'bgr8', True, 16)
    assert view.data.tobytes() == bytes(message.data)


@pytest.mark.parametrize('size', [1, 2, 3, 4, 1001])
def test_compressed_image_as_rclpy_writes_it(size: int) -> None:
    serialize: Any = pytest.importorskip(
        'rclpy.serialization', reason='rclpy is not installed').serialize_message
    from sensor_msgs.msg import CompressedImage
    message = CompressedImage(format='bgr8; jpeg compressed bgr8', data=b'\xff' * size)
    message.header.stamp.sec, message.header.frame_id = 7, 'optical'
    view = parse_compressed_image(serialize(message))
    assert view.header == (7, 0, 'optical')
    assert view.format == message.format and view.data.tobytes() == b'\xff' * size


# Bad messages


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize(('parse', 'message'), [
    (parse_image, image), (parse_compressed_image, compressed)])
def test_every_truncation_is_told(
        parse: Callable[[bytes], View], message: Callable[[str], bytes], order: str) -> None:
    whole = message(order)
    parse(whole)
    for length in range(len(whole)):
        with pytest.raises(ImageMessageError):
            parse(whole[:length])


@pytest.mark.parametrize('start', [b'\0\2', b'\0\3', b'\0\x06', b'\0\x0b', b'\1\0', b'\xff\xff'])
def test_other_encapsulations_are_refused(start: bytes) -> None:
    with pytest.raises(ImageMessageError, match=f'starts with 0x{start.hex()}; expected .* CDR'):
        parse_image(start + image()[2:])


def test_message_of_another_type() -> None:
    text = Cdr().string('this is a std_msgs/String, not an image').message()
    for parse in (parse_image, parse_compressed_image):
        with pytest.raises(ImageMessageError):
            parse(text)


@pytest.mark.parametrize(('message', 'sentence'), [
    (Cdr().uint32(1).uint32(2).uint32(4000).raw(b'abc').message(),
     'header.frame_id has 4000 bytes; at most 1024 are taken'),
    (Cdr().uint32(1).uint32(2).uint32(0xFFFFFFFF).raw(b'abc').message(),
     'header.frame_id has 4294967295 bytes; at most 1024 are taken'),
    (Cdr().uint32(1).uint32(2).uint32(9).raw(b'abc').message(),
     'header.frame_id should have 9 bytes, but only 3 are left'),
    (image(frame_id='x' * 1024), 'header.frame_id has 1025 bytes'),
    (image(encoding='x' * 5000), 'encoding has 5001 bytes'),
    (image(frame_id=b'\xff\xfe'), 'header.frame_id is not valid UTF-8'),
    (image(encoding=b'rgb\x80'), 'encoding is not valid UTF-8'),
    (image()[:-24] + struct.pack('<I', 0xFFFFFFFF) + bytes(20),
     'data should have 4294967295 bytes, but only 20 are left'),
    (image(width=0), 'an image of 0x2 has no pixels'),
    (image(height=0), 'an image of 3x0 has no pixels'),
    (image(data=b''), 'a 3x2 rgb8 image of 10 bytes a row needs 20 bytes, but data has 0'),
    (image(step=11), 'a 3x2 rgb8 image of 11 bytes a row needs 22 bytes, but data has 20'),
    (image(height=2**32 - 1, width=1, step=2**32 - 1), 'is larger than the 50000000 pixels'),
    (image(height=2**32 - 1, width=2**32 - 1), 'is larger than the 50000000 pixels')],
    ids=lambda value: 'message' if isinstance(value, bytes) else value)
def test_lies_are_told(message: bytes, sentence: str) -> None:
    with pytest.raises(ImageMessageError) as caught:
        parse_image(message)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 300


def test_longest_string_that_is_taken() -> None:
    assert parse_image(image(frame_id='x' * 1023)).header.frame_id == 'x' * 1023


def test_empty_string_without_a_terminator() -> None:
    """Some writers of CDR send a length of 0 instead of a lone zero."""
    message = (Cdr().uint32(1).uint32(2).uint32(0).uint32(1).uint32(1).string('mono8').uint8(0)
               .uint32(1).sequence(b'\7').message())
    assert parse_image(message).header.frame_id == ''


def test_compressed_image_without_data() -> None:
    with pytest.raises(ImageMessageError, match="format 'jpeg' has no data"):
        parse_compressed_image(compressed(data=b''))


def test_max_pixels() -> None:
    assert parse_image(image(), max_pixels=6).width == 3
    with pytest.raises(ImageMessageError, match='3x2 is larger than the 5 pixels'):
        parse_image(image(), max_pixels=5)
    check_size(1, DEFAULT_MAX_PIXELS, DEFAULT_MAX_PIXELS)
    with pytest.raises(ImageMessageError):
        check_size(1, DEFAULT_MAX_PIXELS + 1, DEFAULT_MAX_PIXELS)


# Anything at all


def parse_or_refuse(message: bytes) -> List[View]:
    """Return what could be read; anything raised but ImageMessageError fails the test."""
    views: List[View] = []
    try:
        view = parse_image(message)
        assert view.step * view.height <= view.data.size <= len(message)
        assert 0 < view.width * view.height <= DEFAULT_MAX_PIXELS
        views.append(view)
    except ImageMessageError:
        pass
    try:
        compressed_view = parse_compressed_image(message)
        assert 0 < compressed_view.data.size <= len(message)
        views.append(compressed_view)
    except ImageMessageError:
        pass
    return views


@settings(max_examples=500)
@given(strategies.binary(max_size=200))
def test_random_bytes(noise: bytes) -> None:
    parse_or_refuse(noise)
    parse_or_refuse(b'\0\1\0\0' + noise)
    parse_or_refuse(b'\0\0\0\0' + noise)


@settings(max_examples=1000)
@given(message=strategies.sampled_from([image(), image('>'), compressed(), compressed('>')]),
       changes=strategies.lists(strategies.tuples(
           strategies.integers(0, 100), strategies.binary(min_size=1, max_size=4)), max_size=4),
       cut=strategies.integers(0, 100))
def test_mutated_messages(message: bytes, changes: Any, cut: int) -> None:
    mutated = bytearray(message)
    for place, new in changes:
        mutated[place:place + len(new)] = new
    parse_or_refuse(bytes(mutated))
    parse_or_refuse(bytes(mutated)[:-cut or None])


@settings(max_examples=200)
@given(order=strategies.sampled_from('<>'), sec=strategies.integers(-2**31, 2**31 - 1),
       nanosec=strategies.integers(0, 2**32 - 1),
       frame_id=strategies.text(max_size=100).map(lambda text: text.replace('\0', '')),
       height=strategies.integers(1, 20), width=strategies.integers(1, 20),
       is_bigendian=strategies.integers(0, 255), data=strategies.binary(min_size=60, max_size=90))
def test_what_is_written_is_read(order: str, sec: int, nanosec: int, frame_id: str, height: int,
                                 width: int, is_bigendian: int, data: bytes) -> None:
    view = parse_image(image(
        order, sec, nanosec, frame_id, height, width, 'rgb8', is_bigendian, 3, data))
    assert view.header == (sec, nanosec, frame_id)
    assert view[1:6] == (height, width, 'rgb8', is_bigendian != 0, 3)
    assert view.data.tobytes() == data
