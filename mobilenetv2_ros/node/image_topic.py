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

"""The topic of images, by their transport."""

from __future__ import annotations

from rclpy.node import Node

_COMPRESSED = '/compressed'


def find_image_topic(node: Node, is_compressed: bool) -> str:
    """
    Find the full name of the topic of images, remapped.

    As image_transport does it, remapping ``image_raw`` moves the compressed topic along. Who names
    the compressed topic itself means that one.
    """
    topic = str(node.resolve_topic_name('image_raw'))
    if not is_compressed or is_compressed_name(topic):
        return topic
    return str(node.resolve_topic_name(topic + _COMPRESSED))  # it may be remapped itself


def is_compressed_name(topic: str) -> bool:
    """Tell whether a topic is named as image_transport names those of compressed images."""
    return topic.endswith(_COMPRESSED)
