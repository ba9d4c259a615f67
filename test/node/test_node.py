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
The node as users have it: a process of its own, images in and classes out over real DDS.

What is published comes from this process, what is classified from the node's.
"""

from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List

import cv2
from mobilenetv2_ros.inference.labels import read_labels
from mobilenetv2_ros.node.parameters import PARAMETERS
import numpy as np
import pytest
from sensor_msgs.msg import Image
from support.engines import HAS_LITERT, needs_litert, needs_onnx
from support.fixture_types import TinyModel
from support.node_process import (
    BUNDLED_MODEL, CHECKOUT, holds_signals, NodeProcess, NodeStarter, RELIABLE, STOP_SIGNALS,
    wait_until, write_parameters)
from support.ros_peer import class_ids, LATCHED, make_image, Peer, stamp_of
from vision_msgs.msg import LabelInfo, VisionInfo

LABELS = read_labels(CHECKOUT / 'config' / 'imagenet_labels.txt').names


def read_photos(photos: Path) -> Dict[str, Image]:
    """Return the bundled photos as messages, by the names of their classes."""
    lines = (photos / 'labels.txt').read_text(encoding='utf-8').splitlines()
    return {LABELS[int(line.split()[1])]: make_image(cv2.imread(str(photos / line.split()[0])))
            for line in lines}


@needs_litert
def test_every_image_is_answered_in_order(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    """200 images, the next one when the last one is answered: what the processor holds."""
    named = list(read_photos(photos).items())
    start_node(parameters=RELIABLE)
    peer.connect()
    names, stamps, frames = [], [], []
    for number in range(200):
        name, image = named[number % len(named)]
        image.header.stamp.sec = number - 100
        image.header.stamp.nanosec = 999_999_999 - number
        image.header.frame_id = f'Kamera/größe_{number}_相机'
        names.append(name)
        stamps.append(stamp_of(image))
        frames.append(image.header.frame_id)
        peer.publish_all([image])
    peer.spin_for(0.3)
    assert [stamp_of(one) for one in peer.results] == stamps
    assert [one.header.frame_id for one in peer.results] == frames
    assert [class_ids(one)[0] for one in peer.results] == names


@needs_litert
def test_with_more_workers_the_order_stays(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    """Small and large images by turns: with three workers the small ones are done first."""
    start_node(parameters={**RELIABLE, 'thread_count': 3})
    peer.connect()
    goldfish: Any = cv2.imread(str(photos / 'goldfish.jpg'))
    sizes = [(1600, 1200), (64, 48), (320, 240)]
    images = [make_image(cv2.resize(goldfish, size)) for size in sizes * 20]
    stamps = [peer.stamp(image) for image in images]
    peer.publish_all(images, under_way=3)
    assert [stamp_of(one) for one in peer.results] == stamps
    assert {class_ids(one)[0] for one in peer.results} == {'goldfish'}


@needs_litert
def test_results_are_sorted_and_limited(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    start_node(parameters={**RELIABLE, 'top_k': 7, 'class_id_format': 'index'})
    peer.connect()
    for name, image in read_photos(photos).items():
        result = peer.classify(image)
        scores = [one.score for one in result.results]
        assert class_ids(result)[0] == str(LABELS.index(name))
        assert len(set(class_ids(result))) == 7
        assert scores == sorted(scores, reverse=True)
        assert 0 <= scores[-1] < scores[0] <= 1


@pytest.mark.parametrize('model', [
    pytest.param('mobilenet_v2_1.0_224_quant.tflite', marks=needs_litert),
    pytest.param('mobilenet_v2_quant.onnx', marks=needs_onnx)])
def test_mobilenetv2_knows_the_deerhound(
        start_node: NodeStarter, peer: Peer, shared_file: Callable[[str], Path],
        model: str) -> None:
    photo = shared_file('images/Scottish_deerhound.JPEG')
    start_node(parameters={**RELIABLE, 'model_path': shared_file(f'models/{model}')})
    peer.connect()
    assert class_ids(peer.classify(make_image(cv2.imread(str(photo)))))[0] == 'Scottish deerhound'


@needs_litert
def test_the_bundled_model_knows_the_deerhound(
        start_node: NodeStarter, peer: Peer, shared_file: Callable[[str], Path]) -> None:
    photo = shared_file('images/Scottish_deerhound.JPEG')
    start_node(parameters=RELIABLE)
    peer.connect()
    assert class_ids(peer.classify(make_image(cv2.imread(str(photo)))))[0] == 'Scottish deerhound'


def test_who_comes_late_learns_what_classes_mean(start_node: NodeStarter, peer: Peer) -> None:
    start_node(parameters={'score_threshold': 0.25}).wait_until_active()
    label_info = peer.receive(LabelInfo, '/mobilenetv2/label_info', LATCHED)
    assert [one.class_id for one in label_info.class_map] == list(range(1000))
    assert [one.class_name for one in label_info.class_map] == LABELS
    assert len(set(LABELS)) == 1000
    assert label_info.threshold == pytest.approx(0.25)
    vision_info = peer.receive(VisionInfo, '/mobilenetv2/vision_info', LATCHED)
    assert vision_info.method.startswith(f'{start_node.default_model.stem} on ')
    if HAS_LITERT:
        assert vision_info.method == (
            f'{BUNDLED_MODEL.stem} on litert: 224x224 RGB [default], uint8 NHWC, values 0 to 255 '
            '[default]; scores: probabilities [graph]')
    assert vision_info.database_location == str(CHECKOUT / 'config' / 'imagenet_labels.txt')


def test_names_and_namespace_can_be_remapped(start_node: NodeStarter, photos: Path) -> None:
    start_node('-r', '__ns:=/front', '-r', '__node:=eye', '-r', 'image_raw:=camera/image',
               parameters={'qos_overrides./front/camera/image.subscription.reliability':
                           'reliable'})
    peer = Peer(start_node.domain, '/front/eye')
    try:
        peer.connect(topic='/front/camera/image')
        image = next(iter(read_photos(photos).values()))
        assert class_ids(peer.classify(image))
    finally:
        peer.close()


# Trouble with images


def make_bad_images() -> Dict[str, Image]:
    """Return images that cannot be classified, by what is said of them."""
    def bad(**fields: Any) -> Image:
        message = make_image(np.zeros((8, 8, 3), np.uint8))
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return {
        "'hologram'": bad(encoding='hologram'), '8x0': bad(height=0), 'step is 3': bad(step=3),
        'needs 2400 bytes': bad(height=100), 'max_image_pixels': bad(height=2 ** 31)}


def test_bad_images_are_told_and_the_next_good_one_is_classified(
        start_node: NodeStarter, peer: Peer, photos: Path) -> None:
    # With room for two, the good one cannot push the bad one out before it is looked at.
    node = start_node(parameters={**RELIABLE, 'thread_count': 2})
    peer.connect()
    good = next(iter(read_photos(photos).values()))
    expected = class_ids(peer.classify(good))
    peer.results.clear()
    for message, bad in make_bad_images().items():
        peer.publish(bad)
        assert class_ids(peer.classify(good)) == expected, message
    # A kind of trouble is told at once, then once in a while.
    node.wait_for_line('image not classified')
    assert len(peer.results) == len(make_bad_images())
    assert len(node.find('image not classified')) < len(make_bad_images())
    assert 'Traceback' not in node.text


@pytest.mark.parametrize('words, bad', make_bad_images().items())
def test_what_is_wrong_with_a_image_is_told_once_in_a_while(
        start_node: NodeStarter, peer: Peer, words: str, bad: Image) -> None:
    node = start_node(parameters=RELIABLE)
    peer.connect()
    for _ in range(50):
        peer.publish(bad)
    assert words in node.wait_for_line('image not classified')
    peer.classify(make_image(np.zeros((8, 8, 3), np.uint8)))
    assert len(node.find('image not classified')) < 10


# Mistakes at start


def check_refusal(node: NodeProcess, words: str) -> None:
    """Wait for the end; there must be one line, with these words."""
    assert node.wait() == 1
    # rcl announces its own errors in a line, which says nothing.
    lines = [line for line in node.lines if line.strip() and not line.startswith('INFO: ')
             and 'Failed to parse global arguments' not in line]
    assert len(lines) == 1, node.text
    assert words in lines[0]
    assert 'Traceback' not in node.text


def write(path: Path, content: bytes) -> Path:
    """Write a file; returns its path."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('make, words', [
    (lambda folder: {'model_path': '/missing.tflite'},
     "cannot configure: model file '/missing.tflite' does not exist; set model_path to"),
    pytest.param(
        lambda folder: {'model_path': write(folder / 'a.tflite', b'no model at all' * 9)},
        "a.tflite' is no", marks=needs_litert),
    pytest.param(
        lambda folder: {'model_path': write(folder / 'a.onnx', b'no model at all' * 9)},
        "a.onnx' is no", marks=needs_onnx),
    pytest.param(
        lambda folder: {'model_path': write(
            folder / 'a.tflite', BUNDLED_MODEL.read_bytes()[:99999])},
        "a.tflite' is no", marks=needs_litert),
    pytest.param(
        lambda folder: {'model_path': write(folder / 'a.tflite', b'')},
        "a.tflite' is empty", marks=needs_litert),
    (lambda folder: {'model_path': write(folder / 'a.foo', b'x')}, "a.foo' is of no known type"),
    (lambda folder: {'model_path': folder}, 'is of no known type'),
    (lambda folder: {'model_path': '~nosuchuser/m.tflite'},
     "model file '~nosuchuser/m.tflite' does not exist"),
    (lambda folder: {'model_path': f'/{"m" * 300}.tflite'}, 'cannot be read (File name too long)'),
    (lambda folder: {'labels_path': '/' + 'l' * 300}, 'cannot be read'),
    (lambda folder: {'labels_path': '/dev/zero'}, "'/dev/zero' cannot be read: it is no file"),
    (lambda folder: {'backend': 'onnx'}, "backend 'onnx' opens .onnx files"),
    (lambda folder: {'labels_path': '/missing.txt'}, "label file '/missing.txt' cannot be read"),
    (lambda folder: {'labels_path': write(folder / 'a.txt', b'cat\ndog\n')},
     'names 2; set labels_path to'),
    (lambda folder: {'labels_path': write(folder / 'a.txt', b'\xff\xfe')}, 'cannot be read'),
    (lambda folder: {'labels_path': write(folder / 'a.txt', b'')}, 'has 0 classes'),
    (lambda folder: {'labels_path': write(folder / 'a.json', b'{')}, 'is not valid JSON'),
    (lambda folder: {'qos_overrides./image_raw.subscription.reliability': 'sometimes'},
     "cannot subscribe '/image_raw'"),
    (lambda folder: {'qos_overrides./image_raw.subscription.depth': 2.0},
     "cannot subscribe '/image_raw': Trying to set parameter"),
    (lambda folder: {'qos_overrides./image_raw.subscription.depth': -3},
     "cannot subscribe '/image_raw'")])
