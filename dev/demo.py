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
Show the node at work: photos published in several encodings, and what comes back over DDS.

The node and the image sources, one for each encoding, are processes of their own; this one only
listens. The exit code is 0 if every photo was classified as photos/labels.txt says.
"""

from __future__ import annotations

from contextlib import contextmanager, ExitStack
from functools import partial
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable, ContextManager, Dict, Iterator, List, NamedTuple, Tuple

from mobilenetv2_ros.inference.labels import read_labels
from mobilenetv2_ros.resources import find_labels, share_folder
from mobilenetv2_ros.tools.encode import encode
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
from mobilenetv2_ros.tools.sources import read_image
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, VisionInfo

ENCODINGS = ('bgr8', 'nv12', 'yuyv', 'bayer_rggb8')
IMAGES_PER_SECOND = 5.0
RELIABLE = 'qos_overrides./image_raw.{}.reliability:=reliable'
"""As sensor data, a part of the large images would get lost on the way."""

PATIENCE_SECONDS = 60.0
"""For each step; all of it takes a few seconds."""

Stamp = Tuple[int, int]


class DemoError(RuntimeError):
    """Something is missing or does not work; the text says what."""


class Answer(NamedTuple):
    """A classification and how long it took from the image's time stamp, in milliseconds."""

    names: List[str]
    scores: List[float]
    milliseconds: float


