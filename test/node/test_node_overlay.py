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

"""Images with their classes on them: what is drawn, and that it is drawn on demand only."""

from __future__ import annotations

from array import array
import os
from pathlib import Path
import threading
from typing import Any, List

import cv2
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.image.nv12 import ENCODINGS
from mobilenetv2_ros.image.overlay import describe, draw_classes
from mobilenetv2_ros.node.messages import make_jpeg
from mobilenetv2_ros.node.overlay_thread import OverlayThread
import numpy as np
from numpy.typing import NDArray
import pytest
from sensor_msgs.msg import CompressedImage, Image
from support import sample_images
from support.node_process import NodeStarter, RELIABLE, wait_until
from support.ros_peer import make_image, Peer, stamp_of

OVERLAY = '/mobilenetv2/overlay'
LINES = ['Scottish deerhound 97.5 %', 'Irish wolfhound 1.2 %', 'a', 'b', 'c']


# What is drawn


@pytest.mark.parametrize('width, height', [
    (1, 1), (32, 32), (1, 500), (500, 1), (320, 240), (640, 480), (3840, 2160), (480, 2000)])
def test_lines_are_drawn_on_every_size(width: int, height: int) -> None:
    grey = np.full((height, width, 3), 127, np.uint8)
    drawn = draw_classes(grey, LINES)
    assert drawn.dtype == np.uint8 and drawn.ndim == 3
    assert drawn.shape[1] >= width and drawn.shape[0] >= height
    assert drawn.size <= max(grey.size, 3 * 2 ** 21)
    assert (grey == 127).all(), 'the image itself was changed'
    assert (drawn < 100).any(), 'nothing is shaded'
    if min(drawn.shape[:2]) >= 240:
        assert (drawn > 200).any(), 'no letters'
        assert (drawn[-1] == 127).all(), 'text at the lower edge'


@pytest.mark.parametrize('width, height', [(320, 240), (640, 480), (1920, 1080)])
def test_long_names_stay_within_the_image(width: int, height: int) -> None:
    drawn = draw_classes(np.full((height, width, 3), 127, np.uint8), ['W' * 90, 'short'])
    assert (drawn[:, -1] == 127).all() or not (drawn[:, -1] > 200).any()
    assert (drawn > 150).any()


def test_narrow_images_keep_their_proportions() -> None:
    drawn = draw_classes(sample_images.make_sample(32, 24), LINES)
    assert drawn.shape == (240, 320, 3)


def test_without_classes_there_is_just_the_image() -> None:
    image = sample_images.make_sample(400, 300)
    drawn = draw_classes(image, [])
    assert (drawn == image).all()
    drawn[:] = 0
    assert image.any()


@pytest.mark.parametrize('width, height', [
    (64, 48), (320, 240), (640, 480), (1920, 1080), (480, 2000), (500, 40), (500, 10)])
@pytest.mark.parametrize('count', [1, 5, 1000])
def test_what_does_not_fit_is_counted(
        monkeypatch: pytest.MonkeyPatch, width: int, height: int, count: int) -> None:
    """The last line is never cut, and nothing is drawn that nobody would see."""
    put_text, texts, bottoms = cv2.putText, [], []

    def record(letters: Any, text: str, origin: Any, *rest: Any) -> Any:
        texts.append(text)
        bottoms.append(origin[1] / letters.shape[0])
        return put_text(letters, text, origin, *rest)

    monkeypatch.setattr(cv2, 'putText', record)
    draw_classes(np.full((height, width, 3), 127, np.uint8), [f'class {n}' for n in range(count)])
    assert texts[0].startswith('class 0') and bottoms[-1] < 1
    assert len(texts) <= 70
    if count == 1000:
        shown = sum(text.startswith('class ') for text in texts)
        assert texts[-1].endswith(f'and {count - shown} more')
    elif height >= 200:
        assert texts == [f'class {n}' for n in range(count)]


def test_lines() -> None:
    assert describe([]) == ['no class above score_threshold']
    assert describe([('dog', 0.5), ('cat', 0.0449)]) == ['dog 50.0 %', 'cat 4.5 %']


class Drawing:
    """What an overlay thread does, step by step."""

    def __init__(self) -> None:
        self.drawn: List[int] = []
        self.errors: List[str] = []
        self.niceness = 0
        self.free = threading.Event()
        self.begun = threading.Semaphore(0)
        self.thread = OverlayThread(
            self._draw, lambda error: self.errors.append(str(error)))

    def _draw(self, item: int) -> None:
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.begun.release()
        assert self.free.wait(30)
        if item < 0:
            raise ValueError(f'bad {item}')
        self.drawn.append(item)


@pytest.fixture
def drawing() -> Any:
    drawing = Drawing()
    yield drawing
    drawing.free.set()
    drawing.thread.stop()


def test_only_the_newest_is_drawn(drawing: Any) -> None:
    """Whoever offers is never kept waiting: this thread would be, while nothing is free."""
    drawing.thread.offer(1)
    drawing.begun.acquire()
    for item in (2, 3, 4):
        drawing.thread.offer(item)
    drawing.free.set()
    wait_until(lambda: len(drawing.drawn) >= 2)
    assert drawing.drawn == [1, 4]


def test_one_that_fails_is_told_and_the_next_one_drawn(drawing: Any) -> None:
    drawing.free.set()
    drawing.thread.offer(-5)
    wait_until(lambda: len(drawing.errors) == 1)
    drawing.thread.offer(6)
    wait_until(lambda: drawing.drawn == [6])
    assert drawing.errors == ['bad -5']