def test_what_cannot_work_ends_it_with_one_sentence(
        start_node: NodeStarter, tmp_path: Path, make: Callable[[Path], Dict[str, object]],
        words: str) -> None:
    node = start_node(parameters=make(tmp_path))
    assert node.wait() == 1
    errors = node.find(r'\[ERROR\]')
    assert len(errors) == 1 and words in errors[0], node.text
    others = [line for line in node.lines if line not in errors and line.strip()
              and not line.startswith(('INFO: ', '[INFO]'))]
    assert not others, node.text


def list_wrong_values() -> List[Any]:
    """Return for each parameter values that it cannot have, with words of the refusal."""
    wrong: List[Any] = []
    for row in PARAMETERS:
        bad_type = '1.5' if row.is_list else (
            'word' if not isinstance(row.default, str) else 'true')
        wrong.append((row.name, bad_type, row.name))
        if row.limits:
            kind: Any = type(row.default)
            wrong += [(row.name, kind(row.limits[0] - 1), row.name),
                      (row.name, kind(row.limits[1] + 1), row.name)]
        if row.choices:
            wrong.append((row.name, 'nonsense', f"{row.name} 'nonsense' is unknown; expected"))
    return wrong


@pytest.mark.parametrize('name, value, words', list_wrong_values())
def test_wrong_parameters_end_it_with_one_sentence(
        start_node: NodeStarter, name: str, value: object, words: str) -> None:
    check_refusal(start_node(parameters={name: value}), words)


