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
Images in shared memory, as the cameras of TROS publish them by default: ``hbm_img_msgs``.

A message has a fixed size whatever its image has, so that Fast DDS can lend it: the camera writes
into memory that both processes see, and nothing is copied. ``rcl_take_loaned_message()`` tells
where a message lies; rclpy never calls it.

A loan is no lock. With best effort QoS the camera uses the memory again after as many images as
its history is deep, whoever reads there. But Fast DDS marks it: in front of each message, in the
memory that is shared, are its number and its publisher. The publisher takes the mark away before
the memory is written to again and sets it, with a number that never comes again, when that is
done. So an image is whole if its mark is still there after it was read; otherwise it is dropped
and counted as failed. Nothing is taken that has no such mark: what a camera lends and the
middleware sends on another way may be overwritten while it is sent, and nobody could tell.

A loan does not keep the memory mapped either: Fast DDS unmaps it when the camera ends. So it is
mapped here once more, and the loan returned at once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Any, Dict, NamedTuple, Optional, Tuple

from mobilenetv2_ros.image.image_message import Header, ImageMessageError, ImageView
from mobilenetv2_ros.node import rcl
from mobilenetv2_ros.node.message_info import MessageInfo, Taken
import numpy as np
from numpy.typing import NDArray
from rclpy.subscription import Subscription
from rclpy.utilities import get_rmw_implementation_identifier

_MIDDLEWARE = 'rmw_fastrtps_cpp'
"""The one whose marks are known."""

_MAX_BYTES = 6_220_800
"""MAX_SIZE of HbmMsg1080P, the only one of the three sizes in use."""

_BYTES_PER_PIXEL = {'nv12': 1, 'bgr8': 3, 'rgb8': 3, 'mono8': 1}
"""In a row; drivers write the width into ``step`` whatever the encoding, so it is not believed."""

_ENCODINGS = (b'nv12', b'bgr8', b'rgb8', b'mono8', b'gray', b'jpeg')
"""Beginnings of what ``encoding`` may hold; behind them may be an older image's."""

_SPELLINGS = {'gray': 'mono8'}

_REACH = 512
"""Bytes in front of a message in which the mark is looked for."""

_MAX_SEGMENTS = 8
"""Publishers whose memory is kept mapped."""


class _Head(ctypes.Structure):
    """``hbm_img_msgs__msg__HbmMsg1080P`` up to its pixels."""

    _fields_ = [
        ('index', ctypes.c_int32), ('sec', ctypes.c_int32), ('nanosec', ctypes.c_uint32),
        ('height', ctypes.c_uint32), ('width', ctypes.c_uint32), ('data_size', ctypes.c_uint32),
        ('step', ctypes.c_uint32), ('encoding', ctypes.c_char * 12)]


_HEAD_BYTES = ctypes.sizeof(_Head)


class LoansUnavailableError(Exception):
    """The middleware lends no messages here; the text says what to do."""


class TornImageError(ImageMessageError):
    """The camera has overwritten an image before it was read to its end."""


class UnsharedImageError(ImageMessageError):
    """An image did not come through memory that is shared, so it may be a mixture."""


class SharedImage:
    """A message in shared memory, which its publisher may overwrite at any time."""

    def __init__(self, memory: NDArray[np.uint8], place: int, mark: bytes,
                 mark_place: int) -> None:
        """
        Remember where it lies; nothing is read.

        :param memory: uint8, flat, all that the publisher shares.
        :param place: of the ``HbmMsg1080P`` in it.
        :param mark: what is at ``mark_place`` as long as the message is whole.
        """
        self._memory = memory
        self._place = place
        self._mark = mark
        self._mark_place = mark_place

    def read(self) -> ImageView:
        """
        View the image where it is; of a compressed one the encoding is ``jpeg``.

        :raises ImageMessageError: its fields contradict themselves.
        :raises TornImageError: it has been overwritten already.
        """
        begin = self._place + _HEAD_BYTES
        head = _Head.from_buffer_copy(self._memory[self._place:begin].tobytes())
        self.check()
        encoding = _find_encoding(head.encoding)
        if head.data_size > _MAX_BYTES:
            raise ImageMessageError(
                f'an image of {head.data_size} bytes does not fit into its message of '
                f'{_MAX_BYTES}')
        # There is no frame_id; the vendor's own nodes put the number there.
        return ImageView(
            Header(head.sec, head.nanosec, str(head.index)), head.height, head.width, encoding,
            False, head.width * _BYTES_PER_PIXEL.get(encoding, 0),
            self._memory[begin:begin + head.data_size])

    def check(self) -> None:
        """
        Make sure that all that has been read so far belongs to this image.

        :raises TornImageError: it was overwritten meanwhile.
        """
        end = self._mark_place + len(self._mark)
        if self._memory[self._mark_place:end].tobytes() != self._mark:
            raise TornImageError(
                'the camera overwrote the image in shared memory before it was read: images come '
                'faster than they are converted')

    def finish(self) -> None:
        """
        :meth:`check` for the last time: nothing of it will be read any more.

        :raises TornImageError: it was overwritten meanwhile.
        """
        self.check()
        self._mark = b''


