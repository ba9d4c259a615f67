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


"""How images are read is told where it had to be guessed, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image
from support.engines import is_class, needs_litert
from support.node_process import NodeStarter
from support.ros_peer import class_ids, make_image, Peer

RELIABLE = {'qos_overrides./image_raw.subscription.reliability': 'reliable',
            'qos_overrides./image_raw.subscription.depth': 100}


def test_a_spelling_of_others_is_read_and_told_once(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    image = make_image(cv2.imread(str(photos / 'goldfish.jpg')))
    image.encoding = 'BGR24'
    node = start_node(parameters=RELIABLE)
    peer.connect()
    for _ in range(3):
        assert is_class(class_ids(peer.classify(image))[0], 'goldfish')
    said = "encoding 'BGR24' is read as 'bgr8', as ROS writes it"
    node.wait_for_line(said)
    assert len(node.find(said)) == 1


@needs_litert
def test_mono16_of_10_bits_is_no_black_image(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    grey: Any = cv2.imread(str(photos / 'goldfish.jpg'), cv2.IMREAD_GRAYSCALE)
    samples = grey.astype('<u2') << 2
    image = Image(height=grey.shape[0], width=grey.shape[1], encoding='mono16',
                  step=2 * grey.shape[1], data=np.ascontiguousarray(samples).tobytes())
    node = start_node(parameters=RELIABLE)
    peer.connect()
    assert class_ids(peer.classify(image))[0] == 'goldfish'
    node.wait_for_line('mono16 images are taken for 10 bits')
    assert peer.set_parameter('mono16_bits', 16) == ''
    assert class_ids(peer.classify(image))[0] != 'goldfish'
