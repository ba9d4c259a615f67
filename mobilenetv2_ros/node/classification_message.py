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
Serialized ``vision_msgs/Classification``, the counterpart of :mod:`.image_message`.

rclpy would fetch each field of a message and of each of its classes, which are objects. The bytes
are plain CDR, the little endian encoding of OMG's DDS-RTPS specification (chapter 10): numbers are
aligned to their own size, counted from the byte after the encapsulation.
"""

from __future__ import annotations

import struct
from typing import Sequence

from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.ranking import RankedClass

_ENCAPSULATION = b'\x00\x01\x00\x00'
_STAMP = struct.Struct('<4siI')
_LENGTH = struct.Struct('<I')
_SCORE = struct.Struct('<d')


def encode_text(text: str) -> bytes:
    """Encode a string as CDR does, without what aligns it: length, UTF-8, a zero."""
    encoded = text.encode() + b'\0'
    return _LENGTH.pack(len(encoded)) + encoded


def serialize_classification(
        header: Header, classes: Sequence[RankedClass], class_ids: Sequence[bytes]) -> bytes:
    """
    Serialize a result.

    :param header: of the image, copied exactly.
    :param classes: best first.
    :param class_ids: by class index, what ``class_id`` shall hold, by :func:`encode_text`.
    """
    message = bytearray(_STAMP.pack(_ENCAPSULATION, header.sec, header.nanosec))
    message += encode_text(header.frame_id)
    message += bytes(-len(message) % 4)
    message += _LENGTH.pack(len(classes))
    for index, probability in classes:
        message += class_ids[index]
        message += bytes((len(_ENCAPSULATION) - len(message)) % 8)
        message += _SCORE.pack(probability)
    return bytes(message)
