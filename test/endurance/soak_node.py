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
A million images through the whole node on the emulated BPU, over DDS and at full rate.

Meanwhile parameters change all the time, and the camera goes and comes again every 20,000
images. The exit code is 1 unless every result belonged to its image and came in order, memory,
threads and file descriptors of the node stayed what they were after the first tenth, the last
tenth was as fast as the first, and the emulated BPU got back all that it gave out.

    (cd test && python -m endurance.soak_node) [--frames N] [--short]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import random
import re
import statistics
import struct
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Set, Tuple

from emulated_libdnn import (
    BALANCED, build, find_leaks, fingerprint_class, MODEL, read_report)
from mobilenetv2_ros.image.image_message import parse_image
from mobilenetv2_ros.image.nv12 import Nv12, Nv12Converter, RESIZE_MODES
from mobilenetv2_ros.inference.labels import read_labels
from mobilenetv2_ros.node.receiving import Receiver
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.resources import large_image_environment
from mobilenetv2_ros.tools.benchmark.load import find_numbers, Load, make_ring, read_number
from mobilenetv2_ros.tools.free_domain import localhost_environment
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from support.checkout import CHECKOUT
from support.node_process import (
    find_libraries_in, NodeProcess, NodeStarter, PATIENCE_SECONDS)
from support.ros_peer import Peer
from support.verdict import tell_verdict
from vision_msgs.msg import Classification

SIZE = 224
RATE = 1200.0
"""Images per second, a little above the 1152 of the emulated BPU."""

CAMERA_LIFE = 20_000
SLICES = 10
"""Parts of a camera's life whose rates are measured; discovery is in none of them."""

CHANGE_PERIOD = 0.2
CHANGES: Dict[str, Tuple[Any, ...]] = {
    'top_k': (1, 3, 5, 10), 'resize_mode': RESIZE_MODES, 'score_threshold': (0.0, 0.05, 0.5),
    'class_id_format': ('name', 'index')}
"""What is changed, and to what; no threshold is above the score of the best class, 0.9."""

MAX_GROWTH = 5 << 20
MAX_SLOWDOWN = 5.0
"""In percent."""

RESULTS_AT = 24
"""Where the results begin in a serialized Classification whose frame_id is 'camera'."""

OF_SPEED = 'images dropped for newer ones|images lost on the way|no image (yet )?on'
"""What the node says of a machine that is too busy, as a camera's; speed is judged apart."""


class Usage(NamedTuple):
    """What the node holds."""

    resident: int
    threads: int
    descriptors: int


def measure(node: NodeProcess) -> Usage:
    """Measure what a node holds now."""
    usage = node.usage
    with usage.oneshot():
        return Usage(usage.memory_info().rss, usage.num_threads(), usage.num_fds())


class Images:
    """A few images, sent again and again under new numbers, and the classes of each."""

    def __init__(self, ring: List[bytes]) -> None:
        """
        Find out what their classes may be.

        :param ring: serialized images of ``frame_id`` 'camera'.
        """
        names = read_labels(CHECKOUT / 'config' / 'imagenet_labels.txt').names
        self._ring = find_numbers(ring)
        self._class_ids = [list_class_ids(message, names) for message in ring]
        self.sent = 0

    def take_next(self) -> bytes:
        """Return the next one, numbered; it changes when it has its next turn."""
        message, number = self._ring[self.sent % len(self._ring)]
        number.value = self.sent
        self.sent += 1
        return message

    def is_answered_by(self, number: int, result: bytes) -> bool:
        """Tell whether a serialized result names a class of the image with a number."""
        count, length = struct.unpack_from('<II', result, RESULTS_AT)
        begin = RESULTS_AT + 8
        class_id = result[begin:begin + length - 1]
        return count > 0 and class_id in self._class_ids[number % len(self._class_ids)]


