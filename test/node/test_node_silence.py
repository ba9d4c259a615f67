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

"""Images that do not come: what the node says of it, and which of it is true."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
from typing import Iterator, List

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mobilenetv2_ros.node import silence
from mobilenetv2_ros.node.silence import SilenceExplainer
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image
from support.fixture_types import TinyModel
from support.node_process import NodeStarter, write_parameters
from support.ros_peer import make_compressed, make_image, Peer
from vision_msgs.msg import Classification

NOBODY = 65534
NODE = f'{sys.executable} -m mobilenetv2_ros.node.main --ros-args'
SOURCE = f'{sys.executable} -m mobilenetv2_ros.tools.image_source --ros-args -p rate:=20.0'
AS_NOBODY = f'setpriv --reuid {NOBODY} --inh-caps +dac_read_search --ambient-caps +dac_read_search'
IN_A_CONTAINER = 'unshare --mount sh -c "mount -t tmpfs tmpfs /dev/shm && exec {}"'

needs_fast_dds = pytest.mark.skipif(
    'fastrtps' not in get_rmw_implementation_identifier(), reason='other shared memory')


@pytest.fixture
def reports(peer: Peer) -> List[DiagnosticArray]:
    """Collect what the node reports."""
    return peer.collect(DiagnosticArray, '/diagnostics')


def wait_for_warning(peer: Peer, reports: List[DiagnosticArray], words: str) -> str:
    """Wait for a warning; returns its message."""
    def find() -> List[str]:
        return [one.message for report in reports for one in report.status
                if one.level == DiagnosticStatus.WARN and words in one.message]

    peer.wait_until(lambda: bool(find()), str(reports[-1:]))
    return find()[0]


def test_a_camera_that_sends_nothing(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel,
        reports: List[DiagnosticArray]) -> None:
    node = start_node(parameters=tiny_model.parameters)
    node.wait_for_line("WARN.*no image yet on '/image_raw', which has 0 publisher")
    peer.open_camera()
    message = wait_for_warning(peer, reports, "no image yet on '/image_raw', though ")
    assert 'offers what this node takes; likeliest first: ' in message
    assert 'its images are too large for the transport; look with ros2 topic hz /image_raw' in (
        message)
    assert 'ros2 run mobilenetv2_ros check' in message
    node.wait_for_line("WARN.*no image yet on '/image_raw', though ")
    peer.connect()
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    peer.wait_until(lambda: bool(peer.classify(image)) and bool(node.find('all is well again')))
    assert len(node.find('no image yet')) == 2


def test_a_camera_whose_qos_does_not_match(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel,
        reports: List[DiagnosticArray]) -> None:
    start_node(parameters={
        **tiny_model.parameters,
        'qos_overrides./image_raw.subscription.durability': 'transient_local'})
    peer.open_camera()
    wait_for_warning(peer, reports, 'set qos_overrides./image_raw.subscription.durability to')


def can_run(command: str) -> bool:
    """Tell whether this user may do that here."""
    return not subprocess.run(
        ['sh', '-c', command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


@needs_fast_dds
def test_a_camera_of_another_user(
        start_node: NodeStarter, tiny_model: TinyModel, tmp_path: Path) -> None:
    """The middleware discovers it, and loses its images without a word."""
    if os.geteuid() or not can_run(f'{AS_NOBODY} {sys.executable} -c pass'):
        pytest.skip('needs root and setpriv')
    home = tmp_path / 'home_of_nobody'
    home.mkdir()
    home.chmod(0o777)
    start_node.run_shell(f'exec {SOURCE}').wait_for_line('publishing')
    arguments = ' '.join(write_parameters(tiny_model.parameters))
    node = start_node.run_shell(
        f'ROS_LOG_DIR={home} XDG_CACHE_HOME={home} exec {AS_NOBODY} {NODE} {arguments}')
    node.wait_for_line('WARN.*, though .* likeliest first: it runs as another user '
                       r'\(/dev/shm holds memory of .*root')


@needs_fast_dds
def test_a_camera_in_a_container_of_its_own(
        start_node: NodeStarter, tiny_model: TinyModel) -> None:
    if not can_run(IN_A_CONTAINER.format('true')):
        pytest.skip('needs root and unshare')
    start_node.run_shell('exec ' + IN_A_CONTAINER.format(SOURCE)).wait_for_line('publishing')
    node = start_node(parameters=tiny_model.parameters)
    node.wait_for_line('WARN.*, though .* it runs in a container without this /dev/shm')


def test_images_that_are_elsewhere_are_named(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters=tiny_model.parameters)
    peer.open_camera('/front/image')
    node.wait_for_line(
        "on '/image_raw', which has 0 publisher.s.; there are images on /front/image$")


# The name of the compressed topic


def test_the_compressed_topic_may_be_named_itself(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """image_transport would look for .../compressed/compressed."""
    topic = '/camera/image_raw/compressed'
    node = start_node('-r', f'image_raw:={topic}', parameters={
        **tiny_model.parameters, 'image_transport': 'compressed',
        f'qos_overrides.{topic}.subscription.reliability': 'reliable'})
    image = make_compressed(np.zeros((8, 8, 3), np.uint8))
    peer.connect(image, topic)
    peer.classify(image)
    node.wait_for_line(f"classifying '{topic}'")


def test_the_demo_keeps_its_source_and_its_node_together(
        start_node: NodeStarter, peer: Peer) -> None:
    start_node.run_shell(
        f'exec {SOURCE} -p image_transport:=compressed -r image_raw:=/camera/compressed')
    image = peer.receive(CompressedImage, '/camera/compressed', qos_profile_sensor_data)
    assert image.format == 'jpeg'


@pytest.mark.parametrize('topic, advice', [
    ('/camera/compressed', 'set image_transport to compressed'),
    ('/image', 'set image_transport to compressed and remap image_raw/compressed to /image')])
def test_compressed_images_for_a_node_that_takes_raw_ones(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, topic: str,
        advice: str) -> None:
    node = start_node('-r', f'image_raw:={topic}', parameters=tiny_model.parameters)
    peer.open_camera(topic, CompressedImage)
    assert node.wait_for_line('no images from').endswith(f'{advice}\n')


# What is seen, without a node under test


@pytest.fixture
def node(start_node: NodeStarter) -> Iterator[Node]:
    """Make a node in a domain of its own."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=start_node.domain)
    node = Node('mobilenetv2', context=context, start_parameter_services=False)
    yield node
    node.destroy_node()
    context.try_shutdown()


