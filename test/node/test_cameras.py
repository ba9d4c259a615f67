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

"""Several cameras in one process, over real DDS: each with a node that has a life of its own."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
import signal
import time
from typing import Callable, Dict, Iterator, List

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from emulated_libdnn import fingerprint_class, MODEL
import numpy as np
import pytest
from support.engines import HAS_ONNX
from support.fixture_types import TinyModel
from support.node_process import (
    find_libraries_in, holds_signals, list_segments, NodeProcess, NodeStarter, STOP_SIGNALS,
    wait_until)
from support.ros_peer import class_ids, make_image, Peer, stamp_of
import yaml

CAMERAS = ['front', 'rear', 'left', 'right']
ROUNDS = 8

Start = Callable[..., NodeProcess]


@pytest.fixture
def start(start_node: NodeStarter, libdnn_folder: Path, tmp_path: Path) -> Start:
    """
    Return what starts one process for several cameras on the emulated BPU.

    It takes the parameters of each camera, more arguments, and settings of the emulator.
    """
    def start(sections: Dict[str, Dict[str, object]], *arguments: str, namespace: str = '',
              faults: str = '') -> NodeProcess:
        path = tmp_path / 'cameras.yaml'
        path.write_text(yaml.safe_dump({
            '/**': {'ros__parameters': {'model_path': str(MODEL), 'class_id_format': 'index'}},
            **{f'{namespace}/{camera}/mobilenetv2': {'ros__parameters': {
                f'qos_overrides.{namespace}/{camera}/image_raw.subscription.{name}': value
                for name, value in (('reliability', 'reliable'), ('depth', 100))} | section}
               for camera, section in sections.items()}}))
        return start_node.run(
            '-m', 'mobilenetv2_ros.node.main', '--cameras', *sections, '--ros-args',
            '--params-file', str(path), *arguments, **find_libraries_in(libdnn_folder),
            EMULATED_LIBDNN=faults)

    return start


@contextmanager
def talking_to(starter: NodeStarter, *nodes: str) -> Iterator[List[Peer]]:
    """Make a peer for each node, such as ``/front/mobilenetv2``."""
    peers: List[Peer] = []
    try:
        for node in nodes:
            peers.append(Peer(starter.domain, node))
        yield peers
    finally:
        for peer in peers:
            peer.close()


def connect(peer: Peer, camera: str) -> None:
    peer.connect(topic=f'/{camera}/image_raw')


def wait_for_report(peer: Peer, reports: List[DiagnosticArray], node: str, level: bytes,
                    words: str) -> None:
    def found() -> bool:
        return any(status.hardware_id == node and status.level == level
                   and words in status.message for one in reports for status in one.status)

    peer.wait_until(found, lambda: str([one.status[0].message for one in reports]))


def test_each_camera_gets_the_results_of_its_own_images(
        start: Start, start_node: NodeStarter) -> None:
    """All at the same time, each with its own frame_id and parameters, where a file has some."""
    node = start({camera: {'top_k': count} for count, camera in enumerate(CAMERAS, 1)},
                 '-p', 'score_threshold:=0.0', '-p', 'top_k:=9')
    noise = np.random.default_rng(5).integers(
        0, 256, (ROUNDS, len(CAMERAS), 336, 224), np.uint8)
    names = [f'/{camera}/mobilenetv2' for camera in CAMERAS]
    with talking_to(start_node, *names) as peers:
        for peer, camera in zip(peers, CAMERAS):
            connect(peer, camera)
        for images in noise:
            expected = []
            for peer, camera, pixels in zip(peers, CAMERAS, images):
                image = make_image(pixels, 'nv12', 224, frame_id=camera)
                expected.append((peer.stamp(image), camera, str(fingerprint_class(
                    pixels[:224], pixels[224:]))))
                peer.publish(image)
            for count, (peer, (stamp, camera, best)) in enumerate(zip(peers, expected), 1):
                peer.wait_until(lambda: stamp_of(peer.results[-1]) == stamp
                                if peer.results else False, camera)
                result = peer.results[-1]
                assert (result.header.frame_id, class_ids(result)[0]) == (camera, best)
                assert len(result.results) == count
        assert all(len(peer.results) == ROUNDS for peer in peers)
        reports = peers[0].collect(DiagnosticArray, '/diagnostics')
        peers[0].wait_until(lambda: {
            status.name for one in reports for status in one.status} == {
                f'{name}: image classification' for name in names})
    node.stop()


def test_what_is_wrong_with_one_camera_does_not_touch_the_others(
        start: Start, start_node: NodeStarter) -> None:
    node = start({'front': {}, 'rear': {}, 'missing': {'model_path': '/missing.bin'},
                  'wrong': {'top_k': 0}})
    with talking_to(start_node, *(
            f'/{name}/mobilenetv2' for name in ('front', 'rear', 'missing'))) as peers:
        front, rear, missing = peers
        connect(front, 'front')
        connect(rear, 'rear')
        assert len(node.find('camera wrong: parameters are not usable: top_k 0 is out')) == 1
        reports = front.collect(DiagnosticArray, '/diagnostics')
        wait_for_report(front, reports, '/missing/mobilenetv2', DiagnosticStatus.ERROR,
                        "cannot configure: model file '/missing.bin' does not exist")

        front.wait_until(lambda: {
            namespace for name, namespace in front.node.get_node_names_and_namespaces()
            if name == 'mobilenetv2'} == {'/front', '/rear', '/missing'},
            lambda: str(front.node.get_node_names_and_namespaces()))

        rear.change_states('deactivate', 'cleanup')
        image = make_image(np.zeros((8, 8, 3), np.uint8))
        front.classify(image)
        rear.publish(image)

        assert missing.set_parameter('model_path', str(MODEL)) == ''
        missing.change_states('configure', 'activate')
        connect(missing, 'missing')
        reports.clear()
        missing.classify(image)
        wait_for_report(front, reports, '/missing/mobilenetv2', DiagnosticStatus.OK, 'classifying')
        front.classify(image)
        assert not rear.results
        rear.change_states('configure', 'activate')
        connect(rear, 'rear')
    node.stop()


@pytest.mark.parametrize('sections', [
    {'front': {'model_path': '/missing.bin'}, 'rear': {'model_path': '/missing.bin'}},
    {'front': {'model_path': '/missing.bin'}, 'rear': {'top_k': 0}},
    {'front': {'top_k': 0}}])
def test_when_no_camera_comes_up_the_process_ends(
        start: Start, sections: Dict[str, Dict[str, object]]) -> None:
    node = start(sections)
    assert node.wait() == 1
    assert len(node.find('cannot configure|not usable')) == len(sections)
    assert 'Traceback' not in node.text


@pytest.mark.skipif(not HAS_ONNX, reason='the other engine is not installed')
@pytest.mark.parametrize('faults, told', [
    ('slow_us=100000000', ''), ('fail.hbDNNInfer=-6000012', 'cannot configure')])
def test_an_engine_that_hangs_or_fails_holds_up_its_own_camera_only(
        start: Start, start_node: NodeStarter, tiny_model: TinyModel, faults: str,
        told: str) -> None:
    """Images, services and diagnostics of the other one go on; a signal ends both."""
    of_front = {name: str(value) for name, value in tiny_model.parameters.items()}
    node = start({'rear': {'inference_timeout': 60.0}, 'front': of_front}, faults=faults)
    with talking_to(start_node, '/front/mobilenetv2') as (front,):
        connect(front, 'front')
        image = make_image(np.zeros((8, 8, 3), np.uint8))
        front.classify(image)
        reports = front.collect(DiagnosticArray, '/diagnostics')
        wait_for_report(
            front, reports, '/front/mobilenetv2', DiagnosticStatus.OK, 'classifying')
        front.change_states('deactivate', 'activate')
        connect(front, 'front')
        front.classify(image)
        assert len(node.find(r"classifying '/front")) == 2 and not node.find("classifying '/rear")
        if told:
            node.wait_for_line(rf'rear\.mobilenetv2\]: {told}')
    node.stop()


@pytest.mark.parametrize('number', STOP_SIGNALS)
def test_signals_end_all_cameras(
        start: Start, start_node: NodeStarter, number: signal.Signals) -> None:
    node = start({camera: {} for camera in CAMERAS})
    image = make_image(np.zeros((480, 640, 3), np.uint8))
    with talking_to(start_node, *(f'/{camera}/mobilenetv2' for camera in CAMERAS)) as peers:
        for peer, camera in zip(peers, CAMERAS):
            connect(peer, camera)
        for peer in peers * 5:
            peer.publish(image)
        segments = list_segments(node.usage)  # own ones and those of the peers
        node.send(number)
        for peer in peers * 5:
            peer.publish(image)
        node.check_clean_end()
    assert segments and not any(segment.exists() for segment in segments)
    assert len(node.find(f'{number.name}: stopping')) == len(CAMERAS)


@pytest.mark.parametrize('delay', [0.0, 0.2, 0.4, 0.6])
def test_a_signal_ends_them_wherever_in_their_start_they_are(start: Start, delay: float) -> None:
    node = start({camera: {} for camera in CAMERAS})
    wait_until(lambda: holds_signals(node.usage.pid))
    time.sleep(delay)
    node.stop()


def test_the_command_line_names_what_is_above_the_cameras(
        start: Start, start_node: NodeStarter) -> None:
    """Namespaces are joined, other rules and parameters count for all nodes."""
    node = start({'front': {}, 'rear': {}}, '-r', '__ns:=/robot', '-r', '__node:=eye',
                 '-r', 'image_raw:=eye/image', '-p', 'top_k:=4', namespace='/robot')
    with talking_to(start_node, '/robot/front/eye', '/robot/rear/eye') as (front, rear):
        front.connect(topic='/robot/front/eye/image')
        rear.connect(topic='/robot/rear/eye/image')
        assert front.get_parameters('top_k') == rear.get_parameters('top_k') == [4]
    node.stop()


@pytest.mark.parametrize('names, words', [
    ([], 'expected at least one argument'),
    (['front', 'front'], "'front' is given twice; expected different names"),
    (['front', 'rear/left'], "'rear/left' is no name for a camera; expected letters, digits"),
    (['1st'], "'1st' is no name for a camera"), (['é'], "'é' is no name for a camera"),
    ([''], "'' is no name for a camera")])
def test_names_that_are_not_usable_are_refused_in_a_sentence(
        start_node: NodeStarter, names: List[str], words: str) -> None:
    node = start_node.run('-m', 'mobilenetv2_ros.node.main', '--cameras', *names)
    assert node.wait() == 2
    assert node.find(f'classifier_node: error: argument --cameras: {words}')
