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

"""The topic of images as it is subscribed, remapped or not."""

from __future__ import annotations

from typing import List

from mobilenetv2_ros.node.image_topic import find_image_topic
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node


@pytest.mark.parametrize('remapping, raw, compressed', [
    ([], '/image_raw', '/image_raw/compressed'),
    (['-r', 'image_raw:=/cam'], '/cam', '/cam/compressed'),
    (['-r', 'image_raw:=/cam/compressed'], '/cam/compressed', '/cam/compressed'),
    (['-r', 'image_raw/compressed:=/image'], '/image_raw', '/image')])
def test_remapped_topics(
        own_domain: None, remapping: List[str], raw: str, compressed: str) -> None:
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node('it', context=context, cli_args=['--ros-args', *remapping])
    assert (find_image_topic(node, False), find_image_topic(node, True)) == (raw, compressed)
    node.destroy_node()
    context.try_shutdown()
