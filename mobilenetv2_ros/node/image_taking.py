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
Take images as the C structure that the middleware deserializes them into.

rclpy copies a message three times before it hands it over as bytes, and holds the interpreter
lock meanwhile. ``rcl_take()``, which rclpy calls for typed messages, copies the pixels once, into
memory of the message, and needs no lock. It is called here with the functions that rclpy uses to
make and to free a message. The structure is the one that rosidl generates for
``sensor_msgs/msg/Image`` in C, the same from Humble on; before it is relied on, a known message is
read with it.
"""

from __future__ import annotations

import ctypes
from typing import Callable, Optional, Union

from mobilenetv2_ros.image.image_message import (
    check_text_length, decode_text, Header, ImageView, make_view, parse_image)
from mobilenetv2_ros.node import rcl
from mobilenetv2_ros.node.message_functions import find_address, find_message_functions
from mobilenetv2_ros.node.message_info import MessageInfo, Taken
import numpy as np
from sensor_msgs.msg import Image


class _ImageFields(ctypes.Structure):
    """
    ``sensor_msgs__msg__Image``.

    What rosidl nests is laid flat, since each level would cost an object: a string or a sequence
    is an address, a length and a capacity.
    """

    _fields_ = [
        ('sec', ctypes.c_int32), ('nanosec', ctypes.c_uint32),
        ('frame_id', ctypes.c_void_p), ('frame_id_length', ctypes.c_size_t),
        ('frame_id_capacity', ctypes.c_size_t),
        ('height', ctypes.c_uint32), ('width', ctypes.c_uint32),
        ('encoding', ctypes.c_void_p), ('encoding_length', ctypes.c_size_t),
        ('encoding_capacity', ctypes.c_size_t),
        ('is_bigendian', ctypes.c_uint8), ('step', ctypes.c_uint32),
        ('data', ctypes.c_void_p), ('data_length', ctypes.c_size_t),
        ('data_capacity', ctypes.c_size_t)]


class TakingUnsupportedError(Exception):
    """Images cannot be taken in this way here; the text says why."""


class TakenImage:
    """A message, freed with the last reference to it or to its pixels."""

    __slots__ = ('address', 'fields', '_free', '__array_interface__')

    def __init__(self, address: int, free: Callable[[int], None]) -> None:
        self.address = address
        self.fields = _ImageFields.from_address(address)
        self._free = free

    def __del__(self) -> None:
        self._free(self.address)

    def view(self, max_pixels: int) -> ImageView:
        """
        View the image without copying its pixels.

        :param max_pixels: a larger image is refused.
        :raises ImageMessageError: its fields contradict themselves.
        """
        fields = self.fields
        size = fields.data_length
        # Arrays made of this object keep it, and with it the memory.
        self.__array_interface__ = {
            'version': 3, 'typestr': '|u1', 'shape': (size,), 'data': (fields.data, True)}
        return make_view(
            Header(fields.sec, fields.nanosec,
                   _read_text(fields.frame_id, fields.frame_id_length, 'header.frame_id')),
            fields.height, fields.width,
            _read_text(fields.encoding, fields.encoding_length, 'encoding'),
            fields.is_bigendian != 0, fields.step,
            np.asarray(self) if size else np.empty(0, np.uint8), max_pixels)


ImageMessage = Union[bytes, TakenImage]
"""An image as it was taken: serialized, or as a structure."""


def view_image(message: ImageMessage, max_pixels: int) -> ImageView:
    """
    View an image without copying its pixels.

    :param max_pixels: a larger image is refused.
    :raises ImageMessageError: the message is no image or contradicts itself.
    """
    if isinstance(message, TakenImage):
        return message.view(max_pixels)
    return parse_image(message, max_pixels)


class ImageTaker:
    """Take the messages of one subscription of ``sensor_msgs/msg/Image``."""

    takes_bytes_at_first = True

    def __init__(self) -> None:
        """
        Look the functions up and try the structure.

        :raises TakingUnsupportedError: the structure is another one than that known.
        """
        self._make, self._free = find_message_functions(Image)
        self._rcl_take = rcl.bind('rcl_take', 4)
        self._info = MessageInfo()
        self._empty = self._make_message()
        self._try_structure()

    def take(self, subscription: int) -> Optional[Taken]:
        """Take the next message; by one thread at a time."""
        message = self._empty
        code = self._rcl_take(subscription, message.address, self._info.address, None)
        if code == rcl.RET_SUBSCRIPTION_TAKE_FAILED:
            return None
        rcl.check(code, 'rcl_take')
        self._empty = self._make_message()
        return Taken(message, self._info.publisher_gid, self._info.sequence_number)

    def discard(self) -> str:
        """Free what a message that could not be deserialized has left behind."""
        self._empty = self._make_message()
        return rcl.pop_error()

    def _make_message(self) -> TakenImage:
        address = self._make()
        if not address:
            raise MemoryError
        return TakenImage(address, self._free)

    def _try_structure(self) -> None:
        known = Image(
            height=2, width=3, encoding='mono8', is_bigendian=1, step=4, data=b'pixels+2')
        known.header.stamp.sec, known.header.stamp.nanosec = -5, 6
        known.header.frame_id = 'camera'
        fill = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.py_object, ctypes.c_void_p)(
            find_address(type(Image)._CONVERT_FROM_PY))
        message = self._make_message()
        if not fill(known, message.address):
            raise TakingUnsupportedError('rosidl does not fill the structure of an image')
        _check_fields(message.fields)


def _check_fields(found: _ImageFields) -> None:
    """
    Compare what was read with the image that :meth:`ImageTaker._try_structure` fills in.

    Lengths come first: what another structure has there must not be followed as an address.
    """
    numbers = {'sec': -5, 'nanosec': 6, 'frame_id_length': 6, 'height': 2, 'width': 3,
               'encoding_length': 5, 'is_bigendian': 1, 'step': 4, 'data_length': 8}
    texts = {'frame_id': b'camera', 'encoding': b'mono8', 'data': b'pixels+2'}
    if any(getattr(found, name) != value for name, value in numbers.items()) or any(
            ctypes.string_at(getattr(found, name), len(text)) != text
            for name, text in texts.items()):
        raise TakingUnsupportedError('the structure of an image is another one than that known')


def _read_text(address: int, length: int, field: str) -> str:
    check_text_length(length, field)
    return decode_text(ctypes.string_at(address, length), field)
