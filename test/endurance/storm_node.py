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
Everything at once, on the emulated BPU and over DDS.

Two clients that know nothing of each other ask for transitions and set parameters, the BPU fails
in one way after the other, and a camera changes size and encoding with each image. Ten times the
storm pauses: then the node has to be well again, and is cleaned up and measured. The exit code is
1 unless every call was answered, every result belonged to its image and came in order, the node
was well in each pause, and memory, threads and file descriptors stayed what they were.

    (cd test && python -m endurance.storm_node) [--seconds S] [--short]
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
import random
import signal
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, Set, Tuple

from emulated_libdnn import build, find_leaks, MODEL, read_report
from endurance.soak_node import CHANGES, Images, measure, Results, Usage
from mobilenetv2_ros.image.nv12 import ENCODINGS
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.resources import large_image_environment
from mobilenetv2_ros.tools.encode import encode
from mobilenetv2_ros.tools.free_domain import localhost_environment
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from support.camera_thread import CameraThread
from support.node_process import NodeProcess, NodeStarter, wait_until
from support.ros_peer import Peer
from support.verdict import tell_verdict

STORMS = 10
PERIOD = 0.003
"""Seconds between two images."""

SIZES = ((640, 480), (64, 48), (8, 8))
LARGE = ('bgr8', 'nv12', 'mono8')
WHOLE_ROUND = ('configure', 'activate', 'deactivate', 'cleanup')
TRANSITIONS = (*WHOLE_ROUND, 'activate', 'activate', 'configure')
"""More that bring it up than down, so that it works most of the time."""

PARAMETERS: Dict[str, Tuple[Any, ...]] = {
    **CHANGES, 'inference_timeout': (0.1, 0.2, 0.5), 'max_image_pixels': (1000, 2 ** 24),
    'thread_count': (1, 2, 4, 99), 'image_transport': ('raw', 'smoke')}
"""Also those that cannot be set while a model is open, and values that are never accepted."""

FAULTS = (
    'fail_rate.hbSysFlushMem 0.2', 'fail_rate.hbDNNInfer 0.2', 'fail_rate.hbDNNWaitTaskDone 0.2',
    'fail_next.hbDNNReleaseTask 2', 'fail_rate.task 0.2', 'fail_next.hbSysFreeMem 2',
    'fail_rate.hbSysAllocCachedMem 0.5', 'fail_rate.hbDNNInitializeFromFiles 0.5',
    'fail.hbDNNInfer -6000012', 'nan 1', 'inf 0.5', 'out_of_range 0.5', 'busy 1', 'hang 1',
    'hang_next 4', 'hang_rate 0.2', 'slow_us 300000', 'memory_limit_bytes 100000')

MAX_GROWTH = 16 << 20
"""Bytes from the second pause to the last one."""

FLOODED = 'Traceback|Exception|the thread .* failed'


def draw_images() -> Images:
    """Draw an image of every encoding and size, and a few large ones, in no order."""
    generator = np.random.default_rng(2)
    names = [*itertools.product(ENCODINGS, SIZES), *((name, (1920, 1080)) for name in LARGE)]
    random.Random(2).shuffle(names)
    ring = []
    for name, (width, height) in names:
        encoded = encode(generator.integers(0, 256, (height, width, 3), np.uint8), name)
        message = Image(
            height=encoded.height, width=encoded.width, encoding=name, step=encoded.step,
            is_bigendian=encoded.is_bigendian, data=encoded.data)
        message.header.frame_id = 'camera'
        ring.append(serialize_message(message))
    return Images(ring)


class Client:
    """Asks for transitions and parameters, whatever the other one does."""

    def __init__(self, domain: int, seed: int) -> None:
        self.peer = Peer(domain)
        self.calls = 0
        self.refused = 0
        self._choose = random.Random(seed)

    def disturb(self, ending: threading.Event) -> None:
        """Go on until it is time; raises ``AssertionError`` if there is no answer."""
        while not ending.is_set():
            if self._choose.random() < 0.3:
                is_done = self.peer.change_state(self._choose.choice(TRANSITIONS))
            elif self._choose.random() < 0.1:
                is_done = bool(self.peer.state())
            else:
                name = self._choose.choice(list(PARAMETERS))
                is_done = not self.peer.set_parameter(name, self._choose.choice(PARAMETERS[name]))
            self.calls += 1
            self.refused += not is_done
            ending.wait(self._choose.uniform(0, 0.05))


