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

"""Results for the web page of TROS: what it writes, and that it finds the image of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import cv2
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.ranking import RankedClass
from mobilenetv2_ros.node.targets import Stages, TargetsMaker
import numpy as np
import pytest
from rclpy.clock import Clock
from sensor_msgs.msg import CompressedImage, Image
from support import sample_images
from support.engines import is_class
from support.fixture_types import TinyModel
from support.node_process import NodeStarter, RELIABLE
from support.ros_peer import class_ids, make_compressed, make_image, Peer, stamp_of
from vision_msgs.msg import Classification

TOPIC = '/mobilenetv2/targets'

ai_msgs: Any = pytest.importorskip('ai_msgs.msg', reason='ai_msgs, of TROS, is not installed')


def start_looking(peer: Peer, image: Any) -> List[Any]:
    """Subscribe; returns the list that targets go to, when the first ones are there."""
    targets = peer.collect(ai_msgs.PerceptionTargets, TOPIC)

    def has_come() -> bool:
        peer.classify(image)
        peer.spin_for(0.1)
        return bool(targets)

    peer.wait_until(has_come)
    return targets


def receive(peer: Peer, targets: List[Any], image: Any) -> Tuple[Classification, Any]:
    """Send one image; returns its result and its targets."""
    result = peer.classify(image)
    peer.wait_until(lambda: stamp_of(targets[-1]) == stamp_of(result), 'no targets')
    return result, targets[-1]


def pair(images: List[Image], targets: List[Any]) -> Dict[Tuple[int, int], Any]:
    """Pair as the page does: equal stamps, of two heads the older one is thrown away."""
    images, targets = sorted(images, key=stamp_of), sorted(targets, key=stamp_of)
    pairs = {}
    while images and targets:
        if stamp_of(images[0]) == stamp_of(targets[0]):
            pairs[stamp_of(images.pop(0))] = targets.pop(0)
        elif stamp_of(images[0]) < stamp_of(targets[0]):
            images.pop(0)
        else:
            targets.pop(0)
    return pairs


def test_the_page_finds_the_result_of_each_image(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'top_k': 3})
    peer.connect()
    random = np.random.default_rng(0)
    images = [make_image(random.integers(0, 256, (8, 8, 3), np.uint8), frame_id='Kamera größe')
              for _ in range(30)]
    targets = start_looking(peer, images[0])
    for image in images:
        peer.stamp(image)
    peer.publish_all(images)
    results = {stamp_of(one): one for one in peer.results}
    peer.wait_until(lambda: len(pair(images, targets)) == len(images), 'images without a result')
    for stamp, shown in pair(images, targets).items():
        result = results[stamp]
        assert shown.header == result.header
        assert [one.type for one in shown.targets] == [
            f'{one.class_id} {one.score:.2f}' for one in result.results]


def test_what_the_page_shows_of_a_photo(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    photo: Any = cv2.imread(str(photos / 'coffee.png'))
    image = make_image(photo)
    start_node(parameters={**RELIABLE, 'class_id_format': 'index'})
    peer.connect()
    targets = start_looking(peer, image)
    result, shown = receive(peer, targets, image)
    assert len(shown.targets) == 5
    assert is_class(shown.targets[0].type, f'espresso {result.results[0].score:.2f}')
    box = shown.targets[0].rois[0].rect
    assert (box.x_offset, box.y_offset, box.width, box.height) == (0, 0, 600, 400)
    assert [one.type.rpartition('_')[2] for one in shown.perfs] == [
        'preprocess', 'infer', 'pipeline']
    assert not shown.disappeared_targets
    peer.wait_until(lambda: receive(peer, targets, image)[1].fps > 0, 'no rate')


@pytest.mark.parametrize('width, height', [(1920, 1080), (40, 30)])
def test_boxes_of_an_image_that_is_decoded_at_a_part_of_its_size(
        start_node: NodeStarter, peer: Peer, width: int, height: int) -> None:
    """They are those of the image that the page has."""
    image = make_compressed(sample_images.make_sample(width, height))
    start_node(parameters={'image_transport': 'compressed'})
    peer.connect(image, 'image_raw/compressed')
    targets = start_looking(peer, image)
    box = receive(peer, targets, image)[1].targets[0].rois[0].rect
    assert (box.width, box.height) == (width, height)
    assert isinstance(image, CompressedImage)


def test_without_a_class_there_is_a_message(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Else the page would show no image either."""
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'score_threshold': 1.0})
    peer.connect()
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    targets = start_looking(peer, image)
    assert not receive(peer, targets, image)[1].targets


