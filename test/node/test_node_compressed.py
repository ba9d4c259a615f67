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

"""Compressed images through the whole node."""

from __future__ import annotations

from pathlib import Path
import struct
from typing import Any, List, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray
import pytest
from sensor_msgs.msg import CompressedImage
from support.engines import is_class, needs_litert
from support.node_process import NodeProcess, NodeStarter
from support.ros_peer import class_ids, make_compressed, Peer, stamp_of, wrap_compressed


@pytest.fixture
def coffee(photos: Path) -> NDArray[np.uint8]:
    """Return the pixels of a photo, bgr8."""
    return np.asarray(cv2.imread(str(photos / 'coffee.png')), np.uint8)


def start(start_node: NodeStarter, *arguments: str, topic: str = '/image_raw',
          **parameters: object) -> NodeProcess:
    """Start a node that takes compressed images and misses none."""
    overrides = f'qos_overrides.{topic}/compressed.subscription'
    return start_node(*arguments, parameters={
        f'{overrides}.reliability': 'reliable', f'{overrides}.depth': 100,
        'image_transport': 'compressed', **parameters})


@pytest.mark.parametrize('form', ['jpeg', 'png'])
def test_compressed_photos_are_recognised(
        start_node: NodeStarter, peer: Peer, coffee: Any, form: str) -> None:
    start(start_node)
    message = make_compressed(coffee, form)
    peer.connect(message, 'image_raw/compressed')
    for frame_id in ('camera', 'Kamera größe'):
        message.header.frame_id = frame_id
        result = peer.classify(message)
        assert is_class(class_ids(result)[0], 'espresso')
        assert result.header == message.header


def make_mosaic(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep of each pixel the channel that a sensor of type bayer_rggb8 has there."""
    mosaic = bgr[:, :, 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = bgr[::2, ::2, 2], bgr[1::2, 1::2, 0]
    return mosaic


@needs_litert
def test_compressed_images_of_sensors_are_recognised(
        start_node: NodeStarter, peer: Peer, coffee: Any) -> None:
    """In 16 bits of which 10 are used, and as a mosaic that only the format tells."""
    node = start(start_node)
    deep = make_compressed(coffee.astype(np.uint16) << 2, 'png')
    mosaic = make_compressed(make_mosaic(coffee), 'png')
    mosaic.format = 'bayer_rggb8; png compressed '
    peer.connect(deep, 'image_raw/compressed')
    for message in (deep, mosaic):
        assert is_class(class_ids(peer.classify(message))[0], 'espresso')
    node.wait_for_line('bgr16 images are taken for 10 bits')


def test_a_remapped_topic_takes_its_compressed_one_along(
        start_node: NodeStarter, peer: Peer, coffee: Any) -> None:
    start(start_node, '-r', 'image_raw:=front/image', topic='/front/image')
    message = make_compressed(coffee)
    peer.connect(message, 'front/image/compressed')
    assert is_class(class_ids(peer.classify(message))[0], 'espresso')


@needs_litert
# Letterboxed, little of the image is left: a level more or less in its chroma, which rounding
# decides, moves a score of the quantised network by 0.05.
@pytest.mark.parametrize('mode, difference', [
    ('stretch', 0.15), ('crop', 0.15), ('letterbox', 0.25)])
def test_large_images_have_the_classes_of_small_ones(
        start_node: NodeStarter, peer: Peer, coffee: Any, mode: str, difference: float) -> None:
    start(start_node, resize_mode=mode)
    small = make_compressed(coffee)
    large = make_compressed(cv2.resize(coffee, (1920, 1280), interpolation=cv2.INTER_CUBIC))
    peer.connect(small, 'image_raw/compressed')
    small_result, large_result = peer.classify(small), peer.classify(large)
    assert class_ids(small_result)[0] == class_ids(large_result)[0] == 'espresso'
    assert small_result.results[0].score == pytest.approx(
        large_result.results[0].score, abs=difference)


def make_bomb() -> bytes:
    """Return a small PNG that says it has 60000x60000 pixels."""
    _, encoded = cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))
    data = bytearray(encoded.tobytes())
    struct.pack_into('>II', data, 16, 60000, 60000)
    return bytes(data)


def make_broken(coffee: Any) -> List[Tuple[str, CompressedImage]]:
    """Return images that cannot be decoded, each with what is said of it."""
    jpeg = bytes(make_compressed(coffee).data)
    png = bytes(make_compressed(coffee, 'png').data)
    return [
        ('a JPEG image is cut off', wrap_compressed(jpeg[:len(jpeg) // 2])),
        ('a PNG image is cut off', wrap_compressed(png[:len(png) // 2], 'png')),
        ('expected JPEG or PNG', wrap_compressed(b'GIF89a' + bytes(50), 'gif')),
        ('has no data', wrap_compressed(b'')),
        ('max_image_pixels', wrap_compressed(make_bomb(), 'png'))]


@pytest.mark.parametrize('number', range(5))
def test_broken_images_are_told_and_skipped(
        start_node: NodeStarter, peer: Peer, coffee: Any, number: int) -> None:
    words, broken = make_broken(coffee)[number]
    good = make_compressed(coffee)
    node = start(start_node)
    peer.connect(good, 'image_raw/compressed')
    peer.publish(broken)
    assert words in node.wait_for_line('image not classified')
    assert is_class(class_ids(peer.classify(good))[0], 'espresso')
    assert len(peer.results) == 1


def test_images_of_1080p_come_faster_than_one_by_one(
        start_node: NodeStarter, peer: Peer, coffee: Any) -> None:
    """None is left out: the queue takes as many as may wait."""
    start(start_node, thread_count=16)
    jpeg = make_compressed(cv2.resize(coffee, (1920, 1080)))
    peer.connect(jpeg, 'image_raw/compressed')
    stamps: List[Any] = []
    for sent in range(90):
        peer.wait_until(lambda: sent - len(peer.results) < 16, 'not all images were answered')
        stamps.append(peer.stamp(jpeg))
        peer.publish(jpeg)
    peer.wait_until(lambda: len(peer.results) >= 90, 'not all images were answered')
    assert [stamp_of(one) for one in peer.results] == stamps
    assert all(is_class(class_ids(one)[0], 'espresso') for one in peer.results)