def list_class_ids(message: bytes, names: List[str]) -> Set[bytes]:
    """Return what may be the best class: it depends on resize_mode and class_id_format."""
    target = Nv12(np.empty((SIZE, SIZE), np.uint8), np.empty((SIZE // 2, SIZE // 2, 2), np.uint8))
    class_ids: Set[bytes] = set()
    for mode in RESIZE_MODES:
        Nv12Converter().convert(parse_image(message), mode, target)
        index = fingerprint_class(*target)
        class_ids |= {names[index].encode(), str(index).encode()}
    return class_ids


class Results:
    """Take the results and judge each of them."""

    def __init__(self, context: Context, images: Images) -> None:
        """Subscribe."""
        self._images = images
        self._last = -1
        self.count = self.wrong = self.out_of_order = 0
        self.node = Node('listener', context=context)
        subscription = self.node.create_subscription(
            Classification, '/mobilenetv2/classification', _never_called, 1000, raw=True)
        self._receiver = Receiver(subscription, self._take, _raise)

    def close(self) -> None:
        """End the thread."""
        self._receiver.stop()
        self.node.destroy_node()

    def _take(self, message: bytes) -> bool:
        number = read_number(message)
        self.out_of_order += number <= self._last
        self._last = number
        self.wrong += not self._images.is_answered_by(number, message)
        self.count += 1
        return False


class Camera:
    """A participant of its own that publishes at a constant rate."""

    def __init__(self, domain: int, images: Images) -> None:
        """Join the domain."""
        self._images = images
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self._node = Node('camera', context=self._context, start_parameter_services=False)
        self._publisher = self._node.create_publisher(
            Image, 'image_raw', QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))

    def publish_until(self, reached: Callable[[], bool]) -> None:
        """Publish, and raise ``TimeoutError`` if that takes for ever."""
        began = time.perf_counter()
        count = 0
        while not reached():
            due = began + count / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            self._publisher.publish(self._images.take_next())
            count += 1
            if count > RATE * PATIENCE_SECONDS * 2:
                raise TimeoutError('the node does not answer any more')

    def close(self) -> None:
        """Leave the domain."""
        self._node.destroy_node()
        self._context.try_shutdown()


class ParameterChanger:
    """A thread that sets one parameter after the other, at random."""

    def __init__(self, domain: int) -> None:
        """Start it."""
        self.changes = 0
        self.refusals: List[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(domain,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stopped.set()
        self._thread.join()

    def _run(self, domain: int) -> None:
        peer = Peer(domain)
        choose = random.Random(1)
        while not self._stopped.wait(CHANGE_PERIOD):
            name = choose.choice(list(CHANGES))
            try:
                refusal = peer.set_parameter(name, choose.choice(CHANGES[name]))
            except AssertionError as error:  # no answer
                refusal = str(error)
            self.changes += 1
            if refusal:
                self.refusals.append(f'{name}: {refusal}')
        peer.close()


class Soak:
    """One node, many cameras."""

    def __init__(self, node: NodeProcess, domain: int, frames: int) -> None:
        """Draw the images."""
        self._node = node
        self._domain = domain
        self._frames = frames
        self._images = Images(make_ring(Load('nv12', SIZE, SIZE, 0, 0, 0)))
        self._cameras = 0
        self.rates: List[float] = []
        self.usages: List[Usage] = []
        self.violations: List[str] = []

    def run(self) -> None:
        """Run all tenths and print a line for each."""
        context = Context()
        rclpy.init(args=[], context=context, domain_id=self._domain)
        results = Results(context, self._images)
        changer = ParameterChanger(self._domain)
        try:
            for tenth in range(1, 11):
                self._run_tenth(results, self._frames * tenth // 10)
        finally:
            changer.stop()
            results.close()
            context.try_shutdown()
        print(f'\n{self._images.sent} images sent by {self._cameras} cameras, '
              f'{results.count} results, {changer.changes} changes of parameters')
        self._judge(results, changer)

    def _run_tenth(self, results: Results, goal: int) -> None:
        rates: List[float] = []
        lives = max(1, self._frames // 10 // CAMERA_LIFE)
        begun = results.count
        for life in range(1, lives + 1):
            rates += self._live(results, begun + (goal - begun) * life // lives)
        self.rates.append(statistics.median(rates))
        usage = self.usages[-1]
        print(f'{results.count:>9} results, {self.rates[-1]:6.0f}/s, '
              f'{usage.resident / 2**20:.1f} MiB resident, {usage.threads} threads, '
              f'{usage.descriptors} file descriptors', flush=True)

    def _live(self, results: Results, goal: int) -> List[float]:
        """Let one camera live until there are so many results; returns the rates of its slices."""
        self._cameras += 1
        camera = Camera(self._domain, self._images)
        rates = []
        try:
            before = results.count
            camera.publish_until(lambda: results.count > before)
            begun = results.count
            for slice_end in range(1, SLICES + 1):
                count, began = results.count, time.perf_counter()
                until = begun + (goal - begun) * slice_end // SLICES
                camera.publish_until(lambda: results.count >= until)
                rates.append((results.count - count) / (time.perf_counter() - began))
            self.usages.append(measure(self._node))
        finally:
            camera.close()
        return rates

    def _judge(self, results: Results, changer: ParameterChanger) -> None:
        self._expect(results.wrong == 0, f'{results.wrong} results of other images')
        self._expect(results.out_of_order == 0, f'{results.out_of_order} results out of order')
        self._expect(changer.changes > 0, 'no parameter was ever changed')
        self._expect(not changer.refusals, f'parameters refused: {changer.refusals[:3]}')

    def _expect(self, is_so: bool, violation: str) -> None:
        if not is_so:
            self.violations.append(violation)

    def judge_usage(self, is_short: bool) -> None:
        """
        Compare the end with the end of the first tenth.

        :param is_short: too short for that; speed and memory are told but not judged.
        """
        first, *_ = after_warm_up = self.usages[len(self.usages) // 10 - 1:]
        growth = self.usages[-1].resident - first.resident
        lost = 100 * (1 - self.rates[-1] / self.rates[0])
        print(f'last tenth against first: {-lost:+.1f} % results/s, {growth / 2**20:+.1f} MiB')
        self._expect(is_short or growth < MAX_GROWTH,
                     f'memory grew by {growth / 2**20:.1f} MiB after the first tenth')
        self._expect(is_short or lost <= MAX_SLOWDOWN,
                     f'the last tenth was {lost:.1f} % slower than the first')
        for name in ('threads', 'descriptors'):
            counts = {getattr(one, name) for one in after_warm_up}
            self._expect(len(counts) == 1, f'the number of {name} changes: {sorted(counts)}')

    def judge_end(self, node: NodeProcess, report: Path) -> None:
        """Check what the ended node wrote, and that all that the BPU lent was given back."""
        lines = [line for line in node.find(r'\[(WARN|ERROR)\]|Traceback')
                 if not re.search(OF_SPEED, line)]
        self._expect(not lines, f'the node complained: {lines[:3]}')
        counts = read_report(report)
        for taken, given in BALANCED:
            print(f'{taken} {counts[taken]:.0f}, {given} {counts[given]:.0f}')
        self.violations += [
            f'{key} is {count:.0f}' for key, count in find_leaks(counts.__getitem__).items()]


def _never_called(message: bytes) -> None:
    """Stand in for the callback that rclpy asks for."""


def _raise(error: Exception) -> None:
    raise error


def run(frames: int, is_short: bool, folder: Path) -> List[str]:
    """
    Run the node and the test.

    :param is_short: speed and memory are not judged.
    :param folder: for library, log and report.
    :returns: what was not as it should be.
    """
    os.environ.update({**large_image_environment(), **localhost_environment()})
    report = folder / 'report'
    library = build(folder).parent
    starter = NodeStarter(folder, library)
    node = starter(parameters={'model_path': MODEL}, **find_libraries_in(library),
                   EMULATED_LIBDNN_REPORT=str(report))
    try:
        node.wait_until_active()
        soak = Soak(node, starter.domain, frames)
        soak.run()
        soak.judge_usage(is_short)
        node.stop()
        soak.judge_end(node, report)
    finally:
        starter.kill()
    return soak.violations


def main() -> int:
    """
    Run the test.

    :returns: exit code, 1 if anything was not as it should be.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=1_000_000, metavar='N')
    parser.add_argument('--short', action='store_true',
                        help='do not judge speed and memory: too few images for that')
    options = parser.parse_args()
    set_up_process()
    with tempfile.TemporaryDirectory() as folder:
        violations = run(options.frames, options.short, Path(folder))
    print()
    return tell_verdict(violations)


if __name__ == '__main__':
    sys.exit(main())
