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

"""Images that cameras lend: read where they lie, each with its own class, never a mixture."""

from __future__ import annotations

import os
from pathlib import Path
import struct
from typing import Any, Callable, Dict, List

from emulated_libdnn import fingerprint_class, MODEL
from mobilenetv2_ros.image.image_message import ImageMessageError
from mobilenetv2_ros.node import shared_memory
from mobilenetv2_ros.node.message_info import MessageInfo
from mobilenetv2_ros.node.shared_memory import _Head, SharedImage, TornImageError
from mobilenetv2_ros.resources import large_image_environment, shared_memory_environment
import numpy as np
from numpy.typing import NDArray
import pytest
from support.node_process import find_libraries_in, NodeProcess, NodeStarter
from support.ros_peer import Peer
from vision_msgs.msg import Classification

pytest.importorskip('hbm_img_msgs', reason='hbm_img_msgs, of TROS, is not installed')

from support.lending_camera import DISTINCT, make_pixels  # noqa: E402, I100

IMAGES = int(os.environ.get('SHARED_MEMORY_IMAGES', '500'))
"""How many have to be classified at full rate."""

SIDE = 224
RESULTS = '/mobilenetv2/classification'
LENDING = {**shared_memory_environment(), **large_image_environment()}
"""As the camera launch files of TROS have it; the profile shares data."""

Camera = Callable[..., NodeProcess]


@pytest.fixture
def start_camera(start_node: NodeStarter) -> Camera:
    """Return what starts a camera that lends its images."""
    def start(encoding: str, width: int, height: int, rate: int) -> NodeProcess:
        return start_node.run(
            '-m', 'support.lending_camera', *map(str, (encoding, width, height, rate)), **LENDING)

    return start


def start_classifying(start_node: NodeStarter, library: Path) -> NodeProcess:
    """Start the node on the emulated BPU, which tells the class of an image from its bytes."""
    node = start_node(
        parameters={'model_path': MODEL, 'image_transport': 'shared_mem', 'top_k': 1,
                    'class_id_format': 'index'},
        **{**shared_memory_environment(), **find_libraries_in(library)})
    node.wait_until_active()
    return node


