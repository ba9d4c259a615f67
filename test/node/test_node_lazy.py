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

"""With ``lazy`` images are subscribed only while somebody wants what is made of them."""

from __future__ import annotations

from typing import Any, List, Type

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from support.fixture_types import TinyModel
from support.node_process import NodeStarter, RELIABLE
from support.ros_peer import make_image, Peer
from vision_msgs.msg import Classification

WAITING = 'nobody subscribes the results: no images are taken'


def wait_for_status(peer: Peer, reports: List[DiagnosticArray], words: str) -> bytes:
    """Wait for a report from now on that says something; returns its level."""
    reports.clear()
    peer.wait_until(lambda: any(words in one.status[0].message for one in reports))
    return next(one.status[0].level for one in reports if words in one.status[0].message)


@pytest.mark.parametrize('kind, topic', [
    (Classification, 'classification'), (Image, 'overlay'),
    (CompressedImage, 'overlay/compressed')])
def test_images_are_taken_while_somebody_listens(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, kind: Type[Any],
        topic: str) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters, 'lazy': True})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    peer.open_camera()
    for times in (1, 2):
        node.wait_for_line(WAITING, times)
        peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
        assert wait_for_status(peer, reports, 'waiting for a subscriber') == DiagnosticStatus.OK
        results: List[Any] = []
        listener = peer.node.create_subscription(
            kind, f'/mobilenetv2/{topic}', results.append, 10)

        def has_come() -> bool:
            peer.publish(image)
            return bool(results)

        peer.wait_until(has_come)
        peer.node.destroy_subscription(listener)
    assert 'Traceback' not in node.text


def test_who_listens_again_is_not_told_of_the_time_between(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.connect()
    listeners = list(peer.node.subscriptions)
    assert peer.set_parameter('lazy', True) == ''
    peer.node.destroy_subscription(
        next(one for one in listeners if one.msg_type is Classification))
    node.wait_for_line(WAITING)
    assert peer.set_parameter('lazy', False) == ''
    node.wait_for_line('classifying', 2)
    assert wait_for_status(
        peer, reports, "subscribed '/image_raw' again: somebody listens") == DiagnosticStatus.OK
    wait_for_status(peer, reports, 'no image yet')
    assert not any('no image on' in one.status[0].message for one in reports)
