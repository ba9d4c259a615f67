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

"""Serialized images written by hand, right and wrong ones."""

from __future__ import annotations

import struct
from typing import Dict, Union


class Cdr:
    """Write CDR by hand, from OMG's specification: each number aligned to its own size."""

    def __init__(self, order: str = '<') -> None:
        self._order = order
        self._head = b'\0\1\0\0' if order == '<' else b'\0\0\0\0'
        self._body = b''

    def uint32(self, value: int) -> Cdr:
        self._body += b'\xcc' * (-len(self._body) % 4) + struct.pack(
            self._order + 'I', value & 0xFFFFFFFF)
        return self

    def uint8(self, value: int) -> Cdr:
        self._body += bytes([value])
        return self

    def raw(self, value: bytes) -> Cdr:
        self._body += value
        return self

    def sequence(self, value: bytes) -> Cdr:
        return self.uint32(len(value)).raw(value)

    def string(self, value: Union[bytes, str]) -> Cdr:
        return self.sequence((value.encode() if isinstance(value, str) else value) + b'\0')

    def header(self, sec: int, nanosec: int, frame_id: Union[bytes, str]) -> Cdr:
        return self.uint32(sec).uint32(nanosec).string(frame_id)

    def message(self) -> bytes:
        return self._head + self._body


def image(order: str = '<', sec: int = 1, nanosec: int = 2, frame_id: Union[bytes, str] = 'cam',
          height: int = 2, width: int = 3, encoding: Union[bytes, str] = 'rgb8',
          is_bigendian: int = 0, step: int = 10, data: bytes = bytes(range(20))) -> bytes:
    return (Cdr(order).header(sec, nanosec, frame_id).uint32(height).uint32(width)
            .string(encoding).uint8(is_bigendian).uint32(step).sequence(data).message())


def compressed(order: str = '<', frame_id: str = 'cam', format_name: str = 'jpeg',
               data: bytes = b'\xff\xd8\xff\xd9') -> bytes:
    return Cdr(order).header(1, 2, frame_id).string(format_name).sequence(data).message()


HOSTILE: Dict[str, bytes] = {
    'one byte': b'\0', 'no header': b'\0\1\0\0', 'parameter list': b'\0\3' + image()[2:],
    'XCDR2': b'\0\7' + image()[2:], 'noise': bytes(range(256)) * 4,
    'another type': Cdr().string('this is a std_msgs/String').message(),
    'frame_id of 4 GiB': Cdr().uint32(1).uint32(2).uint32(2 ** 32 - 1).message(),
    'frame_id of 10 kB': image(frame_id='x' * 10_000)}
"""Messages that are no image of either type."""

HOSTILE_IMAGES = {
    **HOSTILE, 'cut off': image()[:-7], 'cut off, big endian': image('>')[:-7],
    'data of 4 GiB': image()[:-24] + b'\xff' * 4 + bytes(20), 'step too short': image(step=8),
    'step of 4 GiB': image(step=2 ** 32 - 1), 'no rows': image(height=0),
    'no columns': image(width=0), 'sizes that overflow': image(height=2 ** 31, width=2 ** 31),
    'encoding of 10 kB': image(encoding='x' * 10_000), 'no UTF-8': image(encoding=b'\xff\xfe'),
    'lines of its own': image(encoding='a\n[ERROR] forged\n', step=30, height=1)}
