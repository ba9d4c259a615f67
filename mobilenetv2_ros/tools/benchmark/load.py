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
The other side of ``benchmark node``: a process that publishes images and times the results.

The messages are serialized beforehand, so that publishing costs what the middleware costs and no
more. A number is written into the stamp of each just before it goes out; the result bears it too
and so tells which image it belongs to. Between warming up and measuring it prints a line and waits
for one, so that several can measure at the same time.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import struct
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from diagnostic_msgs.msg import DiagnosticArray
from mobilenetv2_ros.node.receiving import Receiver
from mobilenetv2_ros.process_setup import set_up_process
from mobilenetv2_ros.tools.benchmark.image_sizes import BYTES_PER_PIXEL
from mobilenetv2_ros.tools.benchmark.process_usage import (
    read_cpu_seconds, read_proportional_bytes, read_resident_bytes)
from mobilenetv2_ros.tools.benchmark.stopping import interrupt_on_stop_signal
import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification

_RING = 16
_NANOSECONDS_AT = 8
_OVERLOAD = 2.0
"""Images for each one that the node can answer, when it is to be flooded."""

_REMEMBERED = 1 << 20
"""Images whose time of publishing is kept; far more than can be under way."""

_UNLIMITED = float('inf')

_REPORT_SECONDS = 1.5
"""In which the node reports its counters once at least."""


class Load(NamedTuple):
    """
    What to publish, for how long, and who is measured.

    :param rate: images per second, 0 for twice as many as the node can answer.
    :param process: whose processor time and memory are measured.
    :param namespace: of the node.
    """

    encoding: str
    width: int
    height: int
    rate: float
    seconds: float
    process: int
    namespace: str = '/'


