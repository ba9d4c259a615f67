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

"""Images taken as structures: the same as those parsed from bytes, freed, and never trusted."""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
import re
import threading
import time
from typing import Any, Iterator, List

from mobilenetv2_ros.image.image_message import ImageMessageError, ImageView, parse_image
from mobilenetv2_ros.node import image_taking, message_info, receiving
from mobilenetv2_ros.node.image_taking import (
    ImageMessage, ImageTaker, TakenImage, TakingUnsupportedError, view_image)
import numpy as np
import psutil
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from support.node_process import PATIENCE_SECONDS, wait_until
from support.serialized import HOSTILE_IMAGES, image as make_serialized

MAX_PIXELS = 50_000_000


def make_image(height: int, width: int, number: int = 0, frame_id: str = 'front camera') -> Image:
    pixels = np.random.default_rng(number).integers(0, 256, height * width * 3, np.uint8)
    message = Image(height=height, width=width, encoding='bgr8', step=3 * width,
                    data=pixels.tobytes(), is_bigendian=number % 2)
    message.header.stamp.sec, message.header.stamp.nanosec = -number, number
    message.header.frame_id = frame_id
    return message


def is_same(one: ImageView, other: ImageView) -> bool:
    nothing = np.empty(0, np.uint8)
    return (one._replace(data=nothing) == other._replace(data=nothing)
            and bool(np.array_equal(one.data, other.data)))


class Camera:
    """A publisher, and the receiver of what it sends; structures from the first message on."""

    def __init__(self, node: Node, depth: int) -> None:
        self.messages: List[Any] = []
        self.errors: List[str] = []
        self._is_closed = False
        self._node = node
        self.put: Any = self.messages.append
        self._publisher = node.create_publisher(Image, 'image', 1000)
        self._subscription = node.create_subscription(
            Image, 'image', lambda message: None, depth, raw=True)
        self.receiver = receiving.Receiver(
            self._subscription, lambda message: self.put(message),
            lambda error: self.errors.append(str(error)), ImageTaker())

    def publish(self, message: Any) -> None:
        self._publisher.publish(message)

    def restart(self) -> None:
        """Go on with a new publisher, once it is heard."""
        self._node.destroy_publisher(self._publisher)
        self._publisher = self._node.create_publisher(Image, 'image', 1000)
        before = len(self.messages)

        def is_heard() -> bool:
            self.publish(make_image(2, 2))
            return len(self.messages) > before

        wait_until(is_heard)

    def send(self, message: Any) -> None:
        """After a silence publish a message or bytes; wait until it is received or refused."""
        time.sleep(2 * receiving._SILENCE)
        wanted = len(self.messages) + len(self.errors) + 1
        self.publish(message)
        wait_until(lambda: len(self.messages) + len(self.errors) == wanted)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.receiver.stop()


@pytest.fixture
def camera(own_domain: None, monkeypatch: pytest.MonkeyPatch,
           request: pytest.FixtureRequest) -> Iterator[Camera]:
    options = getattr(request, 'param', {})
    monkeypatch.setattr(receiving, '_MESSAGES_AS_BYTES', options.get('as_bytes', 0))
    with make_camera(options.get('depth', 1000)) as camera:
        yield camera


@contextmanager
def make_camera(depth: int) -> Iterator[Camera]:
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node('camera', context=context)
    try:
        camera = Camera(node, depth)
        yield camera
        camera.close()
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_every_field_is_that_of_the_bytes(camera: Camera) -> None:
    sent = [make_image(height, width, number, frame_id) for number, (height, width, frame_id)
            in enumerate([(1, 1, ''), (480, 640, 'a'), (2, 3, 'é ' * 100), (1080, 1920, 'b')])]
    for message in sent:
        camera.send(message)
    assert not camera.errors
    for message, taken in zip(sent, camera.messages):
        assert isinstance(taken, TakenImage)
        assert is_same(view_image(taken, MAX_PIXELS), parse_image(serialize_message(message)))


