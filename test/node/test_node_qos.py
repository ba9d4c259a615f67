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

"""Quality of service of the node's input: overrides, and words about what does not match."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast, Dict, Iterator, List, Sequence

from mobilenetv2_ros.node.classifier_node import ClassifierNode
from mobilenetv2_ros.node.input_qos import find_publishers, make_sensor_qos
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from support.fixture_types import TinyModel
from support.node_process import NodeStarter
from support.ros_peer import make_image, Peer

# A publisher may be discovered before the name of its node is.
NO_IMAGES = 'no images from (/peer|a publisher) on '
OVERRIDES = 'qos_overrides./image_raw.subscription'
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def image() -> Image:
    """Make a small image."""
    return make_image(np.full((8, 8, 3), 200, np.uint8))


def wait_for_input(peer: Peer) -> QoSProfile:
    """Return the quality of service that the node's subscription has for others."""
    peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 1)
    info, = peer.node.get_subscriptions_info_by_topic('/image_raw')
    return info.qos_profile


@pytest.mark.parametrize('overrides, reliability, durability', [
    ({}, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    ({'reliability': 'reliable'}, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
    ({'reliability': 'reliable', 'durability': 'transient_local'},
     ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)])
def test_others_see_the_overrides_also_after_another_activation(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, overrides: Dict[str, str],
        reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> None:
    start_node(parameters={
        **tiny_model.parameters,
        **{f'{OVERRIDES}.{policy}': value for policy, value in overrides.items()}})
    qos = wait_for_input(peer)
    assert (qos.reliability, qos.durability) == (reliability, durability)
    for again in (('deactivate', 'activate'), (
            'deactivate', 'cleanup', 'configure', 'activate')):
        peer.change_states(again[0])
        peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
        peer.change_states(*again[1:])
        qos = wait_for_input(peer)
        assert (qos.reliability, qos.durability) == (reliability, durability)


@pytest.fixture
def context(start_node: NodeStarter) -> Iterator[Context]:
    """Make a context of this process, in the test's domain."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=start_node.domain)
    yield context
    context.try_shutdown()


@pytest.mark.parametrize('overrides, depth, history', [
    ({}, 5, HistoryPolicy.KEEP_LAST), ({'depth': 17}, 17, HistoryPolicy.KEEP_LAST),
    ({'history': 'keep_all'}, 5, HistoryPolicy.KEEP_ALL)])
def test_depth_and_history_reach_the_subscription(
        context: Context, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch,
        overrides: Dict[str, Any], depth: int, history: HistoryPolicy) -> None:
    """Nobody else can see these two, so the node lives in this process here."""
    values = {**{name: str(value) for name, value in tiny_model.parameters.items()},
              **{f'{OVERRIDES}.{policy}': value for policy, value in overrides.items()}}
    node = ClassifierNode(context=context, parameter_overrides=[
        Parameter(name, value=value) for name, value in values.items()])
    made: List[Subscription] = []
    create_subscription = node.create_subscription

    def create(*arguments: Any, **options: Any) -> Subscription:
        made.append(create_subscription(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(node, 'create_subscription', create)
    try:
        node.trigger_configure()
        for times in (1, 2):
            node.trigger_activate()
            assert len(made) == times
            qos = made[-1].qos_profile
            assert (qos.depth, qos.history) == (depth, history)
            node.trigger_deactivate()
    finally:
        node.destroy_node()


def test_every_profile_is_a_new_one() -> None:
    """Overrides are written into it."""
    assert make_sensor_qos() is not make_sensor_qos()


def test_a_best_effort_camera_and_a_reliable_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**tiny_model.parameters, f'{OVERRIDES}.reliability': 'reliable'})
    node.wait_until_active()
    peer.open_camera(qos=BEST_EFFORT)
    line = node.wait_for_line(NO_IMAGES)
    assert '[WARN]' in line
    assert ("on '/image_raw': it offers BEST_EFFORT and VOLATILE, but this "
            'node asks for RELIABLE and VOLATILE; set qos_overrides./image_raw.subscription.'
            'reliability to best_effort') in line


def test_the_camera_may_have_been_there_before(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    peer.open_camera(qos=BEST_EFFORT)
    node = start_node(parameters={**tiny_model.parameters, f'{OVERRIDES}.reliability': 'reliable'})
    node.wait_for_line(NO_IMAGES)


def test_a_volatile_camera_and_a_transient_local_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={
        **tiny_model.parameters, f'{OVERRIDES}.durability': 'transient_local'})
    node.wait_until_active()
    peer.open_camera()
    line = node.wait_for_line(NO_IMAGES)
    assert line.rstrip().endswith(
        'set qos_overrides./image_raw.subscription.durability to volatile')


def test_both_at_once_on_a_remapped_topic(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    overrides = 'qos_overrides./front/image.subscription'
    node = start_node('-r', 'image_raw:=/front/image', parameters={
        **tiny_model.parameters, f'{overrides}.durability': 'transient_local',
        f'{overrides}.reliability': 'reliable'})
    node.wait_until_active()
    peer.open_camera('/front/image', qos=BEST_EFFORT)
    line = node.wait_for_line(NO_IMAGES)
    assert (f'set {overrides}.reliability to best_effort and {overrides}.durability to volatile'
            ) in line


def test_a_camera_of_another_type(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters=tiny_model.parameters)
    peer.open_camera(kind=CompressedImage)
    assert 'it publishes sensor_msgs/msg/CompressedImage' in node.wait_for_line(NO_IMAGES)


def test_cameras_that_match_are_passed_over(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image) -> None:
    node = start_node(parameters={**tiny_model.parameters, f'{OVERRIDES}.reliability': 'reliable'})
    good = Peer(start_node.domain)
    try:
        good.connect(image)
        peer.open_camera(qos=BEST_EFFORT)
        node.wait_for_line(NO_IMAGES)
        good.classify(image)
        assert len(node.find('no images from')) == 1
    finally:
        good.close()


@pytest.mark.parametrize('camera', [BEST_EFFORT, LATCHED, QoSProfile(depth=1)])
def test_sensor_data_matches_every_camera(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image,
        camera: QoSProfile) -> None:
    node = start_node(parameters=tiny_model.parameters)
    peer.open_camera(qos=camera)
    peer.connect(image)
    assert not node.find('no images from')


def test_a_transient_local_node_gets_the_last_image_of_a_latched_camera(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image) -> None:
    """As from a camera that published one image before the node was there."""
    start_node(parameters={
        **tiny_model.parameters, 'autostart': False, f'{OVERRIDES}.reliability': 'reliable',
        f'{OVERRIDES}.durability': 'transient_local'})
    peer.open_camera(qos=LATCHED)
    peer.change_states('configure')
    peer.publish(image)
    from vision_msgs.msg import Classification
    results = peer.collect(Classification, '/mobilenetv2/classification')
    peer.wait_until(lambda: peer.node.count_publishers('/mobilenetv2/classification') == 1)
    peer.change_states('activate')
    peer.wait_until(lambda: len(results) > 0)


def test_mismatches_of_the_one_subscription_only(context: Context) -> None:
    node = rclpy.create_node('camera', context=context)
    node.create_publisher(Image, 'image_raw', BEST_EFFORT)
    reliable = QoSProfile(depth=1)
    assert find_publishers(node, '/other', Image, reliable) == (0, [], [])
    count, (fitting,), mismatches = find_publishers(
        node, '/image_raw', Image, make_sensor_qos())
    assert (count, fitting.node_name, mismatches) == (1, 'camera', [])
    count, none, mismatches = find_publishers(node, '/image_raw', Image, reliable)
    assert (count, none, len(mismatches)) == (1, [], 1)
    _, _, ((_, other),) = find_publishers(node, '/image_raw', CompressedImage, reliable)
    assert ("on '/image_raw': it publishes sensor_msgs/msg/Image, but this node takes "
            'sensor_msgs/msg/CompressedImage; remap the topic or see image_transport') in other
    node.destroy_node()


class Graph:
    """A node that sees the publishers it is given."""

    def __init__(self, *publishers: Any) -> None:
        """Remember them."""
        self._publishers = publishers

    def get_publishers_info_by_topic(self, topic: str) -> Sequence[Any]:
        return [one() if callable(one) else one for one in self._publishers]


def raise_unicode_error() -> None:
    bytes([0xff]).decode()


def test_what_strangers_call_themselves_is_shortened_and_bounded() -> None:
    """Two hundred publishers are one line of the log, without their line breaks and escapes."""
    strangers = [
        SimpleNamespace(node_namespace='/', node_name=f'n{number}\n\x1b[2J' + 'x' * 1000,
                        topic_type=f'evil/msg/T{number}\n\x1b[2J' + 'y' * 1000)
        for number in range(200)]
    count, _, ((kind, sentence),) = find_publishers(
        cast(Node, Graph(*strangers)), '/image_raw', Image, make_sensor_qos())
    assert count == 200
    assert kind == 'type' and 'n0' in sentence and 'and 199 more' in sentence
    assert sentence.isprintable() and len(sentence) < 400


def test_a_name_that_is_no_text_is_told() -> None:
    _, _, ((kind, sentence),) = find_publishers(
        cast(Node, Graph(raise_unicode_error)), '/image_raw', Image, make_sensor_qos())
    assert kind == 'unreadable' and 'not UTF-8' in sentence