class Storm:
    """One node and all that is done to it."""

    def __init__(self, node: NodeProcess, domain: int, seconds: float) -> None:
        """Let clients and camera join the domain."""
        self._node = node
        self._seconds = seconds
        self._clients = [Client(domain, seed) for seed in (1, 2)]
        self._images = draw_images()
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self._results = Results(self._context, self._images)
        self._camera = CameraThread(
            domain, QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT), PERIOD,
            self._images.take_next)
        self._choose = random.Random(3)
        self._faults: Set[str] = set()
        self.usages: List[Usage] = []
        self.violations: List[str] = []

    def run(self) -> None:
        """Run all storms and print a line for each."""
        try:
            for _ in range(STORMS):
                self._rage()
                self._pause()
        except AssertionError as error:
            self._node.send(signal.SIGABRT)  # it tells what its threads do
            wait_until(lambda: not self._node.is_running)
            self.violations.append(f'{error}\n{self._node.text}')
        finally:
            self._camera.close()
            self._results.close()
            self._context.try_shutdown()
            for client in self._clients:
                client.peer.close()
        self._judge()

    def _rage(self) -> None:
        """Let clients and faults do what they like for a tenth of the time."""
        ending = threading.Event()
        errors: List[BaseException] = []

        def run(one: Client) -> None:
            try:
                one.disturb(ending)
            except BaseException as error:  # noqa: B902, judged below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(one,)) for one in self._clients]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self._seconds / STORMS
        try:
            while time.monotonic() < deadline and self._node.is_running:
                self._fail_for_a_while()
        finally:
            ending.set()
            for thread in threads:
                thread.join()
        assert not errors, f'{errors[0]}'
        assert self._node.is_running, f'the node ended: {self._node.text[-2000:]}'

    def _fail_for_a_while(self) -> None:
        fault = self._choose.choice(FAULTS)
        self._faults.add(fault)
        self._node.tell(fault)
        time.sleep(self._choose.uniform(0.1, 1.0))
        self._node.tell(f'{fault.split()[0]} 0')
        time.sleep(self._choose.uniform(0, 0.5))

    def _pause(self) -> None:
        """Bring the node up, let it classify, clean it up and measure it."""
        peer = self._clients[0].peer
        for name, value in (
                ('inference_timeout', 10.0), ('max_image_pixels', 2 ** 24), ('top_k', 5)):
            assert peer.set_parameter(name, value) == '', name
        self._bring_to(peer, 'active')
        # Twice: the results on their way may be older than the pause.
        for _ in range(2):
            before = self._results.count
            wait_until(lambda: self._results.count > before + 20,
                       lambda: f'no results in a pause: {self._node.text[-2000:]}')
        self._bring_to(peer, 'unconfigured')
        # What an engine left behind that hung is freed when the next one works.
        peer.change_states('configure', 'cleanup')
        self.usages.append(measure(self._node))
        usage = self.usages[-1]
        print(f'{sum(one.calls for one in self._clients):>7} calls, {self._results.count:>7} '
              f'results, {usage.resident / 2**20:.1f} MiB resident, {usage.threads} threads, '
              f'{usage.descriptors} file descriptors', flush=True)

    def _bring_to(self, peer: Peer, state: str) -> None:
        """Ask for what leads there; an engine that was left behind may take a moment."""
        steps = {'unconfigured': 'configure', 'inactive': 'activate'} if state == 'active' else {
            'active': 'deactivate', 'inactive': 'cleanup'}

        def is_there() -> bool:
            now = peer.state()
            if now in steps and now != state:
                peer.change_state(steps[now])
            return peer.state() == state

        wait_until(is_there, lambda: f'not {state}: {self._node.text[-2000:]}')

    def _judge(self) -> None:
        calls, refused = (sum(getattr(one, name) for one in self._clients)
                          for name in ('calls', 'refused'))
        print(f'\n{calls} calls, {refused} of them refused, {len(self._faults)} of {len(FAULTS)} '
              f'faults, {self._images.sent} images sent, {self._results.count} results')
        self._expect(self._results.wrong == 0, f'{self._results.wrong} results of other images')
        self._expect(self._results.out_of_order == 0,
                     f'{self._results.out_of_order} results out of order')

    def judge_usage(self, is_short: bool) -> None:
        """
        Compare the last pause with the second one; in the first storm everything is new.

        :param is_short: too short for that; it is told but not judged.
        """
        if len(self.usages) < STORMS:
            return  # told above
        after_warm_up = self.usages[1:]
        growth = after_warm_up[-1].resident - after_warm_up[0].resident
        print(f'last pause against second: {growth / 2**20:+.1f} MiB')
        self._expect(is_short or growth < MAX_GROWTH, f'memory grew by {growth / 2**20:.1f} MiB')
        for name in ('threads', 'descriptors'):
            counts = [getattr(one, name) for one in after_warm_up]
            self._expect(is_short or counts[-1] <= counts[0],
                         f'the number of {name} grows: {counts}')

    def judge_end(self, report: Path) -> None:
        """Check what the ended node wrote, and that all that the BPU lent was given back."""
        lines = self._node.find(FLOODED)
        self._expect(not lines, f'the node failed where nothing should: {lines[:3]}')
        counts = read_report(report)
        self.violations += [
            f'{key} is {count:.0f}' for key, count in find_leaks(counts.__getitem__).items()]

    def _expect(self, is_so: bool, violation: str) -> None:
        if not is_so:
            self.violations.append(violation)


def run(seconds: float, is_short: bool, folder: Path) -> List[str]:
    """
    Run the node and the storms.

    :param is_short: memory is not judged.
    :param folder: for library, log and report.
    :returns: what was not as it should be.
    """
    os.environ.update({**large_image_environment(), **localhost_environment()})
    report = folder / 'report'
    library = build(folder).parent
    starter = NodeStarter(folder, library)
    node = starter.on_emulated_bpu(
        library, report, model_path=MODEL, score_type='probabilities', inference_timeout=10.0)
    try:
        node.wait_until_active()
        storm = Storm(node, starter.domain, seconds)
        storm.run()
        storm.judge_usage(is_short)
        if not storm.violations:
            node.stop()
            storm.judge_end(report)
    finally:
        starter.kill()
    return storm.violations


def main() -> int:
    """
    Run the test.

    :returns: exit code, 1 if anything was not as it should be.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=420.0, metavar='S',
                        help='of all storms together; pauses take some more')
    parser.add_argument('--short', action='store_true',
                        help='do not judge memory: too few calls for that')
    options = parser.parse_args()
    set_up_process()
    with tempfile.TemporaryDirectory() as folder:
        violations = run(options.seconds, options.short, Path(folder))
    print()
    return tell_verdict(violations)


if __name__ == '__main__':
    sys.exit(main())