def test_whoever_else_works_comes_first(drawing: Any) -> None:
    """Also where the whole process is nice already."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    drawing.thread.offer(1)
    drawing.begun.acquire()
    assert drawing.niceness == min(19, own + 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


# The node over DDS


def start_looking(peer: Peer) -> List[Image]:
    """Subscribe; returns the list that overlays go to, when the first one is there."""
    overlays = peer.collect(Image, OVERLAY)
    image = make_image(np.zeros((8, 8, 3), np.uint8))

    def has_come() -> bool:
        peer.classify(image)
        peer.spin_for(0.1)
        return bool(overlays)

    peer.wait_until(has_come)
    return overlays


def receive_overlay(peer: Peer, overlays: List[Image], image: Image) -> Image:
    """Send one image; returns its overlay."""
    stamp = peer.stamp(image)
    peer.publish(image)
    peer.wait_until(lambda: bool(overlays) and stamp_of(overlays[-1]) == stamp,
                    f'no overlay of {image.encoding}')
    return overlays[-1]


def show(image: Image) -> NDArray[np.uint8]:
    """Return the pixels of an overlay."""
    assert (image.encoding, image.step) == ('bgr8', 3 * image.width)
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def test_overlay_of_a_photo(start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    photo: Any = cv2.imread(str(photos / 'coffee.png'))
    image = make_image(photo, frame_id='Kamera größe')
    start_node(parameters=RELIABLE)
    peer.connect()
    overlays = start_looking(peer)
    overlay = receive_overlay(peer, overlays, image)
    assert overlay.header == image.header
    shown = show(overlay)
    assert shown.shape == photo.shape
    lower = slice(photo.shape[0] // 2, None)
    assert np.abs(shown[lower].astype(int) - photo[lower]).mean() < 4
    assert np.abs(shown[:30, :30].astype(int) - photo[:30, :30]).mean() > 10


def test_overlay_as_jpeg(start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    """With nobody at the raw overlay; then with both, which show the same."""
    photo: Any = cv2.imread(str(photos / 'coffee.png'))
    image = make_image(photo, frame_id='Kamera größe')
    start_node(parameters=RELIABLE)
    peer.connect()
    jpegs = peer.collect(CompressedImage, f'{OVERLAY}/compressed')
    peer.wait_until(lambda: bool(peer.classify(image)) and bool(jpegs))
    start_looking(peer)
    overlays = peer.collect(Image, OVERLAY)
    receive_overlay(peer, overlays, image)
    peer.wait_until(lambda: stamp_of(jpegs[-1]) == stamp_of(overlays[-1]))
    jpeg, overlay = jpegs[-1], overlays[-1]
    assert (jpeg.format, jpeg.header) == ('jpeg', overlay.header)
    decoded: Any = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - show(overlay)).mean() < 4
    assert len(jpeg.data) < len(overlay.data) / 5


def test_what_is_too_large_for_jpeg_is_said() -> None:
    with pytest.raises(ValueError, match='an image of 70000x1 is too large for JPEG'):
        make_jpeg(Header(1, 2, ''), np.zeros((1, 70000, 3), np.uint8))


def test_every_encoding_and_size(start_node: NodeStarter, peer: Peer) -> None:
    rgb = sample_images.make_sample(640, 480)
    start_node(parameters=RELIABLE)
    peer.connect()
    overlays = start_looking(peer)
    for encoding in ENCODINGS:
        view = sample_images.encode(rgb, encoding, is_bigendian=True)
        image = Image(
            height=view.height, width=view.width, encoding=encoding, step=view.step,
            is_bigendian=1, data=array('B', view.data.tobytes()))
        image.header.frame_id = encoding
        shown = show(receive_overlay(peer, overlays, image))
        assert overlays[-1].header.frame_id == encoding
        expected: Any = rgb[:, :, ::-1]
        if encoding in ('mono8', 'mono16', '8UC1', '16UC1'):
            expected = sample_images.to_grey(rgb)[:, :, np.newaxis]
        assert np.abs(shown[240:].astype(int) - expected[240:]).mean() < 6, encoding
    for width, height, shape in (
            (32, 32, (320, 320)), (1, 1, (320, 320)), (3840, 2160, (2160, 3840))):
        image = make_image(sample_images.make_sample(width, height))
        assert show(receive_overlay(peer, overlays, image)).shape[:2] == shape


def test_it_is_made_only_while_somebody_looks(start_node: NodeStarter, peer: Peer) -> None:
    """The thread that draws uses no processor time without a subscriber."""
    node = start_node(parameters=RELIABLE)
    image = make_image(sample_images.make_sample(1280, 960))
    peer.connect()

    def drawing_time() -> int:
        # Fields of proc(5) behind the name: it is the one thread that is nicer than the main one.
        tasks = Path(f'/proc/{node.usage.pid}/task')
        fields = {task.parent.name: task.read_text().rpartition(') ')[2].split()
                  for task in tasks.glob('*/stat')}
        main = fields[str(node.usage.pid)]
        one, = [one for one in fields.values() if one[16] != main[16]]
        return int(one[11]) + int(one[12])

    def rests() -> bool:
        before = drawing_time()
        for _ in range(15):
            peer.classify(image)
        return drawing_time() == before

    def look() -> None:
        overlays: List[Image] = []
        looker = peer.node.create_subscription(Image, OVERLAY, overlays.append, 10)
        peer.wait_until(lambda: bool(peer.classify(image)) and len(overlays) >= 10)
        peer.node.destroy_subscription(looker)

    assert rests()
    for _ in range(2):
        before = drawing_time()
        look()
        assert drawing_time() > before
        peer.wait_until(lambda: peer.node.count_subscribers(OVERLAY) == 0)
        peer.wait_until(rests)  # it asks once a second
