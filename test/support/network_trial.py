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

"""A camera and the node on two machines, with a bad link between them."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Dict, List, Tuple

from support.bad_link import BadLink
from support.checkout import CHECKOUT, join_python_path
from support.node_process import NodeProcess, wait_until, write_parameters

ENVIRONMENT = {
    'ROS_DOMAIN_ID': '1', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET', 'ROS_LOCALHOST_ONLY': '0',
    # Both are on one machine in truth, and would find each other's shared memory.
    'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}


class NetworkTrial:
    """The node in one namespace, the camera in the other, and what the camera saw."""

    def __init__(self, link: BadLink, folder: Path, parameters: Dict[str, object],
                 encoding: str, size: str, rate: float, reliability: str) -> None:
        """
        Start both and wait for the first result.

        :param parameters: of the node; transport and reliability are added.
        :param reliability: ``best_effort`` or ``reliable``.
        """
        topic = '/image_raw/compressed' if encoding == 'jpeg' else '/image_raw'
        values = {
            **parameters, 'image_transport': 'compressed' if encoding == 'jpeg' else 'raw',
            f'qos_overrides.{topic}.subscription.reliability': reliability}
        self.node = NodeProcess(
            [*link.command(0), sys.executable, '-m', 'mobilenetv2_ros.node.main', '--ros-args',
             *write_parameters(values)],
            {**ENVIRONMENT, 'ROS_LOG_DIR': str(folder), 'XDG_DATA_HOME': str(folder)})
        self.events: List[Tuple[str, int, float]] = []
        self._camera = subprocess.Popen(
            [*link.command(1), sys.executable, '-m', 'support.remote_camera', encoding, size,
             str(rate), reliability], cwd=CHECKOUT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT, 'ROS_LOG_DIR': str(folder),
                 'PYTHONPATH': join_python_path()})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End both."""
        self._camera.kill()
        self._camera.wait()
        self._reader.join()
        for pipe in (self._camera.stdin, self._camera.stdout):
            assert pipe is not None
            pipe.close()
        self.node.kill()

    def wait_for_result(self, after: float = 0.0) -> float:
        """
        Wait for the result of an image that was sent later than a time.

        :returns: when the first one came.
        """
        def came() -> List[float]:
            sent = {number for word, number, at in self.list_events('sent') if at > after}
            return [at for _, number, at in self.list_events('result') if number in sent]

        wait_until(lambda: bool(came()), lambda: f'no result\n{self.node.text}')
        return came()[0]

    def list_events(self, word: str) -> List[Tuple[str, int, float]]:
        """Return the events of a kind: kind, number, time."""
        return [event for event in list(self.events) if event[0] == word]

    def classified(self, start: float, end: float) -> Tuple[int, int]:
        """Count the images that were sent between two times, and those with a result."""
        sent = {number for _, number, at in self.list_events('sent') if start < at < end}
        return len(sent & {number for _, number, _ in self.list_events('result')}), len(sent)

    def _read(self) -> None:
        assert self._camera.stdout is not None
        for line in self._camera.stdout:
            word, number, at = line.split()
            self.events.append((word, int(number), float(at)))


def cut(link: BadLink, seconds: float) -> float:
    """Cut a link for a time; returns when it was mended."""
    link.is_cut = True
    time.sleep(seconds)
    link.is_cut = False
    return time.monotonic()