def test_pixels_outlive_message_and_receiver(camera: Camera) -> None:
    for number in range(20):
        camera.send(make_image(100, 100, number))
    views = [view_image(message, MAX_PIXELS) for message in camera.messages]
    camera.messages.clear()
    for number in range(20, 40):
        camera.send(make_image(100, 100, number))
    camera.close()
    for number, view in enumerate(views):
        assert is_same(view, parse_image(serialize_message(make_image(100, 100, number))))
        assert not view.data.flags.writeable


def test_memory_is_given_back(camera: Camera) -> None:
    message = make_image(480, 640)

    def keep_layout(taken: ImageMessage) -> None:
        camera.messages.append(view_image(taken, MAX_PIXELS).layout)

    camera.put = keep_layout
    for _ in range(50):
        camera.send(message)
    before = psutil.Process().memory_info().rss
    for _ in range(300):
        camera.send(message)
    assert psutil.Process().memory_info().rss - before < 100 * message.height * message.step


@pytest.mark.parametrize(['change', 'sentence'], [
    ({'height': 0}, 'has no pixels'), ({'step': 2 ** 32 - 1}, 'but data has 20'),
    ({'height': 2 ** 31, 'width': 2 ** 31}, 'is larger than'), ({'data': b''}, 'but data has 0'),
    ({'encoding': 'x' * 10_000}, 'encoding has 10000 bytes'),
    ({'encoding': b'\xff\xfe'}, 'encoding is not valid UTF-8'),
    ({'frame_id': 'x' * 10_000}, 'header.frame_id has 10000 bytes')])
def test_fields_that_contradict_themselves(camera: Camera, change: Any, sentence: str) -> None:
    camera.send(make_serialized(**change))
    [message] = camera.messages
    assert isinstance(message, TakenImage)
    with pytest.raises(ImageMessageError, match=sentence):
        message.view(MAX_PIXELS)


def test_a_image_without_bytes(camera: Camera) -> None:
    camera.send(make_serialized(step=0, data=b''))
    assert view_image(camera.messages[0], MAX_PIXELS).data.size == 0


@pytest.mark.faults
def test_what_is_damaged_is_reported_and_bytes_are_taken_for_a_while(
        monkeypatch: pytest.MonkeyPatch, camera: Camera) -> None:
    camera.send(make_image(2, 2))
    monkeypatch.setattr(receiving, '_MESSAGES_AS_BYTES', 3)
    for damaged in (b'\0', make_serialized()[:-7], bytes(range(256))):
        camera.send(damaged)
        [error] = camera.errors
        assert re.search('it could not be taken from the middleware: '
                         '(it is damaged|.* exception deserializing)', error)
        for _ in range(4):
            camera.send(make_image(2, 2))
        kinds = [type(message) for message in camera.messages[-4:]]
        assert kinds == [bytes, bytes, bytes, TakenImage]
        camera.errors.clear()
    assert camera.receiver.lost == 0


@pytest.mark.faults
def test_rubbish_never_becomes_a_image_that_reaches_beyond_its_bytes(camera: Camera) -> None:
    """Some of it the middleware reads more generously than the parser, and well."""
    before = psutil.Process().memory_info().rss
    for message in HOSTILE_IMAGES.values():
        camera.send(message)
        camera.send(make_image(2, 2))
    assert len(camera.messages) + len(camera.errors) == 2 * len(HOSTILE_IMAGES)
    for taken in camera.messages:
        try:
            view = view_image(taken, MAX_PIXELS)
        except ImageMessageError:
            continue
        assert view.step * view.height <= view.data.size <= 20
    assert camera.errors
    assert psutil.Process().memory_info().rss - before < 64 << 20


@pytest.mark.parametrize('camera', [{'depth': 1}, {'depth': 2}], indirect=True)
def test_a_message_that_gave_way_to_a_newer_one_is_not_damaged(camera: Camera) -> None:
    """Whether that happens before or after the thread has learnt of it."""
    message, last = make_image(2, 2), make_image(3, 3)
    camera.send(message)
    for pause in np.random.default_rng(1).integers(0, 300, 3000):
        camera.publish(message)
        time.sleep(float(pause) * 1e-6)

    def has_last() -> bool:
        camera.publish(last)
        return view_image(camera.messages[-1], MAX_PIXELS).height == 3

    wait_until(has_last)
    assert not camera.errors