@pytest.mark.parametrize('arguments', [
    ('-p', 'top_k'), ('--params-file', '/missing.yaml'), ('-r', 'image_raw'),
    ('--log-level', 'nonsense'), ('-r', '__node:=two words')])
def test_wrong_ros_arguments_end_it_with_one_sentence(
        start_node: NodeStarter, arguments: Any) -> None:
    check_refusal(start_node(*arguments), 'classifier_node: ')


# The end


@pytest.mark.parametrize('times', [1, 2])
@pytest.mark.parametrize('number', STOP_SIGNALS)
def test_signals_end_it_under_load(
        start_node: NodeStarter, peer: Peer, number: signal.Signals, times: int) -> None:
    node = start_node(parameters=RELIABLE)
    peer.connect()
    image = make_image(np.zeros((480, 640, 3), np.uint8))
    for _ in range(10):
        peer.publish(image)
    for _ in range(times):
        node.send(number)
    for _ in range(10):
        peer.publish(image)
    node.check_clean_end()
    assert len(node.find(f'{number.name}: stopping')) >= 1


@pytest.mark.parametrize('delay', [0.0, 0.2, 0.4])
@pytest.mark.parametrize('number', STOP_SIGNALS)
def test_signals_end_it_while_it_starts(
        start_node: NodeStarter, number: signal.Signals, delay: float) -> None:
    """A Ctrl-C reaches it twice; wherever in its start it is."""
    node = start_node()
    wait_until(lambda: holds_signals(node.usage.pid))
    time.sleep(delay)
    node.send(number)
    node.send(number)
    node.check_clean_end()


