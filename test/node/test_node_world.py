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
What the world does to the node: cameras, clocks, disks and memory that fail, over real DDS.

The node has to go on classifying what can be classified, say what cannot, and end well.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
import re
import resource
import subprocess
from typing import Dict, Iterator, List, Set, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import psutil
import pytest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from support.fixture_types import TinyModel
from support.node_process import list_segments, NodeStarter, RELIABLE
from support.ros_peer import make_image, Peer, stamp_of
from vision_msgs.msg import Classification

pytestmark = pytest.mark.faults

RANDOM = np.random.default_rng(1)

KILLED_CAMERA = """
from contextlib import suppress
import rclpy
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node('killed_camera')
publisher = node.create_publisher(Image, 'image_raw', 10)
image = Image(height=1500, width=2000, encoding='bgr8', step=6000, data=bytes(9_000_000))
while True:
    image.header.stamp.sec += 1
    with suppress(Exception):  # it gives up after 100 ms if nobody has taken what it sent before
        publisher.publish(image)
"""
"""Publishes 9 MB at a time, so that it is killed in the middle of an image."""


OF_SPEED = 'images lost on the way|no image (yet )?on'
"""What the node says of a busy machine, on which a camera is slow and then sends too much."""


def make_small_image(width: int = 8, height: int = 8, encoding: str = 'bgr8') -> Image:
    rows, channels = {'bgr8': (height, 3), 'mono8': (height, 1), 'nv12': (height * 3 // 2, 1),
                      'yuyv': (height, 2), 'bgra8': (height, 4)}[encoding]
    return make_image(
        RANDOM.integers(0, 256, (rows, width, channels), np.uint8), encoding, height)


def last_counts(reports: List[DiagnosticArray]) -> Dict[str, int]:
    """Return the counters of images in the last report that has them."""
    names = {'received', 'published', 'dropped', 'failed', 'lost in transport'}
    found = [{one.key: int(one.value) for one in report.status[0].values
              if one.key in names and one.value != 'unknown'}
             for report in reports]
    return next((counts for counts in reversed(found) if counts), {})


def last_verdict(reports: List[DiagnosticArray]) -> Tuple[bytes, str]:
    """Return level and message of the last report, STALE before the first one."""
    if not reports:
        return DiagnosticStatus.STALE, ''
    return reports[-1].status[0].level, reports[-1].status[0].message


# Cameras


def test_a_camera_that_restarts(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    start_node(parameters={**RELIABLE, **tiny_model.parameters})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.connect()
    for _ in range(3):
        peer.classify(make_small_image())
        peer.close_camera()
        # A loaded machine drops images of the connecting camera, which is a WARN too.
        peer.wait_until(lambda: '0 publisher(s)' in last_verdict(reports)[1])
        assert last_verdict(reports)[0] == DiagnosticStatus.WARN
        peer.open_camera()
        peer.connect()
        # A camera goes on: without images WARN would come again, perhaps before OK is seen.
        peer.wait_until(lambda: bool(peer.classify(make_small_image()))
                        and last_verdict(reports)[0] == DiagnosticStatus.OK)


def test_a_camera_that_changes_size_and_encoding_in_mid_stream(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Every other image cannot be read: each is told, and none keeps the next one up."""
    # Room in the queue for a damaged image and the one after it.
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'thread_count': 3})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.connect()
    encodings = ['bgr8', 'nv12', 'mono8', 'yuyv', 'bgra8']
    sizes = [(8, 8), (1920, 1080), (2, 2), (640, 480), (64, 1000)]
    stamps = []
    for turn in range(50):
        width, height = sizes[turn % 5]
        image = make_small_image(width, height, encodings[turn // 5 % 5])
        damaged = make_small_image()
        damaged.encoding, damaged.step = [('bgr8', 1), ('no such thing', 24)][turn % 2]
        peer.stamp(damaged)
        peer.publish(damaged)
        stamps.append(stamp_of(peer.classify(image)))
    assert [stamp_of(one) for one in peer.results] == stamps
    peer.wait_until(lambda: last_counts(reports).get('failed') == 50)


def test_stamps_that_jump_back(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """The clock is set, a bag starts again: the order is that of arrival."""
    start_node(parameters={**RELIABLE, **tiny_model.parameters})
    peer.connect()
    stamps = [(100, 0), (99, 999_999_999), (0, 0), (2**31 - 1, 999_999_999), (-5, 1), (7, 7),
              (7, 7)]
    images = []
    for stamp in stamps:
        image = make_small_image()
        image.header.stamp.sec, image.header.stamp.nanosec = stamp
        images.append(image)
    peer.publish_all(images)
    assert [stamp_of(one) for one in peer.results] == stamps


def test_cameras_that_are_killed_in_mid_stream(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    peer.connect()
    segments: Set[Path] = set()
    for _ in range(3):
        before = len(peer.results)
        camera = start_node.run('-c', KILLED_CAMERA)
        peer.wait_until(
            lambda: len(peer.results) > before + 3, lambda: f'{camera.text}{node.text}')
        segments |= list_segments(camera.usage)
        camera.kill()
        peer.classify(make_small_image())
    node.stop()
    assert not [line for line in node.find(r'\[(WARN|ERROR)\]')
                if not re.search(OF_SPEED, line)], node.text
    # What is killed cannot tidy up after itself.
    for segment in segments - list_segments(psutil.Process()):
        segment.unlink(missing_ok=True)


# Listeners and neighbours


def test_a_hundred_listeners_come_and_go(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    peer.connect()
    image = make_small_image()
    before = node.usage.num_threads(), node.usage.num_fds()
    for _ in range(4):
        heard: List[Classification] = []
        listeners = [
            peer.node.create_subscription(
                Classification, '/mobilenetv2/classification', heard.append, 10)
            for _ in range(25)]
        peer.wait_until(lambda: peer.node.count_subscribers('/mobilenetv2/classification') == 26)
        # The node learns of each by itself.
        peer.wait_until(lambda: bool(peer.classify(image)) and len(heard) > 0)
        for listener in listeners:
            peer.node.destroy_subscription(listener)
        peer.classify(image)
    assert (node.usage.num_threads(), node.usage.num_fds()) == before


def test_two_nodes_with_one_name(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Both do their work; it is seen twice."""
    nodes = [start_node(parameters={**RELIABLE, **tiny_model.parameters}) for _ in range(2)]
    for node in nodes:
        node.wait_until_active()
    peer.connect()

    def is_answered_twice() -> bool:
        stamp = stamp_of(peer.classify(make_small_image()))
        peer.spin_for(0.1)
        return [stamp_of(one) for one in peer.results].count(stamp) == 2

    peer.wait_until(is_answered_twice)
    nodes[0].stop()
    peer.classify(make_small_image())


# Clocks


@pytest.mark.parametrize('is_clock_there', [False, True])
def test_time_that_stands_still(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, is_clock_there: bool) -> None:
    """A simulation that is paused, or not there yet."""
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'use_sim_time': True})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    clock = peer.node.create_publisher(Clock, '/clock', 10)
    peer.connect()

    expected = (1000, 0) if is_clock_there else (0, 0)

    def is_time_right() -> bool:
        if is_clock_there:
            clock.publish(Clock(clock=Time(sec=1000)))
        return bool(reports) and stamp_of(reports[-1]) == expected

    peer.wait_until(is_time_right)
    before = len(reports)
    peer.wait_until(lambda: bool(peer.classify(make_small_image())) and len(reports) >= before + 3)
    assert stamp_of(reports[-1]) == expected
    assert last_verdict(reports)[0] == DiagnosticStatus.OK


# Disks


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 16 KiB."""
    folder.mkdir()
    mount = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', str(folder)], check=False)
    if mount.returncode != 0:
        pytest.skip('only root may mount a disk')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '--lazy', str(folder)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match='No space left'), (disk / 'filling').open('wb', 0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize('is_full_at_start', [True, False])
def test_the_disk_for_logs_is_full(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, tmp_path: Path,
        is_full_at_start: bool) -> None:
    with tiny_disk(tmp_path / 'disk') as disk:
        if is_full_at_start:
            fill(disk)
        node = start_node(
            '--log-level', 'debug', parameters={**RELIABLE, **tiny_model.parameters},
            ROS_LOG_DIR=str(disk))
        peer.connect()
        if not is_full_at_start:
            fill(disk)
        for _ in range(50):
            peer.set_parameter('top_k', 3)
            peer.classify(make_small_image())
        node.wait_for_line('Failed writing to file .* No space left on device')
        node.stop()


def test_no_logs_can_be_written_at_all(start_node: NodeStarter, tiny_model: TinyModel) -> None:
    node = start_node(parameters=tiny_model.parameters, ROS_LOG_DIR='/dev/null/log')
    assert node.wait() == 1
    line, = node.lines
    assert 'check the ROS arguments, ROS_LOG_DIR and, ' in line
    # Humble writes it with a colon, later ones with quotes.
    assert re.search("Failed to create log directory:? '?/dev/null/log", line)


# Memory


def test_no_memory_for_a_large_image(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Each is told as failed, and what needs little is classified."""
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.connect()
    in_use = node.usage.memory_info().vms
    resource.prlimit(node.usage.pid, resource.RLIMIT_AS, (in_use + (8 << 20), -1))
    large = make_small_image(3000, 3000)

    def count_told() -> int:
        # Threads may have enough left of what has been set aside for them: then it is classified.
        failed = last_counts(reports).get('failed', 0)
        return failed + sum(result.header.frame_id == 'large' for result in peer.results)

    large.header.frame_id = 'large'
    for count in range(1, 4):
        peer.publish(large)
        peer.wait_until(lambda: count_told() >= count,
                        lambda: f'{count_told()} of {count}: {last_counts(reports)}, {node.text}')
        peer.classify(make_small_image())
    assert count_told() == 3
    if last_counts(reports)['failed']:
        node.wait_for_line('image not classified: it could not be taken from the middleware')
    assert last_counts(reports).get('lost in transport', 0) == 0
    resource.prlimit(node.usage.pid, resource.RLIMIT_AS, (-1, -1))
    peer.classify(large)
