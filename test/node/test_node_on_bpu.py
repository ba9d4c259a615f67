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
The whole node on the emulated BPU, over real DDS: images in, classes out.

The node runs in a process of its own; this process publishes images and collects results.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
import signal
import subprocess
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

import cv2
from emulated_libdnn import fingerprint_class, MODEL, read_report, write_model
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from support.checkout import CHECKOUT
from support.engines import HAS_LITERT, needs_litert
from support.fixture_types import StartPython
from vision_msgs.msg import Classification

PROGRAM = '-m', 'support.run_node_on_emulated_bpu'
NETWORK = CHECKOUT / 'models' / 'efficientnet_lite0_int8.tflite'
BEHIND_IT = ('--network', NETWORK) if HAS_LITERT else ()
"""What the emulated BPU computes, where something can: for models with ``network=callback``."""
RELIABLE = ('-p', 'qos_overrides./image_raw.subscription.reliability:=reliable',
            '-p', 'qos_overrides./image_raw.subscription.depth:=10')
DEADLINE = 30.0


class Answer(NamedTuple):
    """The best class of an image and the number in the image's header."""

    number: int
    frame_id: str
    best: int
    score: float


class Camera:
    """Publishes images and collects what the node says about them."""

    def __init__(self, context: Context) -> None:
        self._node = Node('camera', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._publisher = self._node.create_publisher(Image, 'image_raw', 10)
        self._node.create_subscription(
            Classification, 'mobilenetv2/classification', self._take, QoSProfile(depth=100))
        self.answers: List[Answer] = []

    def _take(self, message: Classification) -> None:
        stamp = message.header.stamp
        assert stamp.sec == stamp.nanosec
        best = message.results[0]
        self.answers.append(
            Answer(stamp.sec, message.header.frame_id, int(best.class_id), best.score))

    def publish(self, number: int, image: np.ndarray, encoding: str, height: int) -> None:
        message = Image(
            height=height, width=image.shape[1], encoding=encoding,
            step=image.strides[0], data=image.tobytes())
        message.header.stamp.sec = message.header.stamp.nanosec = number
        message.header.frame_id = f'camera {number}'
        self._publisher.publish(message)

    def publish_all(self, images: Sequence[np.ndarray], encoding: str, heights: Sequence[int],
                    under_way: int) -> None:
        """Publish images numbered from 0, so many at a time, and wait for all answers."""
        for number, (image, height) in enumerate(zip(images, heights)):
            self.wait_until(lambda: len(self.answers) > number - under_way)
            self.publish(number, image, encoding, height)
        self.wait_until(lambda: len(self.answers) >= len(images))

    def wait_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not reached():
            assert time.monotonic() < deadline, f'only {len(self.answers)} answers'
            self._executor.spin_once(timeout_sec=0.1)

    def wait_for_node(self) -> None:
        """Wait until the node listens and is listened to."""
        self.wait_until(lambda: self._publisher.get_subscription_count() == 1
                        and self._node.count_publishers('mobilenetv2/classification') == 1)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()


@pytest.fixture
def camera(own_domain: None) -> Iterator[Camera]:
    context = Context()
    rclpy.init(args=[], context=context)
    camera = Camera(context)
    yield camera
    camera.close()
    rclpy.shutdown(context=context)


@pytest.fixture
def start_node(start_python: StartPython) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the node with parameters; at the end it has to stop cleanly."""
    with ExitStack() as stack:
        def start(model: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
            process = start_python(
                *PROGRAM, *BEHIND_IT, '--ros-args', '-p', f'model_path:={model}',
                '-p', 'class_id_format:=index', '-p', 'inference_timeout:=10.0', *options,
                **environment)
            stack.callback(stop, process)
            return process

        yield start


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors, errors
    assert 'not classified' not in errors, errors


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Steer the emulator in the node's process."""
    assert process.stdin
    process.stdin.write(f'{line}\n')
    process.stdin.flush()


def ask(process: subprocess.Popen[str], key: str) -> float:
    """Ask the emulator in the node's process."""
    tell(process, f'get {key}')
    assert process.stdout
    return float(process.stdout.readline())


def read_photos(folder: Path) -> Dict[str, int]:
    lines = (folder / 'labels.txt').read_text().splitlines()
    return {name: int(label) for name, label in (line.split() for line in lines)}


@needs_litert
@pytest.mark.parametrize('thread_count', [1, 4])
def test_photos_get_their_classes(
        camera: Camera, start_node: Callable[..., subprocess.Popen[str]], photos: Path,
        tmp_path: Path, thread_count: int) -> None:
    model = write_model(tmp_path / 'model.bin', network='callback')
    process = start_node(model, '-p', f'thread_count:={thread_count}', *RELIABLE)
    labels = read_photos(photos)
    images = [np.asarray(cv2.imread(str(photos / name))) for name in labels] * 4
    camera.wait_for_node()
    camera.publish_all(
        images, 'bgr8', [one.shape[0] for one in images], under_way=thread_count)
    numbers = list(range(len(images)))
    assert [answer.number for answer in camera.answers] == numbers
    assert [answer.frame_id for answer in camera.answers] == [f'camera {n}' for n in numbers]
    assert [answer.best for answer in camera.answers] == [*labels.values()] * 4
    assert ask(process, 'inferences') == len(images) + 7  # and those that probe the model


def test_each_result_belongs_to_the_image_whose_header_it_bears(
        camera: Camera, start_node: Callable[..., subprocess.Popen[str]],
        tmp_path: Path) -> None:
    """Also while four frames are in flight; the emulated network tells all images apart."""
    report = tmp_path / 'report'
    process = start_node(
        MODEL, '-p', 'thread_count:=4', *RELIABLE, EMULATED_LIBDNN_REPORT=str(report))
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (336, 224), np.uint8) for _ in range(2000)]
    camera.wait_for_node()
    camera.publish_all(images, 'nv12', [224] * len(images), under_way=4)
    assert [(answer.number, answer.frame_id, answer.best) for answer in camera.answers] == [
        (number, f'camera {number}', fingerprint_class(image[:224], image[224:]))
        for number, image in enumerate(images)]
    assert {round(answer.score, 3) for answer in camera.answers} == {0.9}
    assert ask(process, 'max_live_tasks') > 1
    stop_and_check_memory(process, report)


