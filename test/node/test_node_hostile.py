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
Serialized rubbish over real DDS: told, counted, and the next good image is classified.

rclpy sends bytes as they are, so that the node gets what any program on the network could send.
"""

from __future__ import annotations

from pathlib import Path
import re
from typing import Any, Dict

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from support.fixture_types import TinyModel
from support.hostile_images import compress, lie_about_length, make_bombs, make_png
from support.node_process import NodeProcess, NodeStarter, RELIABLE
from support.ros_peer import make_compressed, make_image, Peer
from support.serialized import compressed, HOSTILE, HOSTILE_IMAGES

MAX_GROWTH = 64 << 20

COMPRESSED = {name.replace('image_raw', 'image_raw/compressed'): value
              for name, value in RELIABLE.items()}

HOSTILE_FILES = {
    **HOSTILE, 'cut off': compressed()[:-3], 'no data': compressed(data=b''),
    'lines of its own': compressed(format_name='a\n[ERROR] forged\n', data=b'GIF89a'),
    'cut-off file': compressed(data=make_png()[:50]),
    'empty PNG': compressed(data=make_png()[:33] + make_png()[-12:]),
    'chunk of 4 GiB': compressed('>', data=lie_about_length(b'IDAT', 2 ** 32 - 1)),
    **{words: compressed(data=bomb) for words, bomb in make_bombs().items()}}


def read_peak(node: NodeProcess) -> int:
    """Return the most memory that a process has ever used, in bytes."""
    status = Path(f'/proc/{node.usage.pid}/status').read_text()
    found = re.search(r'VmHWM:\s*(\d+) kB', status)
    assert found
    return int(found[1]) << 10


def check(node: NodeProcess, peer: Peer, good: Any, hostile: Dict[str, bytes]) -> None:
    """Send each message and a good one behind it; every hostile one has to count as failed."""
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    before = read_peak(node)
    for message in hostile.values():
        peer.publish(message)
        peer.classify(good)
    assert read_peak(node) - before < MAX_GROWTH
    assert len(peer.results) == len(hostile)

    def is_counted() -> bool:
        values = {one.key: one.value for report in reports[-1:] for one in report.status[0].values}
        return values.get('failed') == str(len(hostile))

    peer.wait_until(is_counted, str(reports[-1:]))
    first = node.wait_for_line('image not classified: ')
    assert 'image not classified: a message of ' in first
    assert len(node.find('image not classified: ')) < len(hostile)
    assert 'Traceback' not in node.text
    assert not node.find(r'^\[ERROR\]')


def test_raw_rubbish(start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    # With room for two, the good one cannot push the bad one out before it is looked at.
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters, 'thread_count': 2})
    peer.connect()
    check(node, peer, make_image(np.zeros((8, 8, 3), np.uint8)), HOSTILE_IMAGES)


def test_compressed_rubbish(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    good = make_compressed(np.zeros((8, 8, 3), np.uint8))
    node = start_node(parameters={
        **COMPRESSED, **tiny_model.parameters, 'thread_count': 2,
        'image_transport': 'compressed'})
    peer.connect(good, 'image_raw/compressed')
    check(node, peer, good, HOSTILE_FILES)


def test_a_flood_of_bombs_is_told_once_in_a_while(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """A black PNG of 60000x60000 pixels, as often as the network delivers it."""
    bomb = compressed(data=make_bombs()['60000x60000 is larger than'], format_name='png')
    good = make_compressed(np.zeros((8, 8, 3), np.uint8), 'png')
    node = start_node(parameters={
        **COMPRESSED, **tiny_model.parameters, 'image_transport': 'compressed'})
    peer.connect(good, 'image_raw/compressed')
    before = read_peak(node)
    for _ in range(300):
        peer.publish(bomb)
    assert '60000x60000 is larger than the 50000000 pixels that max_image_pixels allows' in (
        node.wait_for_line('image not classified'))
    peer.classify(good)
    assert read_peak(node) - before < MAX_GROWTH
    assert len(node.find('image not classified')) < 10


def test_a_large_image_takes_its_memory_and_no_more(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """The largest one that max_image_pixels allows, from a message of some kilobytes."""
    large = make_compressed(np.zeros((2000, 2000, 3), np.uint8), 'png')
    node = start_node(parameters={
        **COMPRESSED, **tiny_model.parameters, 'image_transport': 'compressed',
        # Each worker keeps what it has freed, and on a busy machine they take turns.
        'max_image_pixels': 4_000_000, 'thread_count': 1})
    good = make_compressed(np.zeros((8, 8, 3), np.uint8), 'png')
    peer.connect(good, 'image_raw/compressed')
    before = read_peak(node)
    for _ in range(5):
        peer.classify(large)
    assert read_peak(node) - before < 12 * 4_000_000 + (16 << 20)
    peer.publish(compressed(data=compress(np.zeros((2000, 2001, 3), np.uint8), 'png')))
    assert '2001x2000 is larger than the 4000000' in node.wait_for_line('not classified')
    peer.classify(good)
