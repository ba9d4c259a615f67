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
How many instructions the node executes for an image, and in which libraries.

Unlike times, the counts hardly depend on what else the machine does. The node runs in valgrind's
callgrind (package valgrind of the distribution), some 50 times as slowly as otherwise, so that the
next image is sent when the result of the one before has come. What runs all the time, such as
timers of the middleware, counts too; therefore the node is compared with itself.
"""

from __future__ import annotations

import argparse
from array import array
from collections import Counter
from functools import partial
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Dict, Iterable, List

from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.resources import CLASSIFIER_PROFILE, large_image_environment
from mobilenetv2_ros.tools.benchmark.arguments import parse_image_size
from mobilenetv2_ros.tools.benchmark.convert import make_image
from mobilenetv2_ros.tools.benchmark.image_sizes import BYTES_PER_PIXEL
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
from mobilenetv2_ros.tools.model_options import parse_count
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification

WARM_UP = 30
"""Images before counting begins."""

PATIENCE = 120.0
"""Seconds that valgrind may take for a step."""

LIBRARY = re.compile(r'(c?)ob=\((\d+)\)(?: (.*))?')


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoding', default='bgr8', choices=tuple(BYTES_PER_PIXEL))
    parser.add_argument('--size', default=(640, 480), type=parse_image_size, metavar='WxH')
    parser.add_argument('--model', default='', metavar='PATH')
    parser.add_argument('--images', default=100, type=partial(parse_count, most=10_000),
                        metavar='N')
    parser.add_argument('--rounds', default=2, type=partial(parse_count, most=100), metavar='N')
    options = parser.parse_args()
    if not shutil.which('valgrind'):
        sys.exit('valgrind is not installed; install the package valgrind')
    of_node = large_image_environment(CLASSIFIER_PROFILE)
    os.environ.update(localhost_environment(), ROS_DOMAIN_ID=str(find_free_domain()),
                      **large_image_environment())
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            counts = count(choose_model(options.model), options, of_node, Path(folder))
        width, height = options.size
        print(f'{options.encoding} {width}x{height}: '
              f'{sum(counts.values()) / 1e6 / options.images:.2f} million instructions an image')
        for name, number in counts.most_common(8):
            print(f'{number / 1e6 / options.images:8.2f}  {name}')


def count(model: Path, options: argparse.Namespace, environment: Dict[str, str],
          folder: Path) -> Counter[str]:
    """
    Let the node classify images.

    :param environment: what the node's differs in from this one.
    :returns: the instructions of all images by library.
    """
    output = folder / 'counts'
    command = ['valgrind', '--tool=callgrind', '--instr-atstart=no',
               f'--callgrind-out-file={output}', sys.executable, '-m',
               'mobilenetv2_ros.node.main', '--ros-args', '-p', f'model_path:={model.resolve()}',
               '-p', 'thread_count:=4']
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    camera = Camera(options.encoding, *options.size)
    try:
        camera.connect()
        camera.send(WARM_UP)
        steer('on', process.pid)
        camera.send(options.images)
        steer('off', process.pid)
    finally:
        camera.close()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    return sum_by_library(output.read_text().splitlines())


def steer(state: str, process_id: int) -> None:
    """Turn counting on or off."""
    subprocess.run(['callgrind_control', '-i', state, str(process_id)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Camera:
    """Sends images and waits for each result."""

    def __init__(self, encoding: str, width: int, height: int) -> None:
        """Make the image, and join the domain."""
        rclpy.init(args=[])
        self._node = Node('camera', start_parameter_services=False)
        self._results: List[Classification] = []
        self._node.create_subscription(
            Classification, 'mobilenetv2/classification', self._results.append, 10)
        self._publisher = self._node.create_publisher(Image, 'image_raw', 10)
        view = make_image(encoding, width, height)
        self._image = Image(height=height, width=width, encoding=encoding, step=view.step,
                            data=array('B', view.data.tobytes()))

    def connect(self) -> None:
        """Send images until one is answered; until then they may get lost."""
        deadline = time.monotonic() + PATIENCE
        while not self._results:
            self._publisher.publish(self._image)
            self._spin_until(time.monotonic() + 1.0, deadline)
        self._spin_until(time.monotonic() + 2.0, deadline)

    def send(self, number: int) -> None:
        """
        Send so many images and wait for each result.

        :raises SystemExit: there is none.
        """
        deadline = time.monotonic() + PATIENCE
        for _ in range(number):
            self._results.clear()
            self._publisher.publish(self._image)
            while not self._results:
                self._spin_until(time.monotonic(), deadline)
            time.sleep(1 / 30)

    def _spin_until(self, end: float, deadline: float) -> None:
        if end > deadline:
            sys.exit('the node gives no results')
        rclpy.spin_once(self._node, timeout_sec=max(0.01, end - time.monotonic()))

    def close(self) -> None:
        """Leave the domain."""
        self._node.destroy_node()
        rclpy.shutdown()


def sum_by_library(lines: Iterable[str]) -> Counter[str]:
    """
    Add up the costs of a profile.

    :param lines: in the format of
        https://valgrind.org/docs/manual/cl-format.html, in which a line after one with ``calls=``
        is what the called function costs, which is counted where that is.
    """
    names: Dict[str, str] = {}
    counts: Counter[str] = Counter()
    library, is_call = '', False
    for line in lines:
        found = LIBRARY.match(line)
        if found:
            of_called, number, name = found.groups()
            if name:
                names[number] = re.sub(r'\.so.*', '.so', Path(name).name)
            if not of_called:
                library = names[number]
        elif line.startswith('calls='):
            is_call = True
        elif line[:1].isdigit() or line[:1] in ('+', '-', '*'):
            if not is_call:
                counts[library] += int(line.split()[1])
            is_call = False
    return counts


if __name__ == '__main__':
    main()
