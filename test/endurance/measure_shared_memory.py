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
Measure the node on images in shared memory beside the same images as ``sensor_msgs/Image``.

    (cd test && python -m endurance.measure_shared_memory) [--rounds N] [--seconds S]

Camera and node, on the emulated BPU, are processes of their own, with the environments that the
launch files give them. A row for each kind of image and transport: results a second, CPU time of
node and camera for each result, and the time from before the camera wrote an image until its
result is in a third process. Kinds take turns; all rounds are printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
import tempfile
import time
from typing import Any, Callable, Dict, List, Tuple

import emulated_libdnn
from mobilenetv2_ros.resources import (
    CLASSIFIER_PROFILE, large_image_environment, shared_memory_environment)
from mobilenetv2_ros.tools.free_domain import localhost_environment
import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from support.lending_camera import count_at_rate, LendingCamera, make_pixels
from support.node_process import find_libraries_in, NodeProcess, NodeStarter
from support.ros_peer import Peer
from vision_msgs.msg import Classification

KINDS = (('nv12', 60.0), ('bgr8', 30.0))
"""Encoding and images a second."""

WIDTH, HEIGHT = 1920, 1080
TRANSPORTS = ('raw', 'shared_mem')
WARM_UP_RESULTS = 60
DISTINCT = 2
STAMP_OFFSET = 4
"""Bytes of the CDR header in front of the stamp, which an Image begins with."""

Publish = Callable[[int, Tuple[int, int]], None]


def main() -> None:
    """Measure, or be the camera of a measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3, metavar='N')
    parser.add_argument('--seconds', type=float, default=10.0, metavar='S')
    parser.add_argument('--camera', nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.camera:
        transport, encoding, rate = options.camera
        run_camera(transport, encoding, float(rate))
        return
    os.environ.update(localhost_environment())
    print(f'{WIDTH}x{HEIGHT}{"":21}results/s  CPU us: node  camera  latency ms: p50    p99'
          '  RSS MiB')
    for _, (encoding, rate), transport in itertools.product(
            range(options.rounds), KINDS, TRANSPORTS):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder), transport, encoding, rate, options.seconds)
        print(f'{f"{encoding} {rate:g} Hz {transport}":30}{row}', flush=True)


def measure(folder: Path, transport: str, encoding: str, rate: float, seconds: float) -> str:
    """Return a row of the table."""
    library = emulated_libdnn.build(folder).parent
    of_node, of_camera = find_environments(transport)
    starter = NodeStarter(folder, library)
    try:
        node = starter(
            parameters={'model_path': emulated_libdnn.MODEL, 'image_transport': transport},
            **find_libraries_in(library), **of_node)
        node.wait_until_active()
        peer = Peer(starter.domain)
        latencies: List[float] = []
        peer.node.create_subscription(
            Classification, '/mobilenetv2/classification',
            lambda result: latencies.append(find_age(result)), 100)
        camera = starter.run('-m', 'endurance.measure_shared_memory', '--camera', transport,
                             encoding, str(rate), **of_camera)
        peer.wait_until(lambda: len(latencies) > WARM_UP_RESULTS)
        latencies.clear()
        before = [find_cpu_us(one) for one in (node, camera)]
        start = time.monotonic()
        peer.spin_for(seconds)
        duration = time.monotonic() - start
        node_us, camera_us = (
            (find_cpu_us(one) - was) / len(latencies) for one, was in zip((node, camera), before))
        resident = node.usage.memory_info().rss >> 20
        peer.close()
        camera.stop()
        node.stop()
    finally:
        starter.kill()
    p50, p99 = np.percentile(latencies, (50, 99)) * 1e3
    return (f'{len(latencies) / duration:10.1f}{node_us:14.0f}{camera_us:8.0f}{p50:17.2f}'
            f'{p99:7.2f}{resident:9}')


def find_environments(transport: str) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Return what node and camera need, as the launch files set it."""
    shared = shared_memory_environment() if transport == 'shared_mem' else {}
    return ({**large_image_environment(CLASSIFIER_PROFILE), **shared},
            {**shared, **large_image_environment()})


def find_age(result: Any) -> float:
    """Return the seconds since an image was stamped."""
    stamp = result.header.stamp
    return time.time() - stamp.sec - stamp.nanosec / 1e9


def find_cpu_us(process: NodeProcess) -> float:
    """Return the processor time of a process so far, in microseconds."""
    times = process.usage.cpu_times()
    return float(times.user + times.system) * 1e6


def run_camera(transport: str, encoding: str, rate: float) -> None:
    """Publish at a rate until SIGINT, from when somebody subscribes."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('camera')
    topic, publish = (make_lending if transport == 'shared_mem' else make_usual)(node, encoding)
    for number in count_at_rate(node, topic, rate):
        publish(number, divmod(time.time_ns(), 10 ** 9))
    node.destroy_node()
    rclpy.shutdown()


def make_lending(node: Any, encoding: str) -> Tuple[str, Publish]:
    """Return the topic, and what publishes an image as TROS's cameras do."""
    return 'hbmem_img', LendingCamera(node, encoding, WIDTH, HEIGHT, DISTINCT).publish


def make_usual(node: Any, encoding: str) -> Tuple[str, Publish]:
    """Return the topic, and what publishes an image that is serialized already."""
    pixels = make_pixels(0, encoding, WIDTH, HEIGHT)
    message = Image(
        height=HEIGHT, width=WIDTH, encoding=encoding, data=pixels.tobytes(),
        step=WIDTH * (3 if encoding == 'bgr8' else 1))
    serialized = bytearray(serialize_message(message))
    publisher = node.create_publisher(Image, 'image_raw', qos_profile_sensor_data)

    def publish(_: int, stamp: Tuple[int, int]) -> None:
        serialized[STAMP_OFFSET:STAMP_OFFSET + 8] = np.array(stamp, '<u4').tobytes()
        publisher.publish(bytes(serialized))

    return 'image_raw', publish


if __name__ == '__main__':
    main()