def explain_later(explainer: SilenceExplainer, patch: pytest.MonkeyPatch) -> silence.Silence:
    """Ask twice, with more than patience between."""
    explainer.explain()
    with patch.context() as patched:
        patched.setattr(silence, '_PATIENCE', -1.0)
        return explainer.explain()


def test_patience_begins_anew_with_a_publisher(
        node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = node.create_subscription(Image, 'image_raw', lambda message: None, 1)
    explainer = SilenceExplainer(node, subscription)
    assert explain_later(explainer, monkeypatch)[:2] == (0, False)
    publisher = node.create_publisher(Image, 'image_raw', 1)
    assert explainer.explain()[:2] == (1, False)
    assert explain_later(explainer, monkeypatch)[:2] == (1, True)
    node.destroy_publisher(publisher)
    assert explainer.explain()[:2] == (0, False)


@needs_fast_dds
def test_what_lies_in_shared_memory_comes_first(
        node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    subscription = node.create_subscription(Image, 'image_raw', lambda message: None, 1)
    node.create_publisher(Image, 'image_raw', 1)
    explainer = SilenceExplainer(node, subscription)
    monkeypatch.setattr(silence, '_SHARED_MEMORY', str(tmp_path))
    assert 'likeliest first: it sends nothing, it runs as another user, it runs in a' in (
        explain_later(explainer, monkeypatch).text)
    (tmp_path / 'fastdds_port7411').touch()
    monkeypatch.setattr(os, 'geteuid', lambda: 12345678)
    assert f'likeliest first: it runs as another user ({tmp_path} holds memory of ' in (
        explain_later(explainer, monkeypatch).text)
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    assert 'security is on: check the enclave' in explain_later(explainer, monkeypatch).text
    assert silence._name_user(12345678) == 'user 12345678'


def test_many_topics_are_few_words(node: Node) -> None:
    subscription = node.create_subscription(Image, 'image_raw', lambda message: None, 1)
    node.create_publisher(Classification, '/rear/mobilenetv2/classification', 1)
    for name in ('b', 'a', 'd', 'c', 'mobilenetv2/overlay', '/rear/mobilenetv2/overlay'):
        node.create_publisher(Image, name, 1)
    text = SilenceExplainer(node, subscription).explain().text
    assert text.endswith('there are images on /a, /b, /c and 1 more')


def test_topics_that_no_node_can_subscribe_are_passed_over(
        node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs without ROS name theirs as they like."""
    subscription = node.create_subscription(Image, 'image_raw', lambda message: None, 1)
    node.create_publisher(Image, 'camera', 1)
    find = node.get_topic_names_and_types
    monkeypatch.setattr(node, 'get_topic_names_and_types', lambda: [
        ('/cam-1/image', ['sensor_msgs/msg/Image']), *find()])
    text = SilenceExplainer(node, subscription).explain().text
    assert text.endswith('there are images on /camera')
