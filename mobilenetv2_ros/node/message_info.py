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

"""What comes with a message that is taken through rcl: who sent it, and its number there."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Optional, Protocol

from mobilenetv2_ros.node import rcl


class _Fields(ctypes.Structure):
    """``rmw_message_info_t`` of rmw/types.h, whose end is not the same in all distributions."""

    _fields_ = [
        ('source_timestamp', ctypes.c_int64), ('received_timestamp', ctypes.c_int64),
        ('publication_sequence_number', ctypes.c_uint64),
        ('reception_sequence_number', ctypes.c_uint64),
        ('implementation_identifier', ctypes.c_void_p), ('publisher_gid', ctypes.c_uint8 * 16),
        ('rest', ctypes.c_uint8 * 192)]


_UNNUMBERED = 2 ** 64 - 1
"""RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED."""


class Taken(NamedTuple):
    """
    A message and where it comes from.

    :param publisher_gid: tells publishers apart.
    :param sequence_number: that the publisher gave the message; None where it is not known.
    """

    message: Any
    publisher_gid: bytes
    sequence_number: Optional[int]


class MessageTaker(Protocol):
    """Takes the messages of one subscription as structures."""

    takes_bytes_at_first: bool
    """A damaged message never becomes a structure; as bytes the parser can tell what is wrong."""

    def take(self, subscription: int) -> Optional[Taken]:
        """
        Take the next message; by one thread at a time.

        :param subscription: address of the ``rcl_subscription_t``.
        :returns: None if there is no message, or none that can be deserialized.
        :raises RuntimeError: rcl refuses.
        :raises MemoryError: there is no memory.
        """

    def discard(self) -> str:
        """
        Free what a message that could not be deserialized has left behind.

        :returns: what the middleware says of it; it may say nothing.
        """


class MessageInfo:
    """Memory that rcl writes to when it takes a message."""

    def __init__(self) -> None:
        """Make room."""
        self._fields = _Fields(publication_sequence_number=_UNNUMBERED)
        self.address = ctypes.addressof(self._fields)
        self._implementation_identifier = rcl.find_implementation_identifier()

    @property
    def publisher_gid(self) -> bytes:
        """Return the first 16 bytes, all that Fast DDS uses."""
        return bytes(self._fields.publisher_gid)

    @property
    def sequence_number(self) -> Optional[int]:
        """
        Return the number of the message just taken, if the structure is the one known.

        The middleware writes the address of its own name behind it, which is nowhere else.
        """
        fields = self._fields
        if fields.implementation_identifier != self._implementation_identifier:
            return None
        number: int = fields.publication_sequence_number
        return None if number == _UNNUMBERED else number
