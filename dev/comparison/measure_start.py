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
How long the node takes from its start until it classifies, and what that is spent on.

Beside it, in turns, a program that does nothing but what no such node can do without: it imports
rclpy, OpenCV and the messages, and makes a node with a subscription and a publisher. Both have
bytecode, as where they are installed; the start that makes it does not count. Then one start
under ``-X importtime``: the milliseconds of imports, which are longer then, by package.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
import os
import re
import statistics
import subprocess
import sys
from tempfile import TemporaryDirectory
import time
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from mobilenetv2_ros.inference.loaded_model import choose_model
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
from mobilenetv2_ros.tools.model_options import parse_count

LEAST = """
import cv2
import rclpy
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification
rclpy.init()
node = LifecycleNode('least')
node.create_publisher(Classification, 'classification', 10)
node.create_subscription(Image, 'image_raw', lambda image: None, 10)
node.get_logger().info('classifying')
"""

IMPORT = re.compile(r'import time: +(\d+) \| +\d+ \| +([^.\n]+)')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', metavar='PATH')
    parser.add_argument('--rounds', default=9, type=partial(parse_count, most=1000), metavar='N')
    options = parser.parse_args()
    os.environ.update(localhost_environment(), ROS_DOMAIN_ID=str(find_free_domain()))
    model = choose_model(options.model).resolve()
    node = ['-m', 'mobilenetv2_ros.node.main', '--ros-args', '-p', f'model_path:={model}']
    programs = {'node': node, 'the least': ['-c', LEAST]}
    with TemporaryDirectory() as bytecode:
        os.environ['PYTHONPYCACHEPREFIX'] = bytecode
        os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
        times = measure(programs, options.rounds)
        imports = sum_by_package(start(['-X', 'importtime', *node])[1])
    for name, seconds in times.items():
        print(f'{name:<10}{statistics.median(seconds):.3f} s, at best {min(seconds):.3f}')
    for package, microseconds in imports.most_common(8):
        print(f'{microseconds / 1e3:8.0f} ms  {package}')


def measure(programs: Mapping[str, Sequence[str]], rounds: int) -> Dict[str, List[float]]:
    """Start programs in turns, each once more than is counted; the seconds that each took."""
    times: Dict[str, List[float]] = {name: [] for name in programs}
    for _ in range(1 + rounds):
        for name, arguments in programs.items():
            times[name].append(start(arguments)[0])
    return {name: seconds[1:] for name, seconds in times.items()}


def start(arguments: Sequence[str]) -> Tuple[float, List[str]]:
    """
    Start a program that says when it classifies, and end it then.

    :returns: the seconds that it took, and what it wrote.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, text=True)
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if 'classifying' in line:
            break
    took = time.monotonic() - began
    process.terminate()
    process.communicate()
    if not lines or 'classifying' not in lines[-1]:
        sys.exit(f'it does not start: {"".join(lines[-5:])}')
    return took, lines


def sum_by_package(lines: Iterable[str]) -> Counter[str]:
    """Add up the microseconds that the modules of each package take themselves."""
    times: Counter[str] = Counter()
    for line in lines:
        found = IMPORT.match(line)
        if found:
            times[found[2]] += int(found[1])
    return times


if __name__ == '__main__':
    main()