def stop_and_check_memory(process: subprocess.Popen[str], report: Path) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=DEADLINE)
    counts = read_report(report)
    assert counts['tasks'] == counts['releases'] == 2007
    assert counts['allocs'] == counts['frees'] == 8
    assert counts['packed_opened'] == counts['packed_released'] == 1
    assert not counts['use_after_free'] and not counts['write_after_free']


# What goes wrong, what tells that it has, and what ends it.
FAULTS = (
    ('hang_next 1', 'hang_next', 'hang_next 0'),
    ('fail_next.hbDNNInfer 1', 'injected.hbDNNInfer', 'fail_next.hbDNNInfer 0'),
    ('nan 1', 'inferences', 'nan 0'),
    ('fail_next.task 1', 'injected.task', 'fail_next.task 0'),
    ('fail_next.hbSysFlushMem 1', 'injected.hbSysFlushMem', 'fail_next.hbSysFlushMem 0'))


@pytest.mark.faults
def test_failed_frames_are_told_and_the_others_published(
        camera: Camera, start_python: StartPython) -> None:
    """A BPU that hangs, fails and gives NaN, in turn; each time the next image is classified."""
    process = start_python(
        *PROGRAM, '--ros-args', '-p', f'model_path:={MODEL}', '-p', 'class_id_format:=index',
        '-p', 'inference_timeout:=1.0', '-p', 'thread_count:=2', *RELIABLE)
    random = np.random.default_rng(2)
    camera.wait_for_node()
    expected = []
    for number, (fault, counter, repair) in enumerate(FAULTS):
        tell(process, fault)
        before = ask(process, counter)
        camera.publish(2 * number, random.integers(0, 256, (336, 224), np.uint8), 'nv12', 224)
        camera.wait_until(lambda: ask(process, counter) != before)
        tell(process, repair)
        image = random.integers(0, 256, (336, 224), np.uint8)
        camera.publish(2 * number + 1, image, 'nv12', 224)
        expected.append((2 * number + 1, fingerprint_class(image[:224], image[224:])))
        camera.wait_until(lambda: len(camera.answers) > number)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert [(answer.number, answer.best) for answer in camera.answers] == expected
    assert process.returncode == 0, errors
    for sentence in ('did not answer within inference_timeout', 'hbDNNInfer failed with',
                     'the network gave scores from nan to nan'):
        assert sentence in errors