@pytest.mark.parametrize('camera', [{'depth': 1}], indirect=True)
def test_messages_that_gave_way_are_counted_as_lost(camera: Camera) -> None:
    go_on = threading.Event()

    def keep(message: Any) -> None:
        camera.messages.append(message)
        go_on.wait(PATIENCE_SECONDS)

    camera.put = keep
    camera.send(make_image(2, 2))
    for number in range(10):
        camera.publish(make_image(3, 3, number))
    go_on.set()
    wait_until(lambda: view_image(camera.messages[-1], MAX_PIXELS).header.nanosec == 9)
    assert camera.receiver.lost == 11 - len(camera.messages) > 0


def test_a_camera_that_restarts_again_and_again(
        monkeypatch: pytest.MonkeyPatch, camera: Camera) -> None:
    """Its numbers begin anew, which is no loss, and no memory is kept for each of its lives."""
    monkeypatch.setattr(receiving, '_PUBLISHERS_KNOWN', 2)
    for _ in range(5):
        camera.restart()
        assert len(camera.receiver._last_numbers) <= 2
    assert camera.receiver.lost == 0


@pytest.mark.parametrize('camera', [{'as_bytes': 2}], indirect=True)
def test_the_first_messages_are_taken_as_bytes(camera: Camera) -> None:
    for _ in range(3):
        camera.send(make_image(2, 2))
    assert [type(message) for message in camera.messages] == [bytes, bytes, TakenImage]


@pytest.mark.parametrize('field, other', [
    ('sec', ctypes.c_uint32), ('width', ctypes.c_uint64), ('step', ctypes.c_uint16)])
def test_another_structure_is_noticed(
        monkeypatch: pytest.MonkeyPatch, field: str, other: type) -> None:
    class Fields(ctypes.Structure):
        _fields_ = [(name, other if name == field else kind)
                    for name, kind, *_ in image_taking._ImageFields._fields_]

    monkeypatch.setattr(image_taking, '_ImageFields', Fields)
    with pytest.raises(TakingUnsupportedError, match='another one than that known'):
        ImageTaker()


def test_numbers_at_another_place_are_not_taken(
        monkeypatch: pytest.MonkeyPatch, own_domain: None) -> None:
    """Nothing is said to be lost where it is not known how the middleware counts."""
    class Shifted(ctypes.Structure):
        _fields_ = [('new', ctypes.c_uint64), *message_info._Fields._fields_]

    monkeypatch.setattr(message_info, '_Fields', Shifted)
    monkeypatch.setattr(receiving, '_MESSAGES_AS_BYTES', 0)
    with make_camera(1000) as camera:
        for _ in range(3):
            camera.send(make_image(2, 2))
        assert len(camera.messages) == 3 and camera.receiver.lost is None


@pytest.mark.parametrize('reason, errors', [('', 0), ('what for', 1)])
def test_a_publisher_that_leaves_is_no_damaged_image(
        monkeypatch: pytest.MonkeyPatch, camera: Camera, reason: str, errors: int) -> None:
    """Cyclone DDS announces it as it does a message, and says why one cannot be taken."""
    monkeypatch.setattr(
        receiving, 'get_rmw_implementation_identifier', lambda: 'rmw_cyclonedds_cpp')
    images = camera.receiver._images
    assert images is not None
    monkeypatch.setattr(images, 'discard', lambda: reason)
    asked = threading.Event()
    take = images.take

    def find_nothing(subscription: int) -> Any:
        taken = take(subscription)
        if not asked.is_set():
            asked.set()
            return None
        return taken

    monkeypatch.setattr(images, 'take', find_nothing)
    time.sleep(2 * receiving._SILENCE)
    camera.publish(make_image(2, 2))
    assert asked.wait(PATIENCE_SECONDS)
    wait_until(lambda: len(camera.errors) == errors)
    camera.send(make_image(3, 3))
    assert len(camera.messages) == 1 and len(camera.errors) == errors


def test_a_32_bit_system_is_refused(
        monkeypatch: pytest.MonkeyPatch, own_domain: None) -> None:
    monkeypatch.setattr(receiving, '_POINTER_BYTES', 4)
    with pytest.raises(RuntimeError, match='this is a 32-bit system'):
        with make_camera(1000):
            pass
