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
Start the node and stop it, a thousand times, with any stop signal at any moment.

A third of the signals come while it starts, a third while it works, and a third of the nodes get
a second signal while they stop. The exit code of this is 1 unless each node ended in time, with
exit code 0, without a traceback, and left neither a process nor shared memory behind.

    (cd test && python -m endurance.start_stop) [--rounds N] [--most-seconds S]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import random
import statistics
import sys
import tempfile
import time
from typing import List, Set

from emulated_libdnn import build, MODEL
from mobilenetv2_ros.tools.free_domain import localhost_environment
import numpy as np
import psutil
from rclpy.qos import QoSProfile
from support.camera_thread import CameraThread
from support.node_process import (
    find_libraries_in, holds_signals, list_segments, NodeProcess, NodeStarter, STOP_SIGNALS,
    wait_until)
from support.ros_peer import make_image
from support.verdict import tell_verdict

MOMENTS = ('start-up', 'work', 'shut-down')
PERIOD = 0.01
"""Seconds between two images."""


class Rounds:
    """Nodes, one after the other."""

    def __init__(self, folder: Path, most_seconds: float) -> None:
        """
        Prepare the emulated BPU.

        :param folder: for its library and what the nodes write.
        :param most_seconds: that a node may take to stop.
        """
        library = build(folder).parent
        self._starter = NodeStarter(folder, library)
        self._environment = find_libraries_in(library)
        self._most_seconds = most_seconds
        self._choose = random.Random(1)
        self._start_up_seconds = 0.0
        self._segments: Set[Path] = set()
        self.seconds_to_stop: List[float] = []
        self.violations: List[str] = []

    def run(self, rounds: int) -> None:
        """Run all rounds and print a line for each tenth."""
        image = make_image(np.zeros((480, 640, 3), np.uint8))
        camera = CameraThread(self._starter.domain, QoSProfile(depth=10), PERIOD, lambda: image)
        try:
            self._measure_start_up()
            for number in range(1, rounds + 1):
                self._run_round(MOMENTS[number % len(MOMENTS)])
                if number % max(1, rounds // 10) == 0:
                    self._tell(number)
            self._check_shared_memory()
        finally:
            self._starter.kill()
            camera.close()

    def _check_shared_memory(self) -> None:
        in_use = set().union(*map(list_segments, psutil.process_iter()))
        left = [path for path in self._segments - in_use if path.exists()]
        print(f'{len(self._segments)} pieces of shared memory seen, {len(left)} left')
        if not self._segments:
            self.violations.append('the nodes used no shared memory')
        if left:
            self.violations.append(f'left behind: {sorted(map(str, left))}')

    def _start(self) -> NodeProcess:
        return self._starter(parameters={'model_path': MODEL}, **self._environment)

    def _measure_start_up(self) -> None:
        node = self._start()
        wait_until(lambda: holds_signals(node.usage.pid))
        began = time.monotonic()
        node.wait_until_active()
        self._start_up_seconds = time.monotonic() - began
        node.stop()

    def _run_round(self, moment: str) -> None:
        node = self._start()
        number = self._choose.choice(STOP_SIGNALS)
        name = f'{number.name} at {moment}'
        try:
            self._wait_for(moment, node)
            self._segments |= list_segments(node.usage)
            began = time.monotonic()
            node.send(number)
            if moment == 'shut-down':
                time.sleep(self._choose.uniform(0, 0.3))
                if node.is_running:
                    node.send(self._choose.choice(STOP_SIGNALS))
            node.check_clean_end()
            seconds = time.monotonic() - began
        except AssertionError as error:
            self.violations.append(f'{name}: {error}')
            node.kill()
            return
        self.seconds_to_stop.append(seconds)
        if seconds > self._most_seconds:
            self.violations.append(f'{name}: it took {seconds:.1f} s to stop')

    def _wait_for(self, moment: str, node: NodeProcess) -> None:
        """Wait for the moment of the signal; before it holds signals Python has just begun."""
        wait_until(lambda: holds_signals(node.usage.pid))
        if moment == 'start-up':
            time.sleep(self._choose.uniform(0, self._start_up_seconds))
        else:
            node.wait_until_active()
            time.sleep(self._choose.uniform(0, 0.3))

    def _tell(self, number: int) -> None:
        seconds = self.seconds_to_stop or [0.0]
        print(f'{number:>6} rounds, {statistics.median(seconds):.2f} s to stop (median), '
              f'{max(seconds):.2f} s at most, {len(self.violations)} violations', flush=True)


def main() -> int:
    """
    Run the test.

    :returns: exit code, 1 if anything was not as it should be.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=1000, metavar='N')
    parser.add_argument('--most-seconds', type=float, default=2.0, metavar='S')
    options = parser.parse_args()
    os.environ.update(localhost_environment())
    with tempfile.TemporaryDirectory() as folder:
        rounds = Rounds(Path(folder), options.most_seconds)
        rounds.run(options.rounds)
    return tell_verdict(rounds.violations)


if __name__ == '__main__':
    sys.exit(main())