class UnsharedImage:
    """A message that did not come through memory that is shared."""

    def read(self) -> ImageView:
        """
        Refuse it.

        :raises UnsharedImageError: always.
        """
        raise UnsharedImageError(
            'the image did not come through shared memory, where the camera could be seen '
            'overwriting it: run camera and node on one machine as one user, the camera with '
            'RMW_FASTRTPS_USE_QOS_FROM_XML=1 and a profile that shares data')


_take_loan = rcl.bind('rcl_take_loaned_message', 4)
_return_loan = rcl.bind('rcl_return_loaned_message_from_subscription', 2)
_can_loan = rcl.bind('rcl_subscription_can_loan_messages', 1)
_can_loan.restype = ctypes.c_bool


class LoanTaker:
    """Takes messages where they lie."""

    takes_bytes_at_first = False

    def __init__(self, subscription: Subscription) -> None:
        """
        See whether the middleware lends.

        :raises LoansUnavailableError: it does not.
        """
        middleware = get_rmw_implementation_identifier()
        if middleware != _MIDDLEWARE:
            raise LoansUnavailableError(
                f"image_transport 'shared_mem' needs RMW_IMPLEMENTATION={_MIDDLEWARE}, found "
                f'{middleware}')
        with subscription.handle:
            if not _can_loan(subscription.handle.pointer):
                raise LoansUnavailableError(
                    "image_transport 'shared_mem' needs messages that are lent: start the node "
                    'with ros2 launch mobilenetv2_ros classify.launch.py '
                    'image_transport:=shared_mem, or set ROS_DISABLE_LOANED_MESSAGES=0, '
                    'RMW_FASTRTPS_USE_QOS_FROM_XML=1 and a profile of Fast DDS with data_sharing')
        self._info = MessageInfo()
        self._segments: Dict[bytes, _Segment] = {}
        self._mark_distance: Optional[int] = None

    def take(self, subscription: int) -> Optional[Taken]:
        """Take the next message; by one thread at a time."""
        found = ctypes.c_void_p()
        code = _take_loan(subscription, ctypes.byref(found), self._info.address, None)
        if code == rcl.RET_SUBSCRIPTION_TAKE_FAILED:
            return None
        rcl.check(code, 'rcl_take_loaned_message')
        assert found.value is not None
        gid, number = self._info.publisher_gid, self._info.sequence_number
        try:
            image = self._find(found.value, gid, number)
        finally:
            code = _return_loan(subscription, found)
        rcl.check(code, 'rcl_return_loaned_message')
        return Taken(image, gid, number)

    def discard(self) -> str:
        """Return what the middleware says of a message that could not be taken."""
        return rcl.pop_error()

    def _find(self, address: int, gid: bytes, number: Optional[int]) -> Any:
        """Find a message in memory that stays mapped."""
        segment = self._segments.get(gid)
        if segment is None or not segment.begin <= address < segment.end:
            segment = self._open_segment(address, gid)
        if segment is None or number is None:
            return UnsharedImage()
        place = address - segment.begin
        mark = struct.pack('=iI', number >> 32, number & 0xffffffff) + gid
        if self._mark_distance is None:
            before = segment.memory[max(0, place - _REACH):place].tobytes()
            if mark not in before:
                return UnsharedImage()
            self._mark_distance = len(before) - before.index(mark)
        return SharedImage(segment.memory, place, mark, place - self._mark_distance)

    def _open_segment(self, address: int, gid: bytes) -> Optional[_Segment]:
        """Map the memory of a publisher once more, and let go of that of publishers that ended."""
        self._segments = {gid: one for gid, one in self._segments.items()
                          if os.path.exists(one.path)}
        if len(self._segments) >= _MAX_SEGMENTS:
            del self._segments[next(iter(self._segments))]
        segment = _map_segment(address)
        if segment is not None:
            self._segments[gid] = segment
        return segment


class _Segment(NamedTuple):
    """
    Memory that a publisher shares.

    :param begin: address of its first byte where Fast DDS has mapped it, like ``end``.
    :param memory: uint8, flat, as it is mapped here.
    """

    path: str
    begin: int
    end: int
    memory: NDArray[np.uint8]


def _map_segment(address: int) -> Optional[_Segment]:
    """Map once more what is mapped at an address; None if it is no file that can be opened."""
    found = _find_file(address)
    if found is None:
        return None
    path, begin = found
    try:
        with open(path, 'rb') as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except (OSError, ValueError):  # the publisher has ended
        return None
    memory = np.frombuffer(mapped, np.uint8)
    if not begin <= address < begin + memory.size:
        return None
    return _Segment(path, begin, begin + memory.size, memory)


def _find_file(address: int) -> Optional[Tuple[str, int]]:
    """Find the file that is mapped at an address, and the address of its first byte."""
    with open('/proc/self/maps', encoding='utf-8', errors='replace') as maps:
        for line in maps:
            limits, flags, offset, _, _, *path = line.rstrip('\n').split(maxsplit=5)
            begin, end = (int(limit, 16) for limit in limits.split('-'))
            if begin <= address < end:
                is_shared_file = flags.endswith('s') and path
                return (path[0], begin - int(offset, 16)) if is_shared_file else None
    return None


def _find_encoding(field: bytes) -> str:
    for encoding in _ENCODINGS:
        if field.startswith(encoding):
            name = encoding.decode()
            return _SPELLINGS.get(name, name)
    raise ImageMessageError(
        f'encoding {field!r} of a shared-memory image is unknown; expected one of '
        f'{b", ".join(_ENCODINGS).decode()}')