PATCHED = """
import sys
from mobilenetv2_ros.stop_signals import hold_stop_signals
hold_stop_signals()
from mobilenetv2_ros.node import targets
from mobilenetv2_ros.node.main import main
make = targets.TargetsMaker.make
def patched(*arguments):
    print('made', file=sys.stderr, flush=True)
    {}
    return make(*arguments)
targets.TargetsMaker.make = patched
sys.exit(main())
"""


def test_nothing_is_made_while_nobody_looks(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters},
                      program=('-c', PATCHED.format('')))
    peer.connect()
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    for _ in range(20):
        peer.classify(image)
    assert not node.find('^made')
    start_looking(peer, image)
    node.wait_for_line('^made')


def test_a_message_that_cannot_be_made_costs_no_result(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters},
                      program=('-c', PATCHED.format('raise ValueError("no such field")')))
    peer.connect()
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    peer.collect(ai_msgs.PerceptionTargets, TOPIC)

    def is_told() -> bool:
        return class_ids(peer.classify(image)) != [] and bool(node.find('targets not published'))

    peer.wait_until(is_told)
    assert class_ids(peer.classify(image))
    assert 'no such field' in node.text


def test_without_the_messages_the_node_does_without(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / 'ai_msgs').mkdir()
    (tmp_path / 'ai_msgs' / '__init__.py').write_text('raise ImportError("not here")')
    node = start_node(
        parameters={**RELIABLE, **tiny_model.parameters},
        program=('-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r}); '
                 'from mobilenetv2_ros.node.main import main; sys.exit(main())'))
    peer.connect()
    assert TOPIC not in dict(peer.node.get_topic_names_and_types())
    assert not node.find('WARN|ERROR|ai_msgs')


# The messages


def make_targets(count: int = 2, **changes: Any) -> Any:
    maker = TargetsMaker([f'class {index}' for index in range(2000)], 'model', Clock())
    now = Clock().now().nanoseconds
    values: Dict[str, Any] = {
        'header': Header(now // 10 ** 9, now % 10 ** 9, 'camera'),
        'classes': [RankedClass(index, 0.5) for index in range(count)],
        'size': (480, 640), 'stages': Stages(0, 3_000_000, 8_000_000), **changes}
    return maker.make(**values)


def test_each_name_has_a_line() -> None:
    """The page writes it at the upper left corner of the box."""
    boxes = [one.rois[0].rect for one in make_targets(1000).targets]
    assert [box.y_offset for box in boxes[:13]] == [*range(0, 480, 40), 440]
    assert all((box.x_offset, box.width, box.y_offset + box.height) == (0, 640, 480)
               for box in boxes)


@pytest.mark.parametrize('size', [(1, 1), (1, 5000), (8, 3)])
def test_boxes_in_small_images(size: Tuple[int, int]) -> None:
    assert all(one.rois[0].rect.height >= 1 for one in make_targets(20, size=size).targets)


def test_times() -> None:
    """The pipeline begins with the stamp of the image, as in nodes of the vendor."""
    message = make_targets()
    assert [one.type for one in message.perfs] == [
        'model_preprocess', 'model_predict_infer', 'model_pipeline']
    preprocess, infer, pipeline = message.perfs
    assert (preprocess.time_ms_duration, infer.time_ms_duration) == (3.0, 5.0)
    assert preprocess.stamp_end == infer.stamp_start
    assert pipeline.stamp_start == message.header.stamp
    assert 0 <= pipeline.time_ms_duration < 60_000


@pytest.mark.parametrize('sec, nanosec', [(0, 0), (-5, 6), (2 ** 31 - 1, 999_999_999)])
def test_stamps_of_any_clock(sec: int, nanosec: int) -> None:
    stamp = make_targets(header=Header(sec, nanosec, '')).header.stamp
    assert (stamp.sec, stamp.nanosec) == (sec, nanosec)
