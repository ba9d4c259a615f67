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

"""Serialized results: what rclpy makes of the typed message."""

from __future__ import annotations

from typing import List

from hypothesis import given, strategies
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.ranking import RankedClass
from mobilenetv2_ros.node.classification_message import encode_text, serialize_classification
import pytest

TEXTS = strategies.text(
    strategies.characters(blacklist_categories=['Cs'], blacklist_characters='\0'))
CLASSES = strategies.lists(strategies.builds(
    RankedClass, strategies.integers(0, 9), strategies.floats(0, 1)), max_size=20)


@given(sec=strategies.integers(-2**31, 2**31 - 1), nanosec=strategies.integers(0, 2**32 - 1),
       frame_id=TEXTS, classes=CLASSES,
       names=strategies.lists(TEXTS, min_size=10, max_size=10))
def test_the_same_message_as_rclpy(sec: int, nanosec: int, frame_id: str,
                                   classes: List[RankedClass], names: List[str]) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    from rclpy.serialization import deserialize_message, serialize_message
    from vision_msgs.msg import Classification, ObjectHypothesis
    message = Classification(results=[
        ObjectHypothesis(class_id=names[index], score=score) for index, score in classes])
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    message.header.frame_id = frame_id
    serialized = serialize_classification(
        Header(sec, nanosec, frame_id), classes, [encode_text(name) for name in names])
    # What aligns the numbers is whatever lay there before in rclpy's bytes.
    assert len(serialized) == len(serialize_message(message))
    assert deserialize_message(serialized, Classification) == message


def test_every_byte() -> None:
    """From the specification, by hand: what the test above has nothing to compare with."""
    assert serialize_classification(
        Header(-2, 3, 'ab'), [RankedClass(1, 0.5), RankedClass(0, 0.25)],
        [encode_text('crane'), encode_text('é')]
    ) == (b'\0\1\0\0' b'\xfe\xff\xff\xff' b'\3\0\0\0' b'\3\0\0\0' b'ab\0' b'\0' b'\2\0\0\0'
          b'\3\0\0\0' b'\xc3\xa9\0' b'\0\0\0\0\0' b'\0\0\0\0\0\0\xe0\x3f'
          b'\6\0\0\0' b'crane\0' b'\0\0\0\0\0\0' b'\0\0\0\0\0\0\xd0\x3f')