def make_ring(load: Load) -> List[bytes]:
    """Serialize a few different images."""
    size = int(load.width * load.height * BYTES_PER_PIXEL[load.encoding])
    generator = np.random.default_rng(0)
    message = Image(
        height=load.height, width=load.width, encoding=load.encoding,
        step=size // load.height if load.encoding != 'nv12' else load.width)
    message.header.frame_id = 'camera'
    ring = []
    for _ in range(_RING):
        message.data = generator.integers(16, 236, size, np.uint8).tobytes()
        ring.append(serialize_message(message))
    return ring


def find_numbers(ring: List[bytes]) -> List[Tuple[bytes, ctypes.c_uint32]]:
    """
    Return each message with the number in its stamp.

    The bytes are ours alone: numbering them in place spares a copy for each image.
    """
    return [(message, ctypes.c_uint32.from_address(_address(message) + _NANOSECONDS_AT))
            for message in ring]


def read_number(message: bytes) -> int:
    """Return the number in the stamp of an image or a result."""
    number: int = struct.unpack_from('<I', message, _NANOSECONDS_AT)[0]
    return number


class LoadGenerator:
    """Publish from the calling thread, take results in another."""

    def __init__(self, load: Load) -> None:
        """Make the node, its publisher and its subscriptions."""
        self._load = load
        self._ring = make_ring(load)
        self.node = rclpy.create_node('load', namespace=load.namespace)
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = self.node.create_publisher(Image, 'image_raw', qos)
        self._receivers = [
            self._receive(Classification, 'mobilenetv2/classification', self._on_result),
            self._receive(DiagnosticArray, '/diagnostics', self._on_diagnostics)]
        self._sent = [0] * _REMEMBERED
        self._number = 0
        self._first_number = 0
        self._reports = 0
        self._latencies: List[int] = []
        self._last_number = -1
        self._out_of_order = 0
        self._counters: Dict[str, str] = {}

    def run(self) -> Dict[str, Any]:
        """Wait for the node, warm it up, then measure; returns the figures."""
        while not (self._publisher.get_subscription_count() and self._latencies):
            self._publish_for(0.2, rate=50.0)
        possible: Dict[str, int] = {}
        rate = self._load.rate
        if not rate:  # no camera does so, and what it leaves in memory would not be a camera's
            answered = len(self._latencies)
            possible = {'possible_load_per_s': self._publish_for(1.0, _UNLIMITED)}
            rate = self._find_overload(len(self._latencies) - answered)
        print('ready', flush=True)
        sys.stdin.readline()
        self._publish_for(1.0, rate)
        # From a report of the counters on: they count what is published from here.
        reports = self._reports
        self._publish_for(_REPORT_SECONDS, rate, lambda: self._reports > reports)
        process = self._load.process
        before, cpu_before = dict(self._counters), read_cpu_seconds(process)
        self._first_number = self._number
        self._latencies, self._out_of_order = [], 0
        began = time.perf_counter()
        published = self._publish_for(self._load.seconds, rate)
        took = time.perf_counter() - began
        cpu = read_cpu_seconds(process) - cpu_before
        time.sleep(_REPORT_SECONDS)  # the last report of the counters
        return {**possible, **self._summarise(published, took, cpu, process, before)}

    def close(self) -> None:
        """End the threads and the node."""
        for receiver in self._receivers:
            receiver.stop()
        self.node.destroy_node()

    def _receive(self, message_type: Any, topic: str, take: Callable[[bytes], bool]) -> Receiver:
        subscription = self.node.create_subscription(
            message_type, topic, lambda message: None, 100, raw=True)
        return Receiver(subscription, take, _report)

    def _find_overload(self, answered: int) -> float:
        """
        Find a rate at which the node always has a newer image to take.

        Publishing as fast as it goes would be more than that, but it keeps a whole core busy with
        images that nobody looks at, and on a small machine the node would miss that core.

        :param answered: images of one second in which there were as many as possible.
        :returns: images per second.
        """
        for _ in range(2):
            before = len(self._latencies)
            self._publish_for(1.0, _OVERLOAD * max(1, answered))
            answered = len(self._latencies) - before
        return _OVERLOAD * max(1, answered)

    def _publish_for(self, seconds: float, rate: float,
                     is_over: Callable[[], bool] = lambda: False) -> int:
        """
        Publish and return how many.

        :param is_over: ends it early.
        """
        publish, sent = self._publisher.publish, self._sent
        ring = find_numbers(self._ring)
        began = time.perf_counter()
        end_at = began + seconds
        count = 0
        while (now := time.perf_counter()) < end_at and not is_over():
            if (due := began + count / rate) > now:
                time.sleep(min(due, end_at) - now)
                continue
            message, number = ring[count % len(ring)]
            number.value = self._number
            sent[self._number % _REMEMBERED] = time.monotonic_ns()
            publish(message)
            self._number += 1
            count += 1
        return count

    def _on_result(self, message: bytes) -> bool:
        now = time.monotonic_ns()
        number = read_number(message)
        if number < self._first_number:  # published before it was measured
            return False
        self._latencies.append(now - self._sent[number % _REMEMBERED])
        self._out_of_order += number <= self._last_number
        self._last_number = number
        return False

    def _on_diagnostics(self, message: bytes) -> bool:
        for status in deserialize_message(message, DiagnosticArray).status:
            if status.hardware_id == f'{self._load.namespace.rstrip("/")}/mobilenetv2':
                self._counters = {one.key: one.value for one in status.values}
                self._reports += 1
        return False

    def _summarise(self, published: int, took: float, cpu: float, process: int,
                   before: Dict[str, str]) -> Dict[str, Any]:
        latencies = np.array(self._latencies or [0]) * 1e-6
        results = len(self._latencies)
        counted = {
            name: int(self._counters[name]) - int(before[name])
            for name in ('received', 'lost in transport', 'dropped', 'failed')
            if all(one.get(name, '').isdigit() for one in (before, self._counters))}
        return {
            'published': published, 'published_per_s': published / took, 'results': results,
            'fps': results / took, 'out_of_order': self._out_of_order, **counted,
            'latency_ms': {'p50': float(np.percentile(latencies, 50)),
                           'p99': float(np.percentile(latencies, 99)),
                           'max': float(latencies.max())},
            'cpu_us_per_frame': cpu / max(1, results) * 1e6, 'cpu_percent': cpu / took * 100,
            'rss_mb': read_resident_bytes(process) / 2 ** 20,
            'pss_mb': read_proportional_bytes(process) / 2 ** 20}


def _report(error: Exception) -> None:
    print(f'load: a message is lost: {error}', file=sys.stderr)


def _address(message: bytes) -> int:
    """Find where the bytes lie."""
    return ctypes.cast(ctypes.c_char_p(message), ctypes.c_void_p).value or 0


def main(arguments: List[str]) -> None:
    """Generate the load and print the report as JSON; arguments are the fields of ``Load``."""
    parser = argparse.ArgumentParser()
    for name, kind in (('encoding', str), ('width', int), ('height', int), ('rate', float),
                       ('seconds', float), ('process', int), ('namespace', str)):
        parser.add_argument(name, type=kind)
    load = Load(**vars(parser.parse_args(arguments)))
    set_up_process()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    generator = LoadGenerator(load)
    try:
        interrupt_on_stop_signal()
        print(json.dumps(generator.run()))
    except KeyboardInterrupt:  # the node has ended
        pass
    finally:
        generator.close()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1:])