def test_what_is_no_ros_argument_is_refused(start_node: NodeStarter) -> None:
    """As where ``--ros-args -p`` was forgotten."""
    node = start_node.run('-m', 'mobilenetv2_ros.node.main', '--top-k', '3', 'top_k:=3')
    assert node.wait() == 2
    assert 'unrecognized arguments: --top-k 3 top_k:=3' in node.text


def test_help_names_every_parameter() -> None:
    shown = subprocess.run(
        [sys.executable, '-m', 'mobilenetv2_ros.node.main', '--help', '--ros-args', '-p',
         'top_k:=3'],
        stdout=subprocess.PIPE, text=True, timeout=60, check=True, cwd=CHECKOUT).stdout
    assert all(f'  {row.name}: {row.help[:30]}' in shown for row in PARAMETERS)
    assert max(map(len, shown.splitlines())) <= 100


def test_started_with_nohup_it_outlives_its_terminal(start_node: NodeStarter, peer: Peer) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        node = start_node(parameters={'autostart': False})
    finally:
        signal.signal(signal.SIGHUP, before)
    assert peer.state() == 'unconfigured'
    node.send(signal.SIGHUP)
    assert peer.state() == 'unconfigured'
    node.stop()
    assert not node.find('SIGHUP')


def test_signals_end_it_before_it_is_configured(start_node: NodeStarter, peer: Peer) -> None:
    node = start_node(parameters={'autostart': False})
    assert peer.state() == 'unconfigured'
    node.stop()


@pytest.mark.parametrize('closed', ['2>&-', '>&-', '<&-', '<&- >&- 2>&-'])
def test_it_runs_without_standard_streams(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, closed: str) -> None:
    """As some daemons start programs; what is not open is opened to lead to nowhere."""
    parameters = ' '.join(write_parameters(tiny_model.parameters))
    node = start_node.run_shell(
        f'exec {sys.executable} -m mobilenetv2_ros.node.main --ros-args {parameters} {closed}')
    peer.connect()
    assert peer.classify(make_image(np.zeros((8, 8, 3), np.uint8)))
    node.send(signal.SIGINT)
    assert node.wait() == 0