class Listener:
    """Collects images and classifications as they arrive."""

    def __init__(self) -> None:
        """Subscribe."""
        self._node = Node('demo')
        self.method = ''
        self._images: Dict[Stamp, Image] = {}
        self._answers: Dict[Stamp, Answer] = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(Image, 'image_raw', self._on_image, 10)
        self._node.create_subscription(
            Classification, 'mobilenetv2/classification', self._on_classification, 10)
        self._node.create_subscription(
            VisionInfo, 'mobilenetv2/vision_info', self._on_vision_info, latched)

    def take_pairs(self) -> Iterator[Tuple[Image, Answer]]:
        """Hand out the images whose classification has come, each once."""
        for stamp in self._images.keys() & self._answers.keys():
            yield self._images.pop(stamp), self._answers.pop(stamp)

    def wait_until(
            self, is_done: Callable[[], bool], what: str,
            process: subprocess.Popen[bytes]) -> None:
        """
        Let messages arrive until something is true.

        :param process: cannot do its part once it has ended.
        :raises DemoError: the process ended or patience did.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            if process.poll() is not None:
                raise DemoError(f'{what}: the process ended with code {process.returncode}')
            if time.monotonic() > deadline:
                raise DemoError(f'{what}: nothing for {PATIENCE_SECONDS:g} seconds')
            rclpy.spin_once(self._node, timeout_sec=0.2)

    def _on_image(self, image: Image) -> None:
        self._images[_stamp(image)] = image

    def _on_classification(self, message: Classification) -> None:
        stamp = _stamp(message)
        taken = self._node.get_clock().now().nanoseconds - (stamp[0] * 10 ** 9 + stamp[1])
        self._answers[stamp] = Answer(
            [result.class_id for result in message.results],
            [result.score for result in message.results], taken / 1e6)

    def _on_vision_info(self, message: VisionInfo) -> None:
        self.method = message.method


def main() -> int:
    """
    Run the demonstration.

    :returns: exit code.
    """
    # A domain of its own, on this machine only: no robot near by gets these images.
    os.environ.update(localhost_environment(), ROS_DOMAIN_ID=str(find_free_domain()))
    # As for Ctrl-C, so that no process is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wrong = run()
    except KeyboardInterrupt:
        print('\ndemo: stopped')
        return 130
    except (DemoError, OSError, ValueError) as error:
        print(f'\ndemo: {error}', file=sys.stderr)
        return 1
    if wrong:
        print(f'\ndemo: {wrong} result(s) marked ! are not what photos/labels.txt says',
              file=sys.stderr)
        return 1
    print('\nEvery first class is right and all processes have ended cleanly. Next: your own '
          'images, see docs/usage.md')
    return 0


def run() -> int:
    """
    Publish, listen and print.

    :returns: how many first classes are wrong.
    """
    expected = read_expected_names(share_folder() / 'photos')
    print('Starting classifier_node and, for each encoding, image_source: processes that share '
          'nothing but ROS topics')
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with running('classifier_node', 'mobilenetv2_ros.node.main', '--ros-args',
                     '-p', RELIABLE.format('subscription')) as node:
            listener = Listener()
            listener.wait_until(lambda: bool(listener.method), 'classifier_node', node)
            print(f'Model: {listener.method}; models/README.md tells where it comes from.\n'
                  'MobileNetV2 itself runs on the BPU of an RDK X5, and here as model_path.\n')
            print_row('photo', 'encoding', 'size', 'ms', 'classes and scores')
            return show_all(expected, listener)
    finally:
        rclpy.try_shutdown()


def read_expected_names(folder: Path) -> Dict[Path, str]:
    """
    Read which photos there are and what they show.

    :raises DemoError: there are none.
    """
    names = read_labels(find_labels('')).names
    lines = (folder / 'labels.txt').read_text(encoding='utf-8').split('\n')
    expected = {
        folder / file: names[int(index)] for file, index in map(str.split, filter(None, lines))}
    if not expected:
        raise DemoError(f"'{folder}' has no photos")
    return expected


def show_all(expected: Dict[Path, str], listener: Listener) -> int:
    """
    Publish all photos in all encodings at the same time and print a row for each.

    :returns: how many first classes are wrong.
    """
    # Equal bytes tell which photo an image is, and that it arrived unharmed.
    photos = {(encoding, encode(read_image(photo), encoding).data): photo
              for encoding in ENCODINGS for photo in expected}
    answers: Dict[Tuple[str, Path], Tuple[Image, Answer]] = {}

    def has_all(encoding: str) -> bool:
        for image, answer in listener.take_pairs():
            photo = photos.get((image.encoding, image.data.tobytes()))
            if photo is not None:
                answers[image.encoding, photo] = image, answer
        return all((encoding, photo) in answers for photo in expected)

    wrong = 0
    with ExitStack() as sources:
        processes = [sources.enter_context(publishing(encoding)) for encoding in ENCODINGS]
        for encoding, process in zip(ENCODINGS, processes):
            listener.wait_until(
                partial(has_all, encoding), f'image_source with {encoding}', process)
            wrong += sum(not print_answer(photo, *answers[encoding, photo], expected[photo])
                         for photo in expected)
    return wrong


def publishing(encoding: str) -> ContextManager[subprocess.Popen[bytes]]:
    """Keep an image source running that publishes the photos in an encoding."""
    return running(
        'image_source', 'mobilenetv2_ros.tools.image_source', '--ros-args',
        '-p', f'encoding:={encoding}', '-p', f'rate:={IMAGES_PER_SECOND}',
        '-p', RELIABLE.format('publisher'))


def print_answer(photo: Path, image: Image, answer: Answer, expected: str) -> bool:
    """
    Print the row of a photo.

    :returns: whether the first class is the expected one.
    """
    classes = ', '.join(
        f'{name} {score:.2f}' for name, score in zip(answer.names[:3], answer.scores))
    is_right = answer.names[:1] == [expected]
    print_row(photo.name, image.encoding, f'{image.width}x{image.height}',
              f'{answer.milliseconds:.0f}',
              classes if is_right else f'! {classes or "none"}; expected {expected}')
    return is_right


def print_row(photo: str, encoding: str, size: str, milliseconds: str, classes: str) -> None:
    """Print a row of the table."""
    print(f'{photo:17} {encoding:12} {size:>8} {milliseconds:>4}  {classes}', flush=True)


@contextmanager
def running(name: str, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """
    Keep a program running, then end it by SIGTERM.

    :raises DemoError: it did not end cleanly. What it said is printed after any error.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments], stdout=log, stderr=log)
        try:
            yield process
            end(process)
            if process.returncode != 0:
                raise DemoError(f'{name} ended with code {process.returncode}, not 0')
        except DemoError:
            end(process)
            log.seek(0)
            print(f'\n{name} said:\n{log.read().decode(errors="replace")}', file=sys.stderr)
            raise
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, make it end if it does not listen; no matter if it has ended."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stamp(message: object) -> Stamp:
    stamp = message.header.stamp  # type: ignore[attr-defined]
    return stamp.sec, stamp.nanosec


if __name__ == '__main__':
    sys.exit(main())
