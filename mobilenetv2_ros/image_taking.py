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
Take pictures as the C structure that the middleware deserializes them into.

rclpy copies a message three times before it hands it over as bytes, and holds the interpreter
lock meanwhile. ``rcl_take()``, which rclpy calls for typed messages, copies the pixels once, into
memory of the message, and needs no lock. It is called here with the functions that rclpy uses to
make and to free a message. The structure is the one that rosidl generates for
``sensor_msgs/msg/Image`` in C, the same from Humble on; before it is relied on, a known message is
read with it.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Callable, NamedTuple, Optional, Tuple, Union

from mobilenetv2_ros import rcl
from mobilenetv2_ros.image_message import (
    check_text_length, decode_text, Header, ImageView, make_view, parse_image)
import numpy as np
from rclpy.type_support import check_for_type_support
from sensor_msgs.msg import Image

_FIELDS = struct.Struct('@iI PNN II PNN B I PNN')
"""
``sensor_msgs__msg__Image``: stamp, frame_id, height, width, encoding, is_bigendian, step, data.

Strings and sequences are an address, a length and a capacity.
"""

_INFO_WORDS = 32
_NUMBER_AT = 2
_SOURCE_AT = slice(40, 56)
"""
Where ``rmw_message_info_t`` of rmw/types.h has the number that the publisher gave the message, as
a word of 64 bits, and the 16 bytes that name the publisher.
"""

_UNNUMBERED = 2 ** 64 - 1
"""RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED."""


class TakingUnsupportedError(Exception):
    """Pictures cannot be taken in this way here; the text says why."""


class Taken(NamedTuple):
    """
    A message and where it comes from.

    :param source: tells publishers apart.
    :param number: that the publisher gave the message; None where the middleware has none.
    """

    message: Any
    source: bytes
    number: Optional[int]


class TakenImage:
    """A message, freed with the last reference to it or to its pixels."""

    __slots__ = ('_address', '_free', '__array_interface__')

    def __init__(self, address: int, free: Callable[[int], None]) -> None:
        self._address = address
        self._free = free

    def __del__(self) -> None:
        self._free(self._address)

    def view(self, max_pixels: int) -> ImageView:
        """
        View the picture without copying its pixels.

        :param max_pixels: a larger picture is refused.
        :raises ImageMessageError: its fields contradict themselves.
        """
        (sec, nanosec, frame_id, frame_id_length, _, height, width, encoding, encoding_length, _,
         is_bigendian, step, data, size, _) = _read_fields(self._address)
        # Arrays made of this object keep it, and with it the memory.
        self.__array_interface__ = {
            'version': 3, 'typestr': '|u1', 'shape': (size,), 'data': (data, True)}
        return make_view(
            Header(sec, nanosec, _read_text(frame_id, frame_id_length, 'header.frame_id')),
            height, width, _read_text(encoding, encoding_length, 'encoding'), is_bigendian != 0,
            step, np.asarray(self) if size else np.empty(0, np.uint8), max_pixels)


ImageMessage = Union[bytes, TakenImage]
"""A picture as it was taken: serialized, or as a structure."""


def view_image(message: ImageMessage, max_pixels: int) -> ImageView:
    """
    View a picture without copying its pixels.

    :param max_pixels: a larger picture is refused.
    :raises ImageMessageError: the message is no picture or contradicts itself.
    """
    if isinstance(message, TakenImage):
        return message.view(max_pixels)
    return parse_image(message, max_pixels)


class ImageTaker:
    """Take the messages of one subscription of ``sensor_msgs/msg/Image``."""

    def __init__(self) -> None:
        """
        Look the functions up and try the structure.

        :raises TakingUnsupportedError: the structure is another one than that known.
        """
        check_for_type_support(Image)
        functions: Any = type(Image)
        self._make = ctypes.PYFUNCTYPE(ctypes.c_void_p)(
            _find_address(functions._CREATE_ROS_MESSAGE))
        self._free = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(
            _find_address(functions._DESTROY_ROS_MESSAGE))
        self._rcl_take = rcl.bind('rcl_take', 4)
        self._info = (ctypes.c_uint64 * _INFO_WORDS)()
        self._info[_NUMBER_AT] = _UNNUMBERED
        self._info_bytes = memoryview(self._info).cast('B')
        self._empty = self._make_message()
        self._try_structure(functions)

    def take(self, subscription: int) -> Optional[Taken]:
        """
        Take the next message; by one thread at a time.

        :param subscription: address of the ``rcl_subscription_t``.
        :returns: None if there is no message, or none that can be deserialized.
        :raises RuntimeError: rcl refuses.
        :raises MemoryError: there is no memory.
        """
        message = self._empty
        code = self._rcl_take(subscription, message._address, self._info, None)
        if code == rcl.RET_SUBSCRIPTION_TAKE_FAILED:
            return None
        rcl.check(code, 'rcl_take')
        self._empty = self._make_message()
        number = self._info[_NUMBER_AT]
        return Taken(message, self._info_bytes[_SOURCE_AT].tobytes(),
                     None if number == _UNNUMBERED else number)

    def discard(self) -> str:
        """
        Free what a message that could not be deserialized has left behind.

        :returns: what the middleware says of it; it may say nothing.
        """
        self._empty = self._make_message()
        return rcl.pop_error()

    def _make_message(self) -> TakenImage:
        address = self._make()
        if not address:
            raise MemoryError
        return TakenImage(address, self._free)

    def _try_structure(self, functions: Any) -> None:
        known = Image(
            height=2, width=3, encoding='mono8', is_bigendian=1, step=4, data=b'pixels+2')
        known.header.stamp.sec, known.header.stamp.nanosec = -5, 6
        known.header.frame_id = 'camera'
        fill = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.py_object, ctypes.c_void_p)(
            _find_address(functions._CONVERT_FROM_PY))
        message = self._make_message()
        if not fill(known, message._address):
            raise TakingUnsupportedError('rosidl does not fill the structure of a picture')
        _check_fields(_read_fields(message._address))


def _find_address(capsule: Any) -> int:
    """Find the function in a capsule of rosidl."""
    find = ctypes.pythonapi.PyCapsule_GetPointer
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = find(capsule, None)
    return address


def _read_fields(address: int) -> Tuple[Any, ...]:
    return _FIELDS.unpack_from((ctypes.c_char * _FIELDS.size).from_address(address))


def _check_fields(found: Tuple[Any, ...]) -> None:
    """
    Compare what was read with the picture that :meth:`ImageTaker._try_structure` fills in.

    Lengths come first: what another structure has there must not be followed as an address.
    """
    numbers = found[0], found[1], found[3], found[5], found[6], found[8], *found[10:12], found[13]
    if numbers != (-5, 6, 6, 2, 3, 5, 1, 4, 8) or [
            ctypes.string_at(found[place], found[place + 1]) for place in (2, 7, 12)] != [
            b'camera', b'mono8', b'pixels+2']:
        raise TakingUnsupportedError('the structure of a picture is another one than that known')


def _read_text(address: int, length: int, field: str) -> str:
    check_text_length(length, field)
    return decode_text(ctypes.string_at(address, length), field)