def expected_classes() -> List[str]:
    """Return what class the emulated BPU finds in each of the camera's images of its size."""
    images = [make_pixels(one, 'nv12', SIDE, SIDE) for one in range(DISTINCT)]
    return [str(fingerprint_class(one[:SIDE * SIDE].reshape(SIDE, SIDE),
                                  one[SIDE * SIDE:].reshape(-1, SIDE // 2, 2)))
            for one in images]


def check(results: List[Classification], classes: List[str]) -> None:
    """Each result is that of its image, in order."""
    stamps = [one.header.stamp.sec for one in results]
    assert stamps == sorted(set(stamps))
    for one in results:
        number = one.header.stamp.sec
        assert one.results[0].class_id == classes[number % DISTINCT], number
        assert one.header.frame_id == str(number)


def test_each_image_has_its_class(
        start_node: NodeStarter, peer: Peer, start_camera: Camera, libdnn_folder: Path) -> None:
    results: List[Classification] = peer.collect(Classification, RESULTS)
    start_classifying(start_node, libdnn_folder)
    camera = start_camera('nv12', SIDE, SIDE, 30)
    peer.wait_until(lambda: len(results) >= 60)
    check(list(results), expected_classes())
    camera.stop()


def test_at_full_rate_no_mixture_becomes_a_result(
        start_node: NodeStarter, peer: Peer, start_camera: Camera, libdnn_folder: Path) -> None:
    """The camera writes over what it has lent all the time."""
    results: List[Classification] = peer.collect(Classification, RESULTS)
    node = start_classifying(start_node, libdnn_folder)
    camera = start_camera('nv12', SIDE, SIDE, 0)
    node.wait_for_line('the camera overwrote the image in shared memory')
    for count in range(500, IMAGES + 1, 500):
        peer.wait_until(lambda: len(results) >= count)
    check(list(results), expected_classes())
    camera.stop()
    node.stop()


def test_to_subscribe_again_takes_no_more_memory(
        start_node: NodeStarter, peer: Peer, start_camera: Camera, libdnn_folder: Path) -> None:
    """The middleware reserves 600 MB for messages that never come."""
    results: List[Classification] = peer.collect(Classification, RESULTS)
    node = start_classifying(start_node, libdnn_folder)
    camera = start_camera('nv12', SIDE, SIDE, 30)
    peer.wait_until(lambda: len(results) >= 20)
    at_first = node.usage.memory_info().rss
    for _ in range(3):
        peer.change_states('deactivate', 'activate')
        results.clear()
        peer.wait_until(lambda: len(results) >= 20)
    assert node.usage.memory_info().rss - at_first < 100 << 20
    camera.stop()


def test_cameras_that_end_take_their_memory_along(
        start_node: NodeStarter, peer: Peer, start_camera: Camera, libdnn_folder: Path) -> None:
    """What the middleware unmaps then may still be read."""
    results: List[Classification] = peer.collect(Classification, RESULTS)
    node = start_classifying(start_node, libdnn_folder)
    for _ in range(3):
        camera = start_camera('nv12', SIDE, SIDE, 0)
        peer.wait_until(lambda: peer.node.count_publishers('hbmem_img') == 1)
        results.clear()  # of the camera before
        peer.wait_until(lambda: len(results) >= 20, 'no results')
        camera.stop()
        peer.wait_until(lambda: not peer.node.count_publishers('hbmem_img'))
    node.stop()


@pytest.mark.parametrize('encoding', ['bgr8', 'rgb8', 'mono8', 'jpeg'])
def test_other_encodings(
        start_node: NodeStarter, peer: Peer, start_camera: Camera, encoding: str) -> None:
    """The step that drivers write is that of no colour image."""
    results: List[Classification] = peer.collect(Classification, RESULTS)
    node = start_node(
        parameters={'image_transport': 'shared_mem'}, **shared_memory_environment())
    node.wait_until_active()
    camera = start_camera(encoding, 100, 60, 30)
    peer.wait_until(lambda: len(results) >= 10)
    assert not node.find('WARN')
    camera.stop()


def test_what_does_not_come_through_shared_memory_is_refused(
        start_node: NodeStarter, peer: Peer) -> None:
    """Of it nobody could tell whether it is a mixture; this process shares nothing."""
    from hbm_img_msgs.msg import HbmMsg1080P

    results: List[Classification] = peer.collect(Classification, RESULTS)
    node = start_node(
        parameters={'image_transport': 'shared_mem'}, **shared_memory_environment())
    node.wait_until_active()
    publisher = peer.node.create_publisher(HbmMsg1080P, 'hbmem_img', 5)
    message = HbmMsg1080P(height=4, width=4, data_size=24, step=4)
    message.encoding[:4] = np.frombuffer(b'nv12', np.uint8)

    def is_told() -> bool:
        publisher.publish(message)
        peer.spin_for(0.1)
        return bool(node.find('did not come through shared memory'))

    peer.wait_until(is_told)
    assert not results


def test_without_loans_it_says_what_to_set(start_node: NodeStarter) -> None:
    node = start_node(parameters={'image_transport': 'shared_mem'})
    assert node.wait() == 1
    assert 'classify.launch.py image_transport:=shared_mem' in node.text
    assert 'Traceback' not in node.text


def test_without_the_package_it_says_what_is_missing(
        start_node: NodeStarter, tmp_path: Path) -> None:
    (tmp_path / 'hbm_img_msgs').mkdir()
    (tmp_path / 'hbm_img_msgs' / '__init__.py').write_text('raise ImportError("not here")')
    node = start_node(
        parameters={'image_transport': 'shared_mem'},
        program=('-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r}); '
                 'from mobilenetv2_ros.node.main import main; sys.exit(main())'))
    assert node.wait() == 1
    assert 'needs the package hbm_img_msgs of TROS (not here)' in node.text
    assert 'Traceback' not in node.text


# Messages in memory of the test's own

MARK = struct.pack('=iI', 0, 5) + bytes(range(16))
PLACE = 64


@pytest.fixture
def memory() -> NDArray[np.uint8]:
    """Return what a publisher shares: a mark and a message."""
    return np.zeros(PLACE + 40 + 6_220_800, np.uint8)


def fill(memory: NDArray[np.uint8], **fields: Any) -> SharedImage:
    head = _Head.from_buffer(memory.data, PLACE)
    values: Dict[str, Any] = {
        'index': 7, 'sec': 1, 'nanosec': 2, 'height': 4, 'width': 6, 'data_size': 36, 'step': 6,
        'encoding': b'nv12', **fields}
    for name, value in values.items():
        setattr(head, name, value)
    memory[8:8 + len(MARK)] = np.frombuffer(MARK, np.uint8)
    return SharedImage(memory, PLACE, MARK, 8)


def test_the_structure_has_the_layout_of_the_message() -> None:
    fields = [getattr(_Head, name) for name in (
        'index', 'sec', 'nanosec', 'height', 'width', 'data_size', 'step', 'encoding')]
    assert [(field.offset, field.size) for field in fields] == [
        (0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 4), (28, 12)]


@pytest.mark.parametrize('written, encoding, step', [
    (b'nv12', 'nv12', 6), (b'nv12\0g8', 'nv12', 6), (b'bgr8', 'bgr8', 18),
    (b'bgr8_old', 'bgr8', 18), (b'gray', 'mono8', 6), (b'mono8', 'mono8', 6),
    (b'jpeg', 'jpeg', 0)])
def test_what_is_read(
        memory: NDArray[np.uint8], written: bytes, encoding: str, step: int) -> None:
    view = fill(memory, encoding=written).read()
    assert (view.encoding, view.step, view.width, view.height) == (encoding, step, 6, 4)
    assert view.header == (1, 2, '7') and view.data.size == 36
    memory[PLACE + 40] = 99
    assert view.data[0] == 99  # the same memory


@pytest.mark.parametrize('fields, words', [
    ({'encoding': b'hologram'}, "b'hologram' of a shared-memory image is unknown"),
    ({'encoding': b''}, 'is unknown'),
    ({'data_size': 6_220_801}, 'does not fit'), ({'data_size': 2 ** 32 - 1}, 'does not fit')])
def test_what_is_refused(
        memory: NDArray[np.uint8], fields: Dict[str, Any], words: str) -> None:
    with pytest.raises(ImageMessageError, match=words):
        fill(memory, **fields).read()


def test_an_image_without_its_mark_is_torn(memory: NDArray[np.uint8]) -> None:
    image = fill(memory)
    image.read()
    image.check()
    memory[12] += 1
    for attempt in (image.check, image.finish, image.read):
        with pytest.raises(TornImageError):
            attempt()


def test_what_has_been_read_may_be_overwritten(memory: NDArray[np.uint8]) -> None:
    image = fill(memory)
    image.finish()
    memory[12] += 1
    image.finish()


def test_a_loan_is_returned_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_loan(subscription: int, found: Any, *rest: Any) -> int:
        found._obj.value = 4096
        return 0

    def find(*place: Any) -> Any:
        raise OSError('Too many open files')

    returned: List[int] = []
    monkeypatch.setattr(shared_memory, '_take_loan', take_loan)
    monkeypatch.setattr(
        shared_memory, '_return_loan', lambda subscription, loan: returned.append(loan.value))
    taker = shared_memory.LoanTaker.__new__(shared_memory.LoanTaker)
    taker._info = MessageInfo()
    monkeypatch.setattr(taker, '_find', find)
    with pytest.raises(OSError, match='Too many open files'):
        taker.take(0)
    assert returned == [4096]
